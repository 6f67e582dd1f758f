//! What a window, a market and a policy come to for every number of oracles, every quorum, every set of
//! silent oracles, and every behaviour of challenger and arbiter. Honest oracles submit the truth.

use anchor_lang::bytemuck::Zeroable;
use driftshield_sdk::{
    Address, Aggregate, DriftShieldError, Entry, Examination, Market, MarketState, Measurement,
    Model, Policy, Receipt, Seat, Series, Vault,
};

const TRUTH: u64 = 500_000;
const LIE: u64 = 900_000;
const BOND: u64 = 1_000;
const CHALLENGE_BOND: u64 = 100;
const PENALTY: u64 = 31;
const AT_RISK: u64 = 150;

/// The window begins at 110, ends at 120, and can be submitted until 130, challenged until 140 and
/// ruled on until 150.
const WINDOW: u64 = 1;
const SUBMIT_END: i64 = 130;
const DECIDED: i64 = 150;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Challenger {
    None,
    Right,
    Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Arbiter {
    None,
    Right,
    NoData,
}

/// A model on which a policy depends, and whose oracles have all bonded.
fn model(oracles: usize, quorum: usize) -> Model {
    let mut model = Model::zeroed();
    (model.genesis, model.window_secs) = (100, 10);
    (model.submit_secs, model.challenge_secs) = (10, 10);
    (model.ruling_secs, model.appeal_secs) = (10, 10);
    (model.min_bond, model.slash_amount) = (BOND, BOND / 2);
    (model.challenge_bond, model.absence_penalty) = (CHALLENGE_BOND, PENALTY);
    (model.oracle_count, model.quorum) = (oracles as u8, quorum as u8);
    (model.max_spread, model.pot.epoch_windows) = (10, 2);
    for oracle in 0..oracles {
        model.oracles[oracle] = Address::new_from_array([oracle as u8 + 1; 32]);
        model.set_bond(oracle, BOND, 50);
    }
    model.add_policy(AT_RISK, WINDOW, WINDOW + 3, 60);
    model
}

/// One row of the table.
struct Case {
    oracles: usize,
    quorum: usize,
    silent: u8,
    challenger: Challenger,
    arbiter: Arbiter,
}

/// What a case came to.
struct End {
    entry: Entry,
    /// What each oracle lost.
    penalties: [u64; 7],
    /// What the challenger has at the end, less the bond that it paid.
    gain: i64,
}

impl Case {
    fn submitted(&self) -> usize {
        self.oracles - self.silent.count_ones() as usize
    }

    /// Whether somebody challenges. Nobody can assert what is proposed.
    fn is_challenged(&self) -> bool {
        let is_proposed = self.quorum <= self.submitted();
        match self.challenger {
            Challenger::None => false,
            Challenger::Right => !is_proposed,
            Challenger::Wrong => true,
        }
    }

    fn run(&self) -> End {
        let mut model = model(self.oracles, self.quorum);
        let mut seats: Vec<Box<Seat>> = vec![];
        let mut receipt = Receipt::zeroed();
        receipt.window = WINDOW;
        model.open_receipts = 1;
        for oracle in 0..self.oracles {
            if self.silent & (1 << oracle) == 0 {
                let (found, proof) = (Measurement::Value(TRUTH), [1; 32]);
                receipt
                    .submit(&mut model, oracle, found, 10, proof, 121)
                    .expect("submit");
                let mut seat = Seat::zeroed();
                seat.bonded = BOND;
                seats.push(Box::new(seat));
            }
        }
        let is_missing = receipt.submitted == 0;
        if is_missing && self.challenger == Challenger::None {
            return End {
                entry: Entry::None,
                penalties: [0; 7],
                gain: 0,
            };
        }
        if is_missing {
            receipt
                .dispute_missing(&model, SUBMIT_END)
                .expect("dispute_missing");
        }
        receipt.advance(&mut model, SUBMIT_END).expect("advance");

        let mut paid = 0;
        if self.challenger != Challenger::None {
            let asserted = match self.challenger {
                Challenger::Right => TRUTH,
                _ => LIE,
            };
            let key = Address::new_from_array([99; 32]);
            let outcome = receipt.challenge(&model, &key, Measurement::Value(asserted), SUBMIT_END);
            // All submitted early: the challenge period has already run for nine seconds.
            assert_eq!(outcome.is_ok(), self.is_challenged());
            paid = if self.is_challenged() {
                CHALLENGE_BOND
            } else {
                0
            };
        }
        let found = match self.arbiter {
            Arbiter::None => None,
            Arbiter::Right => Some(Some(Measurement::Value(TRUTH))),
            Arbiter::NoData => Some(None),
        };
        if let Some(found) = found {
            let outcome = receipt.rule(&mut model, &mut seats, found, SUBMIT_END + 1);
            if self.quorum <= self.submitted() && found.is_none() && self.is_challenged() {
                let expected = DriftShieldError::QuorumSubmitted.into();
                assert_eq!(outcome.err(), Some(expected));
            }
        }
        receipt.advance(&mut model, DECIDED).expect("advance");

        assert!(receipt.is_settled() && receipt.since <= DECIDED);
        assert_eq!((receipt.held(), model.open_receipts), (0, 0), "nobody lied");
        let penalties = receipt.penalties;
        let sum: u64 = penalties.iter().sum();
        assert!(sum <= AT_RISK);
        for (oracle, penalty) in penalties.iter().enumerate().take(self.oracles) {
            assert_eq!(model.bonds[oracle] + model.penalties[oracle], {
                let index = (0..oracle).filter(|i| self.silent & (1 << i) == 0).count();
                if self.silent & (1 << oracle) == 0 {
                    seats[index].bonded
                } else {
                    BOND
                }
            });
            assert_eq!(model.penalties[oracle], *penalty);
        }
        // No base unit is lost or made.
        let bonds: u64 = model.bonds.iter().sum();
        let total = bonds + receipt.owed() + model.pot.unearned;
        assert_eq!(total, self.oracles as u64 * BOND + paid);
        End {
            entry: receipt.entry(),
            penalties,
            gain: receipt.challenger_credit as i64 - paid as i64,
        }
    }

    fn expected(&self) -> End {
        let silent = u64::from(self.silent.count_ones());
        let has_quorum = self.quorum <= self.submitted();
        let is_disputed = !has_quorum && (0 < self.submitted() || self.is_challenged());
        let (entry, is_ruled) = match (has_quorum, self.arbiter) {
            (true, arbiter) => {
                let is_ruled = self.is_challenged() && arbiter == Arbiter::Right;
                (Entry::Final(TRUTH), is_ruled)
            }
            (false, _) if !is_disputed => (Entry::None, false),
            (false, Arbiter::Right) => (Entry::Final(TRUTH), true),
            (false, Arbiter::NoData) => (Entry::Void, true),
            (false, Arbiter::None) => (Entry::Void, false),
        };
        let mut penalties = [0; 7];
        if entry == Entry::Final(TRUTH) && 0 < silent {
            for (oracle, penalty) in penalties.iter_mut().enumerate() {
                if self.silent & (1 << oracle) != 0 {
                    *penalty = PENALTY.min(AT_RISK / silent);
                }
            }
        }
        let is_right = self.challenger == Challenger::Right && entry == Entry::Final(TRUTH);
        let gain = if !self.is_challenged() || !is_ruled {
            0
        } else if is_right {
            (penalties.iter().sum::<u64>() / 2) as i64
        } else {
            -(CHALLENGE_BOND as i64)
        };
        End {
            entry,
            penalties,
            gain,
        }
    }
}

/// What a market comes to that observes the window and the next one, if the next one has no drift.
fn market(entry: Entry, min_observed: u64) -> (MarketState, Option<u8>) {
    let mut page = Series::zeroed();
    page.entries[WINDOW as usize] = entry.to_word();
    page.entries[WINDOW as usize + 1] = Entry::Final(0).to_word();
    let mut market = Market::zeroed();
    (market.next_window, market.last_window) = (WINDOW, WINDOW + 1);
    market.aggregate = Aggregate::Max.into();
    (market.min_observed, market.threshold_count) = (min_observed, 1);
    market.thresholds[0] = TRUTH;
    (market.pools[0], market.pools[1], market.total) = (1_000, 1_000, 2_000);
    market.settle(Some(&page), WINDOW + 2);
    let state = MarketState::from(market.state);
    let outcome = (state == MarketState::Resolved).then_some(market.outcome);
    (state, outcome)
}

/// What a policy whose trigger is the truth pays for the window, of a cover of 1,000.
fn payout(entry: Entry) -> u64 {
    let mut policy = Policy::zeroed();
    (policy.cover, policy.trigger, policy.exhaustion) = (1_000, TRUTH, TRUTH);
    (policy.persistence, policy.last_window, policy.windows) = (1, WINDOW, 1);
    (policy.examined_until, policy.returned_until) = (WINDOW, WINDOW);
    let mut vault = Vault::zeroed();
    vault.cooldown_secs = 60;
    let model = model(1, 1);
    let mut examination = Examination::new(&mut policy, &vault, &model, false).expect("in range");
    examination.visit(WINDOW, entry);
    examination.finish();
    policy.worth
}

#[test]
fn silence_costs_no_bettor_or_holder_what_a_quorum_or_a_ruling_finds() {
    // The drift decides the market and pays the policy.
    let found = Entry::Final(TRUTH);
    for min_observed in [1, 2] {
        assert_eq!(
            market(found, min_observed),
            (MarketState::Resolved, Some(1))
        );
    }
    assert_eq!(payout(found), 1_000);

    // Without it, a market that must observe both windows pays all stakes back; only one that can do
    // without the window lets silence decide for the outcome of calm.
    for lost in [Entry::None, Entry::Void, Entry::Thin] {
        assert_eq!(market(lost, 2), (MarketState::Void, None));
        assert_eq!(market(lost, 1), (MarketState::Resolved, Some(0)));
        assert_eq!(payout(lost), 0);
    }
}

#[test]
fn every_set_of_silent_oracles_comes_to_what_the_table_says() {
    let mut cases = 0;
    for oracles in 1..=7 {
        let largest = if oracles < 3 { oracles } else { oracles - 1 };
        for quorum in oracles / 2 + 1..=largest {
            for silent in 0..1u8 << oracles {
                for challenger in [Challenger::None, Challenger::Right, Challenger::Wrong] {
                    for arbiter in [Arbiter::None, Arbiter::Right, Arbiter::NoData] {
                        let case = Case {
                            oracles,
                            quorum,
                            silent,
                            challenger,
                            arbiter,
                        };
                        let (result, expected) = (case.run(), case.expected());
                        let name = format!(
                            "{oracles} oracles, quorum {quorum}, silent {silent:b}, \
                             {challenger:?}, {arbiter:?}"
                        );
                        assert_eq!(result.entry, expected.entry, "{name}");
                        assert_eq!(result.penalties, expected.penalties, "{name}");
                        assert_eq!(result.gain, expected.gain, "{name}");
                        cases += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cases, 9 * (2 + 4 + 8 + 16 + 2 * 32 + 2 * 64 + 3 * 128));
}

#[test]
fn an_idle_model_penalises_nobody() {
    // Exposure began when the window did, or the window lies outside of what is observed.
    let silent = |from: i64, first, last| {
        let mut model = model(3, 2);
        model.remove_policy(AT_RISK);
        assert_eq!(model.silent(WINDOW, 0), Ok(0));
        model.add_policy(1, first, last, from);
        model.silent(WINDOW, 0).unwrap()
    };
    assert_eq!(silent(109, WINDOW, WINDOW), 0b111);
    assert_eq!(silent(110, WINDOW, WINDOW), 0);
    assert_eq!(silent(60, WINDOW + 1, WINDOW + 9), 0);
    assert_eq!(silent(60, 0, WINDOW - 1), 0);

    // A bet of one base unit makes penalties of nothing for three, and of one for one.
    let mut dust = model(3, 2);
    dust.cover_risk = 1;
    assert_eq!(dust.penalise(0b111, 130)[..3], [0, 0, 0]);
    assert_eq!(dust.penalise(0b010, 130)[..3], [0, 1, 0]);
}

#[test]
fn a_seat_that_stops_and_begins_again_is_liable_for_what_it_owed() {
    // The seat stops after the submit period, which ends at 130, and begins again at once, repeatedly.
    let mut model = model(3, 2);
    for stop in [130, 133, 136, 139] {
        model.set_bond(0, 0, stop);
        assert_eq!(model.silent(WINDOW, 0), Ok(0b111), "stopped at {stop}");
        model.set_bond(0, BOND, stop + 1);
        assert_eq!(model.silent(WINDOW, 0), Ok(0b111), "began at {}", stop + 1);
    }

    // A seat that stopped before, or began after the window did, isn't liable.
    let mut early = self::model(3, 2);
    early.set_bond(0, 0, 129);
    assert_eq!(early.silent(WINDOW, 0), Ok(0b110));
    let mut late = self::model(3, 2);
    late.set_bond(0, 0, 105);
    late.set_bond(0, BOND, 111);
    assert_eq!(late.silent(WINDOW, 0), Ok(0b110));
}

//! Random markets, whose payments are compared with an independent computation.

use std::collections::BTreeMap;

use anchor_lang::Address;
use driftshield_sdk::{
    Aggregate, ConfigParams, DriftShieldError, Event, FeePayee, MarketState, MarketTerms, address,
    events, instruction,
};
use driftshield_tests::world::*;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use solana_signer::Signer;

use super::expected::{Settlement, bucket, multiple, settlement};

/// The highest security multiple, so that bets can be as large as 64 bits allow.
const SECURITY_MULTIPLE: u32 = u32::MAX;

/// Settings with this protocol fee, and a security limit as high as possible.
fn with_fee(protocol_fee_bps: u16) -> ConfigParams {
    ConfigParams {
        security_multiple: SECURITY_MULTIPLE,
        protocol_fee_bps,
        ..params()
    }
}

/// What happens to the receipt of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ReceiptKind {
    /// All oracles submit, and somebody finalizes.
    Finalized,
    /// All oracles submit, and somebody finalizes when the market is settled.
    Proposed,
    /// A quorum submits.
    Quorum,
    /// One oracle submits.
    Lonely,
    /// All oracles submit values further apart than the spread, and nobody rules.
    Disagreeing,
    /// A quorum submits too few rows for a value.
    Thin,
    /// Nobody submits.
    Missing,
}

impl ReceiptKind {
    const ALL: [Self; 7] = [
        Self::Finalized,
        Self::Proposed,
        Self::Quorum,
        Self::Lonely,
        Self::Disagreeing,
        Self::Thin,
        Self::Missing,
    ];

    fn is_final(self) -> bool {
        matches!(self, Self::Finalized | Self::Proposed | Self::Quorum)
    }

    /// Seconds from the window's end until the receipt can be settled.
    fn settleable_after(self, params: &ConfigParams) -> i64 {
        match self {
            Self::Finalized | Self::Proposed => params.challenge_secs,
            Self::Quorum | Self::Thin | Self::Missing => params.submit_secs + params.challenge_secs,
            Self::Disagreeing => params.challenge_secs + params.ruling_secs,
            Self::Lonely => params.submit_secs + params.challenge_secs + params.ruling_secs,
        }
    }
}

/// A world with a model and random markets on it, one after another.
struct RandomMarkets {
    rng: StdRng,
    world: World,
    params: ConfigParams,
    model: TestModel,
    creator: Wallet,
    bettors: Vec<Wallet>,
    next_id: u64,
    /// Fees of all transactions, in lamports.
    fees: u64,
    /// Value of every receipt, by window.
    values: BTreeMap<u64, u64>,
}

impl RandomMarkets {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let params = with_fee(*[0, 1, 200, 777, 2_000].choose(&mut rng).unwrap());
        let mut terms = terms();
        terms.min_bet = *[1, TOKEN / 100].choose(&mut rng).unwrap();
        // Half of a slash, times the security multiple, half of which is for markets, is just below 2⁶⁴.
        terms.slash_amount = 1 << 34;
        terms.min_bond = 1 << 35;
        let mut world = World::with(params, terms);
        let spec = spec(&world);
        let model = world.model_with(spec, 3, 1 << 35);
        let creator = world.wallet(0);
        let bettors = (0..7).map(|_| world.wallet(0)).collect();
        Self {
            rng,
            world,
            params,
            model,
            creator,
            bettors,
            next_id: 1,
            fees: 0,
            values: BTreeMap::new(),
        }
    }

    /// Unwraps a transaction, and counts its fee.
    fn sent(&mut self, outcome: Outcome) -> Sent {
        let sent = outcome.unwrap();
        self.fees += sent.metadata.fee;
        sent
    }

    /// The first window that starts in an hour or later.
    fn next_window(&self) -> u64 {
        let model = self.world.model(&self.model.address);
        let begun = (self.world.now() + HOUR - model.genesis).max(0) as u64;
        begun.div_ceil(model.window_secs as u64)
    }

    fn terms(&mut self) -> MarketTerms {
        let outcomes = self.rng.random_range(2..=8);
        // Thresholds within the range of the random values, and above it.
        let floor = self.world.model(&self.model.address).noise_floor;
        let mut thresholds: Vec<u64> = Vec::new();
        while thresholds.len() < outcomes - 1 {
            let threshold = self.rng.random_range(floor..1_500_000);
            if !thresholds.contains(&threshold) {
                thresholds.push(threshold);
            }
        }
        thresholds.sort_unstable();
        let first_window = self.next_window();
        let last_window = first_window + self.rng.random_range(0..6);
        let start = self
            .world
            .model(&self.model.address)
            .window_start(first_window)
            .unwrap();
        MarketTerms {
            model_version: 1,
            thresholds,
            aggregate: *[Aggregate::Max, Aggregate::Last, Aggregate::Mean]
                .choose(&mut self.rng)
                .unwrap(),
            first_window,
            last_window,
            min_observed: self.rng.random_range(0..=last_window - first_window + 1),
            close_ts: start - self.rng.random_range(0..HOUR),
            creator_fee_bps: self
                .rng
                .random_range(0..=2_000 - self.params.protocol_fee_bps),
            question: "In which bucket?".into(),
        }
    }

    /// Places random bets. Returns the stakes by bettor and outcome.
    fn bets(&mut self, market: &Address, terms: &MarketTerms) -> Vec<Vec<u128>> {
        let outcomes = terms.thresholds.len() + 1;
        let count = self.rng.random_range(1..=7);
        let min_bet = self.world.collateral().terms.min_bet;
        let limit = {
            let model = self.world.model(&self.model.address);
            let secured = u128::from(model.security) * u128::from(SECURITY_MULTIPLE);
            let secured = secured * u128::from(model.market_budget_bps) / 10_000;
            u64::try_from(secured).unwrap() // at least 2³² below 2⁶⁴
        };
        // The supply of a mint is at most 2⁶⁴ − 1: leave room for the balances of treasury and
        // creator.
        let held =
            self.world.tokens(&self.world.treasury()) + self.world.tokens(&self.creator.tokens);
        let mut left = limit.min(u64::MAX - held);
        let largest = match self.rng.random_range(0..3) {
            0 => min_bet * 1_000,
            1 => 1 << 45,
            _ => left,
        };
        let mut stakes = vec![vec![0_u128; outcomes]; count];
        let mut pools = vec![0_u128; outcomes];
        let mut at_risk = 0;
        for (bettor, by) in stakes.iter_mut().enumerate() {
            for _ in 0..self.rng.random_range(1..=3) {
                let outcome = self.rng.random_range(0..outcomes);
                let amount = match self.rng.random_range(0..4) {
                    0 => min_bet,
                    1 => largest / 2,
                    _ => {
                        let log = self
                            .rng
                            .random_range((min_bet as f64).ln()..(largest as f64).ln());
                        log.exp() as u64
                    }
                };
                let amount = amount.clamp(min_bet, left.max(min_bet));
                if left < amount {
                    continue;
                }
                left -= amount;
                set_tokens(&mut self.world, &self.bettors[bettor].tokens, amount);
                let outcome_of =
                    self.world
                        .bet(market, &self.bettors[bettor], outcome as u8, amount);
                let sent = self.sent(outcome_of);
                by[outcome] += u128::from(amount);
                pools[outcome] += u128::from(amount);
                at_risk += amount;
                let Event::BetPlaced(event) = sent.event() else {
                    panic!("{:?}", sent.event())
                };
                assert_eq!(u128::from(event.stake), by[outcome]);
                assert_eq!(u128::from(event.pool), pools[outcome]);
                assert_eq!(
                    event.multiple,
                    multiple(
                        &pools,
                        outcome,
                        self.params.protocol_fee_bps,
                        terms.creator_fee_bps
                    )
                );
                assert_eq!((event.market_risk, event.exposure), (at_risk, 1));
            }
        }
        stakes
    }

    /// Counts whose drift is between 0 and about 1.5.
    fn counts(&mut self) -> Vec<u32> {
        let skew = self.rng.random_range(0.0..0.6_f64);
        (0..10)
            .map(|bin| (1_000.0 * (skew * (f64::from(bin) - 4.5) / 2.0).exp()) as u32)
            .collect()
    }

    /// Creates the receipt of a window.
    fn receipt(&mut self, window: u64, kind: ReceiptKind) {
        self.world.warp_to_end(&self.model, window);
        let counts = self.counts();
        let submitters = match kind {
            ReceiptKind::Finalized | ReceiptKind::Proposed | ReceiptKind::Disagreeing => 3,
            ReceiptKind::Quorum | ReceiptKind::Thin => 2,
            ReceiptKind::Lonely => 1,
            ReceiptKind::Missing => 0,
        };
        for oracle in 0..submitters {
            let counts = if kind == ReceiptKind::Disagreeing {
                let mut counts = vec![100; 10];
                counts[0] = 1_000 * (1 + 9 * oracle as u32);
                counts
            } else if kind == ReceiptKind::Thin {
                vec![1; 10]
            } else {
                counts.clone()
            };
            let outcome = self.world.submit(&self.model, oracle, window, &counts);
            let sent = self.sent(outcome);
            let Event::ReceiptSubmitted(event) = sent.event() else {
                panic!("{:?}", sent.event())
            };
            self.values.insert(window, event.value);
        }
        if kind == ReceiptKind::Finalized {
            self.world.pass(self.params.challenge_secs);
            let outcome = self.world.finalize(&self.model, window);
            self.sent(outcome);
        }
    }

    /// Runs a market from its creation to its end. Returns whether it resolved, and the sum of all
    /// stakes.
    fn run_market(&mut self) -> (bool, u128) {
        // Given a market with bets
        let lamports = self.lamports();
        let treasury_before = self.world.tokens(&self.world.treasury());
        let creator_before = self.world.tokens(&self.creator.tokens);
        let model_before = self.world.model(&self.model.address);
        assert_eq!((model_before.market_risk, model_before.exposure), (0, 0));
        let terms = self.terms();
        let market = self.create(&terms);
        let vault = self.world.market(&market).vault;
        let stakes = self.bets(&market, &terms);

        // When its windows pass, and are settled at random times
        let (settled, observed) = self.settle_by_and_by(&market, &terms);

        // Then the settlement and all payments are as expected
        let expected = settlement(&terms, self.params.protocol_fee_bps, &stakes, &observed);
        assert_settled(&settled, &expected, &stakes);
        self.claim_all(&market, &stakes, &expected);
        self.collect_fees(&market, &expected);
        self.close(&market, &expected);
        assert_eq!(
            u128::from(self.world.tokens(&self.world.treasury()) - treasury_before),
            expected.protocol_fee + expected.dust
        );
        assert_eq!(
            u128::from(self.world.tokens(&self.creator.tokens) - creator_before),
            expected.creator_fee
        );

        // And its accounts are closed, and all lamports but the fees are back
        assert!(!self.world.exists(&market));
        assert!(!self.world.exists(&vault));
        assert_eq!(self.lamports(), lamports);
        let treasury = self.world.treasury();
        set_tokens(&mut self.world, &treasury, 0);
        set_tokens(&mut self.world, &self.creator.tokens, 0);
        let total = stakes.iter().flatten().sum();
        (expected.outcome.is_some(), total)
    }

    /// Lamports of the creator, of the bettors, and of the fee payer plus the fees of all transactions.
    fn lamports(&self) -> (u64, Vec<u64>, u64) {
        let bettors = self.bettors.iter();
        let bettors = bettors.map(|bettor| self.world.lamports(&bettor.address()));
        (
            self.world.lamports(&self.creator.address()),
            bettors.collect(),
            self.world.lamports(&self.world.payer.pubkey()) + self.fees,
        )
    }

    /// Creates a market.
    fn create(&mut self, terms: &MarketTerms) -> Address {
        let id = self.next_id;
        self.next_id += 1;
        let create = instruction::create_market(
            self.creator.address(),
            id,
            self.model.address,
            &self.world.model(&self.model.address),
            terms.clone(),
        );
        let outcome = self.world.send(create, &[&self.creator.key]);
        self.sent(outcome);
        address::market(&self.creator.address(), id)
    }

    /// Creates the receipts of all windows, and settles those that are decided from time to time until the
    /// market is settled. Returns the last event, and the values of the observed windows.
    fn settle_by_and_by(
        &mut self,
        market: &Address,
        terms: &MarketTerms,
    ) -> (events::MarketSettled, Vec<u64>) {
        let mut receipts = Vec::new();
        let mut observed = Vec::new();
        let mut next = terms.first_window;
        let mut settled = None;
        for window in terms.first_window..=terms.last_window {
            let kind = *ReceiptKind::ALL.choose(&mut self.rng).unwrap();
            self.receipt(window, kind);
            let model = self.world.model(&self.model.address);
            let end = model.window_end(window).unwrap();
            receipts.push((kind, end + kind.settleable_after(&self.params)));
            if window == terms.last_window {
                let latest = receipts.iter().map(|&(_, at)| at).max().unwrap();
                self.world.warp_to(latest.max(self.world.now()));
            }
            while settled.is_none() && (window == terms.last_window || self.rng.random_bool(0.3)) {
                let now = self.world.now();
                let ready = receipts[(next - terms.first_window) as usize..]
                    .iter()
                    .take_while(|&&(_, at)| at <= now)
                    .count() as u64;
                if ready == 0 {
                    break;
                }
                for window in next..next + ready {
                    let receipt = address::receipt(&self.model.address, window);
                    if self.world.exists(&receipt) {
                        let outcome = self.world.finalize(&self.model, window);
                        self.sent(outcome);
                    }
                }
                let outcome = self.world.settle(market);
                let sent = self.sent(outcome);
                let Event::MarketSettled(event) = sent.event().clone() else {
                    panic!("{:?}", sent.event())
                };
                for _ in 0..ready {
                    let (kind, _) = receipts[(next - terms.first_window) as usize];
                    if kind.is_final() {
                        observed.push(self.values[&next]);
                    }
                    next += 1;
                    if next > terms.last_window || self.resolves_early(terms, next - 1, kind) {
                        settled = Some(event.clone());
                        break;
                    }
                }
                assert_eq!(event.next_window, next);
                assert_eq!(event.observed, observed.len() as u64);
                assert_eq!(event.state == MarketState::Open, settled.is_none());
            }
        }
        (settled.expect("all windows are settled"), observed)
    }

    /// Whether a window resolves a market before its last window.
    fn resolves_early(&self, terms: &MarketTerms, window: u64, kind: ReceiptKind) -> bool {
        kind.is_final()
            && terms.aggregate == Aggregate::Max
            && bucket(&terms.thresholds, self.values[&window]) == terms.thresholds.len()
    }

    /// Claims all positions, in ascending or descending order of the bettors.
    fn claim_all(&mut self, market: &Address, stakes: &[Vec<u128>], expected: &Settlement) {
        let mut order: Vec<usize> = (0..stakes.len())
            .filter(|&bettor| stakes[bettor].iter().any(|&stake| stake > 0))
            .collect();
        if self.rng.random() {
            order.reverse();
        }
        for bettor in order {
            let owner = self.bettors[bettor].address();
            let outcome = self.world.claim(market, &owner);
            let sent = self.sent(outcome);
            let Event::Claimed(event) = sent.event() else {
                panic!("{:?}", sent.event())
            };
            assert_eq!(u128::from(event.paid), expected.payouts[bettor]);
            assert_eq!(self.world.tokens(&self.bettors[bettor].tokens), event.paid);
            assert!(!self.world.exists(&address::position(market, &owner)));
            // In the next market, bettors start without tokens.
            set_tokens(&mut self.world, &self.bettors[bettor].tokens, 0);
        }
    }

    fn collect_fees(&mut self, market: &Address, expected: &Settlement) {
        for (payee, fee) in [
            (FeePayee::Treasury, expected.protocol_fee),
            (FeePayee::Creator, expected.creator_fee),
        ] {
            let state = self.world.market(market);
            let collect = instruction::collect_fees(*market, &state, payee);
            let outcome = self.world.send(collect, &[]);
            if fee > 0 {
                self.sent(outcome);
            } else {
                // A refused transaction costs a fee too.
                self.fees += outcome.as_ref().err().unwrap().meta.fee;
                assert_refused(outcome, DriftShieldError::NothingToCollect);
            }
        }
    }

    fn close(&mut self, market: &Address, expected: &Settlement) {
        let state = self.world.market(market);
        assert_eq!(u128::from(state.owed), expected.dust);
        let outcome = self
            .world
            .send(instruction::close_market(*market, &state), &[]);
        let sent = self.sent(outcome);
        let Event::MarketClosed(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert_eq!(u128::from(event.swept), expected.dust);
    }
}

/// Asserts that a market was settled as expected, and that the expected payments add up to its stakes.
fn assert_settled(settled: &events::MarketSettled, expected: &Settlement, stakes: &[Vec<u128>]) {
    assert_eq!(settled.outcome.map(usize::from), expected.outcome);
    if expected.outcome.is_some() {
        assert_eq!(settled.value, expected.value);
    }
    assert_eq!(u128::from(settled.protocol_fee), expected.protocol_fee);
    assert_eq!(u128::from(settled.creator_fee), expected.creator_fee);
    assert_eq!((settled.market_risk, settled.exposure), (0, 0));
    let paid = expected.payouts.iter().sum::<u128>();
    assert_eq!(
        stakes.iter().flatten().sum::<u128>(),
        paid + expected.protocol_fee + expected.creator_fee + expected.dust
    );
    if let Some(outcome) = expected.outcome {
        let winners = stakes.iter().filter(|by| by[outcome] > 0).count();
        assert!(expected.dust < winners as u128);
    }
}

/// Writes a token account's balance.
fn set_tokens(world: &mut World, account: &Address, amount: u64) {
    let mut state = world.svm.get_account(account).unwrap();
    state.data[64..72].copy_from_slice(&amount.to_le_bytes());
    world.svm.set_account(*account, state).unwrap();
}

/// Runs eight markets for each seed.
fn random_markets(seeds: std::ops::Range<u64>) {
    let (mut resolved, mut void, mut largest) = (0, 0, 0);
    for seed in seeds {
        let mut markets = RandomMarkets::new(seed);
        for market in 0..8 {
            println!("seed {seed}, market {market}");
            let (is_resolved, total) = markets.run_market();
            resolved += u32::from(is_resolved);
            void += u32::from(!is_resolved);
            largest = largest.max(total);
        }
    }
    // Resolved, void and large markets have been tested.
    assert!(
        10 <= resolved && 5 <= void,
        "{resolved} resolved, {void} void"
    );
    assert!(1 << 63 < largest, "the largest total is {largest}");
}

#[test]
fn random_markets_match_the_reference_model() {
    random_markets(0..5);
}

#[test]
fn more_random_markets_match_the_reference_model() {
    random_markets(5..10);
}

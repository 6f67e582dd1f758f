//! Markets from their creation to their end: who is paid what, and when they resolve.

use std::collections::BTreeMap;

use anchor_lang::{Address, solana_program::instruction::AccountMeta};
use driftshield_sdk::{
    Aggregate, ConfigParams, DriftShieldError, Event, FeePayee, MarketState, MarketTerms,
    ReceiptState, TokenProgram, address, events, instruction,
};
use driftshield_tests::world::*;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use solana_instruction_error::InstructionError;
use solana_signer::Signer;
use solana_transaction_error::TransactionError;

// What the protocol says, in wide integers.

/// What a settled market pays, computed from its stakes alone.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    /// The winning outcome; none where the market is void.
    outcome: Option<usize>,
    value: u64,
    payouts: Vec<u128>,
    protocol_fee: u128,
    creator_fee: u128,
    dust: u128,
}

/// `stakes` by bettor and outcome; `observed` are the values of the windows that count, in order.
fn expected(
    terms: &MarketTerms,
    protocol_fee_bps: u16,
    stakes: &[Vec<u128>],
    observed: &[u64],
) -> Expected {
    let void = || Expected {
        outcome: None,
        value: 0,
        payouts: stakes.iter().map(|by| by.iter().sum()).collect(),
        protocol_fee: 0,
        creator_fee: 0,
        dust: 0,
    };
    if observed.is_empty() {
        return void();
    }
    let value = aggregate(terms.aggregate, observed);
    let outcome = bucket(&terms.thresholds, value);
    let winning: u128 = stakes.iter().map(|by| by[outcome]).sum();
    if winning == 0 {
        return void();
    }
    let total: u128 = stakes.iter().flatten().sum();
    let losing = total - winning;
    let fee = |bps: u16| losing * u128::from(bps) / 10_000;
    let (protocol_fee, creator_fee) = (fee(protocol_fee_bps), fee(terms.creator_fee_bps));
    let winnings = losing - protocol_fee - creator_fee;
    let payouts: Vec<u128> = stakes
        .iter()
        .map(|by| by[outcome] + by[outcome] * winnings / winning)
        .collect();
    let dust = total - protocol_fee - creator_fee - payouts.iter().sum::<u128>();
    Expected {
        outcome: Some(outcome),
        value,
        payouts,
        protocol_fee,
        creator_fee,
        dust,
    }
}

fn aggregate(aggregate: Aggregate, observed: &[u64]) -> u64 {
    match aggregate {
        Aggregate::Max => *observed.iter().max().unwrap(),
        Aggregate::Last => *observed.last().unwrap(),
        Aggregate::Mean => observed.iter().sum::<u64>() / observed.len() as u64,
    }
}

fn bucket(thresholds: &[u64], value: u64) -> usize {
    thresholds
        .iter()
        .filter(|&&threshold| threshold <= value)
        .count()
}

/// The payout multiple of an outcome, in thousandths.
fn multiple(pools: &[u128], outcome: usize, protocol_bps: u16, creator_bps: u16) -> u64 {
    let winning = pools[outcome];
    let losing = pools.iter().sum::<u128>() - winning;
    let fees =
        losing * u128::from(protocol_bps) / 10_000 + losing * u128::from(creator_bps) / 10_000;
    let multiple = 1_000 + 1_000 * (losing - fees) / winning;
    u64::try_from(multiple).unwrap_or(u64::MAX)
}

// Random markets.

const SECURITY_MULTIPLE: u32 = u32::MAX;

fn with_fee(protocol_fee_bps: u16) -> ConfigParams {
    ConfigParams {
        security_multiple: SECURITY_MULTIPLE,
        protocol_fee_bps,
        ..params()
    }
}

/// How a window's receipt comes about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// All submit, somebody finalizes.
    Finalized,
    /// All submit, nobody finalizes.
    Proposed,
    /// A quorum submits, nobody finalizes.
    Quorum,
    /// One submits, nobody finalizes.
    Lonely,
    /// All submit, far apart, and no ruling comes.
    Disagreeing,
    /// Nobody submits.
    Missing,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Finalized,
        Self::Proposed,
        Self::Quorum,
        Self::Lonely,
        Self::Disagreeing,
        Self::Missing,
    ];

    fn is_final(self) -> bool {
        matches!(self, Self::Finalized | Self::Proposed | Self::Quorum)
    }

    /// How long after its window's end time has decided the receipt.
    fn decided_after(self, params: &ConfigParams) -> i64 {
        match self {
            Self::Finalized | Self::Proposed => params.challenge_secs,
            Self::Quorum => params.submit_secs + params.challenge_secs,
            Self::Lonely | Self::Missing => params.submit_secs,
            Self::Disagreeing => params.ruling_secs,
        }
    }
}

/// One world of a seed, with a model, whose markets follow each other.
struct Life {
    rng: StdRng,
    world: World,
    params: ConfigParams,
    model: TestModel,
    creator: Wallet,
    bettors: Vec<Wallet>,
    next_id: u64,
    /// Fees of all transactions.
    fees: u64,
    /// What every receipt's drift was, by window.
    values: BTreeMap<u64, u64>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let params = with_fee(*[0, 1, 200, 777, 2_000].choose(&mut rng).unwrap());
        let mut terms = terms();
        terms.min_bet = *[1, TOKEN / 100].choose(&mut rng).unwrap();
        // Half of one seat's, times the multiple, is nearly all that 64 bits hold.
        terms.slash_amount = 1 << 33;
        terms.min_bond = 1 << 33;
        let mut world = World::with(params, terms);
        let spec = spec(&world);
        let model = world.model_with(spec, 3, 1 << 33);
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

    fn sent(&mut self, outcome: Outcome) -> Sent {
        let sent = outcome.unwrap();
        self.fees += sent.metadata.fee;
        sent
    }

    /// The first that begins in an hour or later.
    fn next_window(&self) -> u64 {
        let model = self.world.model(&self.model.address);
        let begun = (self.world.now() + HOUR - model.genesis).max(0) as u64;
        begun.div_ceil(model.window_secs as u64)
    }

    fn terms(&mut self) -> MarketTerms {
        let outcomes = self.rng.random_range(2..=8);
        // Among the values of random windows, and beyond.
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
            close_ts: start - self.rng.random_range(0..HOUR),
            creator_fee_bps: self
                .rng
                .random_range(0..=2_000 - self.params.protocol_fee_bps),
            question: "In which bucket?".into(),
        }
    }

    /// Bets of random sizes; returns the stakes by bettor and outcome.
    fn bets(&mut self, market: &Address, terms: &MarketTerms) -> Vec<Vec<u128>> {
        let outcomes = terms.thresholds.len() + 1;
        let count = self.rng.random_range(1..=7);
        let min_bet = self.world.collateral().terms.min_bet;
        let limit = {
            let model = self.world.model(&self.model.address);
            let secured = u128::from(model.security) * u128::from(SECURITY_MULTIPLE);
            u64::try_from(secured).unwrap() // below 2⁶⁴ by 2³² and more
        };
        // What the treasury and the creator hold already must fit beside all stakes.
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
                assert_eq!((event.at_risk, event.exposure), (at_risk, 1));
            }
        }
        stakes
    }

    /// Counts of a drift anywhere between none and about 1.5.
    fn counts(&mut self) -> Vec<u32> {
        let skew = self.rng.random_range(0.0..0.6_f64);
        (0..10)
            .map(|bin| (1_000.0 * (skew * (f64::from(bin) - 4.5) / 2.0).exp()) as u32)
            .collect()
    }

    fn receipt(&mut self, window: u64, kind: Kind) {
        self.world.warp_to_end(&self.model, window);
        let counts = self.counts();
        let submitters = match kind {
            Kind::Finalized | Kind::Proposed | Kind::Disagreeing => 3,
            Kind::Quorum => 2,
            Kind::Lonely => 1,
            Kind::Missing => 0,
        };
        for oracle in 0..submitters {
            let counts = if kind == Kind::Disagreeing {
                let mut counts = vec![100; 10];
                counts[0] = 1_000 * (1 + 9 * oracle as u32);
                counts
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
        if kind == Kind::Finalized {
            self.world.pass(self.params.challenge_secs);
            let finalize = instruction::finalize_receipt(self.model.address, window);
            let outcome = self.world.send(finalize, &[]);
            self.sent(outcome);
        }
    }

    /// A whole market. Returns whether it resolved, and all stakes.
    fn market(&mut self) -> (bool, u128) {
        // Given a market with bets
        let lamports = |life: &Self| {
            let bettors = life
                .bettors
                .iter()
                .map(|bettor| life.world.lamports(&bettor.address()));
            (
                life.world.lamports(&life.creator.address()),
                bettors.collect::<Vec<_>>(),
                life.world.lamports(&life.world.payer.pubkey()) + life.fees,
            )
        };
        let before = lamports(self);
        let treasury_before = self.world.tokens(&self.world.treasury());
        let creator_before = self.world.tokens(&self.creator.tokens);
        let model_before = self.world.model(&self.model.address);
        assert_eq!((model_before.at_risk, model_before.exposure), (0, 0));

        let terms = self.terms();
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
        let market = address::market(&self.creator.address(), id);
        let stakes = self.bets(&market, &terms);
        let total: u128 = stakes.iter().flatten().sum();

        // When its windows pass, and are settled in batches as time decides them
        let top = terms.thresholds.len();
        let mut decided = Vec::new();
        let mut observed = Vec::new();
        let mut next = terms.first_window;
        let mut settled = None;
        for window in terms.first_window..=terms.last_window {
            let kind = *Kind::ALL.choose(&mut self.rng).unwrap();
            self.receipt(window, kind);
            let end = self
                .world
                .model(&self.model.address)
                .window_end(window)
                .unwrap();
            decided.push((kind, end + kind.decided_after(&self.params)));
            if window == terms.last_window {
                let latest = decided.iter().map(|&(_, at)| at).max().unwrap();
                self.world.warp_to(latest.max(self.world.now()));
            }
            while settled.is_none() && (window == terms.last_window || self.rng.random_bool(0.3)) {
                let now = self.world.now();
                let ready = decided[(next - terms.first_window) as usize..]
                    .iter()
                    .take_while(|&&(_, at)| at <= now)
                    .count() as u64;
                if ready == 0 {
                    break;
                }
                let batch = self.rng.random_range(1..=ready);
                let outcome = self.world.settle(&market, batch);
                let sent = self.sent(outcome);
                let Event::MarketSettled(event) = sent.event().clone() else {
                    panic!("{:?}", sent.event())
                };
                for _ in 0..batch {
                    let (kind, _) = decided[(next - terms.first_window) as usize];
                    if kind.is_final() {
                        observed.push(self.values[&next]);
                    }
                    next += 1;
                    let early = kind.is_final()
                        && terms.aggregate == Aggregate::Max
                        && bucket(&terms.thresholds, self.values[&(next - 1)]) == top;
                    if early || next > terms.last_window {
                        settled = Some(event.clone());
                        break;
                    }
                }
                assert_eq!(event.next_window, next);
                assert_eq!(event.observed, observed.len() as u64);
                assert_eq!(event.state == MarketState::Open, settled.is_none());
            }
        }

        // Then it pays what the protocol says
        let settled = settled.expect("all windows are settled");
        let want = expected(&terms, self.params.protocol_fee_bps, &stakes, &observed);
        assert_eq!(settled.outcome.map(usize::from), want.outcome);
        if want.outcome.is_some() {
            assert_eq!(settled.value, want.value);
        }
        assert_eq!(u128::from(settled.protocol_fee), want.protocol_fee);
        assert_eq!(u128::from(settled.creator_fee), want.creator_fee);
        assert_eq!((settled.at_risk, settled.exposure), (0, 0));
        let paid = want.payouts.iter().sum::<u128>();
        assert_eq!(
            total,
            paid + want.protocol_fee + want.creator_fee + want.dust
        );
        if let Some(outcome) = want.outcome {
            let winners = stakes.iter().filter(|by| by[outcome] > 0).count();
            assert!(want.dust < winners as u128);
        }

        let mut order: Vec<usize> = (0..stakes.len())
            .filter(|&bettor| stakes[bettor].iter().any(|&stake| stake > 0))
            .collect();
        if self.rng.random() {
            order.reverse();
        }
        for bettor in order {
            let owner = self.bettors[bettor].address();
            let outcome = self.world.claim(&market, &owner);
            let sent = self.sent(outcome);
            let Event::Claimed(event) = sent.event() else {
                panic!("{:?}", sent.event())
            };
            assert_eq!(u128::from(event.paid), want.payouts[bettor]);
            assert_eq!(self.world.tokens(&self.bettors[bettor].tokens), event.paid);
            assert!(!self.world.exists(&address::position(&market, &owner)));
            // The next market's bettors begin with what they are given.
            set_tokens(&mut self.world, &self.bettors[bettor].tokens, 0);
        }
        for (payee, fee) in [
            (FeePayee::Treasury, want.protocol_fee),
            (FeePayee::Creator, want.creator_fee),
        ] {
            let state = self.world.market(&market);
            let collect = instruction::collect_fees(market, &state, payee);
            let outcome = self.world.send(collect, &[]);
            if fee > 0 {
                self.sent(outcome);
            } else {
                // A refused transaction costs its fee too.
                self.fees += outcome.as_ref().err().unwrap().meta.fee;
                assert_refused(outcome, DriftShieldError::NothingToCollect);
            }
        }
        let state = self.world.market(&market);
        assert_eq!(u128::from(state.owed), want.dust);
        let outcome = self
            .world
            .send(instruction::close_market(market, &state), &[]);
        let sent = self.sent(outcome);
        let Event::MarketClosed(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert_eq!(u128::from(event.swept), want.dust);
        assert_eq!(
            u128::from(self.world.tokens(&self.world.treasury()) - treasury_before),
            want.protocol_fee + want.dust
        );
        assert_eq!(
            u128::from(self.world.tokens(&self.creator.tokens) - creator_before),
            want.creator_fee
        );

        // And nothing is left of it but what the transactions cost
        assert!(!self.world.exists(&market));
        assert!(!self.world.exists(&state.vault));
        assert_eq!(lamports(self), before);
        let treasury = self.world.treasury();
        set_tokens(&mut self.world, &treasury, 0);
        set_tokens(&mut self.world, &self.creator.tokens, 0);
        (want.outcome.is_some(), total)
    }
}

/// Writes a token account's balance.
fn set_tokens(world: &mut World, account: &Address, amount: u64) {
    let mut state = world.svm.get_account(account).unwrap();
    state.data[64..72].copy_from_slice(&amount.to_le_bytes());
    world.svm.set_account(*account, state).unwrap();
}

fn random_markets(seeds: std::ops::Range<u64>) {
    let (mut resolved, mut void, mut largest) = (0, 0, 0);
    for seed in seeds {
        let mut life = Life::new(seed);
        for market in 0..8 {
            println!("seed {seed}, market {market}");
            let (is_resolved, total) = life.market();
            resolved += u32::from(is_resolved);
            void += u32::from(!is_resolved);
            largest = largest.max(total);
        }
    }
    // The markets are of all kinds.
    assert!(
        10 <= resolved && 5 <= void,
        "{resolved} resolved, {void} void"
    );
    assert!(1 << 63 < largest, "{largest}");
}

#[test]
fn random_markets_pay_what_the_protocol_says() {
    random_markets(0..5);
}

#[test]
fn more_random_markets_pay_what_the_protocol_says() {
    random_markets(5..10);
}

// Single behaviours.

/// A market with a yes and a no bettor of 100 tokens each, of which `yes` and `no` are bet.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) model: TestModel,
    pub(crate) creator: Wallet,
    pub(crate) market: Address,
    pub(crate) yes: Wallet,
    pub(crate) no: Wallet,
}

pub(crate) fn scene_with(
    mut world: World,
    aggregate: Aggregate,
    yes_bet: u64,
    no_bet: u64,
) -> Scene {
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = MarketTerms {
        aggregate,
        ..market_terms(&world, &model)
    };
    let market = world.create_market(&model, &creator, 1, terms).unwrap();
    let yes = world.wallet(100 * TOKEN);
    let no = world.wallet(100 * TOKEN);
    for (bettor, outcome, amount) in [(&yes, 1, yes_bet), (&no, 0, no_bet)] {
        if amount > 0 {
            world.bet(&market, bettor, outcome, amount).unwrap();
        }
    }
    Scene {
        world,
        model,
        creator,
        market,
        yes,
        no,
    }
}

pub(crate) fn scene(aggregate: Aggregate) -> Scene {
    scene_with(World::new(), aggregate, 40 * TOKEN, 60 * TOKEN)
}

pub(crate) fn settled(outcome: Outcome) -> events::MarketSettled {
    let sent = outcome.unwrap();
    let Event::MarketSettled(event) = sent.event().clone() else {
        panic!("{:?}", sent.event())
    };
    event
}

pub(crate) fn claimed(outcome: Outcome) -> events::Claimed {
    let sent = outcome.unwrap();
    let Event::Claimed(event) = sent.event().clone() else {
        panic!("{:?}", sent.event())
    };
    event
}

impl Scene {
    /// The drift reaches the threshold in the first window, and the market resolves by `Max`.
    pub(crate) fn resolve_yes(&mut self) {
        self.world.finalize_with(&self.model, 1, &DRIFTED);
        let event = settled(self.world.settle(&self.market, 1));
        assert_eq!(event.outcome, Some(1));
    }

    pub(crate) fn claim(&mut self, owner: Address) -> events::Claimed {
        claimed(self.world.claim(&self.market, &owner))
    }

    pub(crate) fn claim_both(&mut self) {
        self.claim(self.yes.address());
        self.claim(self.no.address());
    }

    pub(crate) fn collect(&mut self, payee: FeePayee) -> Sent {
        let state = self.world.market(&self.market);
        let collect = instruction::collect_fees(self.market, &state, payee);
        self.world.send(collect, &[]).unwrap()
    }

    pub(crate) fn close(&mut self) -> events::MarketClosed {
        let state = self.world.market(&self.market);
        let close = instruction::close_market(self.market, &state);
        let sent = self.world.send(close, &[]).unwrap();
        let Event::MarketClosed(event) = sent.event().clone() else {
            panic!("{:?}", sent.event())
        };
        event
    }
}

/// What both bettors have after `Scene::resolve_yes`: the fees are 3% of the losing 60 tokens.
const YES_PAID: u64 = 40 * TOKEN + 60 * TOKEN * 97 / 100;

/// Refused because an account that an earlier instruction closed is no longer the program's.
#[track_caller]
pub(crate) fn assert_gone(outcome: Outcome, instruction: u8) {
    let err = outcome.map(|sent| sent.events).expect_err("refused").err;
    assert_eq!(
        err,
        TransactionError::InstructionError(instruction, InstructionError::AccountDataTooSmall)
    );
}

#[test]
fn a_market_pays_its_winners() {
    // Given a market with bets on both outcomes
    let mut s = scene(Aggregate::Max);
    s.world.bet(&s.market, &s.no, 0, 10 * TOKEN).unwrap();

    // When the drift reaches the threshold in the second of three windows
    s.world.finalize_with(&s.model, 1, &CALM);
    let event = settled(s.world.settle(&s.market, 1));
    assert_eq!((event.state, event.outcome), (MarketState::Open, None));
    s.world.finalize_with(&s.model, 2, &DRIFTED);
    let event = settled(s.world.settle(&s.market, 1));

    // Then it is decided, and the winner gets the losers' stakes less 3%
    assert_eq!(event.outcome, Some(1));
    assert_eq!(s.world.market(&s.market).state, MarketState::Resolved);
    s.claim_both();
    assert_eq!(
        s.world.tokens(&s.yes.tokens),
        100 * TOKEN + 70 * TOKEN * 97 / 100
    );
    assert_eq!(s.world.tokens(&s.no.tokens), 30 * TOKEN);
    s.collect(FeePayee::Treasury);
    s.collect(FeePayee::Creator);
    assert_eq!(s.close().swept, 0);
    assert_eq!(s.world.tokens(&s.creator.tokens), 70 * TOKEN / 100);
    assert_eq!(s.world.tokens(&s.world.treasury()), 70 * TOKEN * 2 / 100);
    assert_eq!(s.world.model(&s.model.address).at_risk, 0);
}

#[test]
fn without_an_observed_window_a_market_is_void() {
    // Given a market of three windows
    let mut s = scene(Aggregate::Max);

    // When one has a receipt without a quorum, and the others have none
    s.world.warp_to_end(&s.model, 1);
    s.world.submit(&s.model, 0, 1, &DRIFTED).unwrap();
    s.world.warp_to_end(&s.model, 3);
    s.world.pass(params().submit_secs);
    let event = settled(s.world.settle(&s.market, 3));

    // Then it is void, and every stake comes back
    assert_eq!(
        (event.state, event.outcome, event.observed),
        (MarketState::Void, None, 0)
    );
    assert_eq!(event.receipts[0].state, ReceiptState::Void);
    assert_eq!((event.protocol_fee, event.creator_fee), (0, 0));
    assert_eq!((event.at_risk, event.exposure), (0, 0));
    assert_eq!(s.claim(s.yes.address()).paid, 40 * TOKEN);
    assert_eq!(s.claim(s.no.address()).paid, 60 * TOKEN);
    assert_eq!(s.close().swept, 0);
}

#[test]
fn without_a_stake_on_the_winning_outcome_a_market_is_void() {
    // Given a market on which nobody bet yes
    let mut s = scene_with(World::new(), Aggregate::Max, 0, 60 * TOKEN);

    // When the drift reaches the threshold
    s.world.finalize_with(&s.model, 1, &DRIFTED);
    let event = settled(s.world.settle(&s.market, 1));

    // Then it is void, and every stake comes back
    assert_eq!((event.state, event.outcome), (MarketState::Void, None));
    assert_eq!(s.claim(s.no.address()).paid, 60 * TOKEN);
    assert_eq!(s.close().swept, 0);
}

#[test]
fn a_market_settled_after_retention_is_void_without_receipts() {
    // Given a market that nobody settled while its receipts were sure to be there
    let mut s = scene(Aggregate::Max);
    s.world.finalize_with(&s.model, 1, &DRIFTED);
    let over = s.world.model(&s.model.address).window_end(1).unwrap() + params().retention_secs;
    s.world.warp_to(over);

    // When it is settled without passing any
    let event = settled(s.world.settle(&s.market, 0));

    // Then it is void
    assert_eq!((event.state, event.next_window), (MarketState::Void, 1));
    assert_eq!((event.at_risk, event.exposure), (0, 0));
    s.claim_both();
    assert_eq!(s.world.tokens(&s.yes.tokens), 100 * TOKEN);
    assert_eq!(s.world.tokens(&s.no.tokens), 100 * TOKEN);
}

#[test]
fn a_market_settled_a_second_before_retention_ends_resolves() {
    // Given a market that was nearly forgotten
    let mut s = scene(Aggregate::Max);
    s.world.finalize_with(&s.model, 1, &DRIFTED);
    let over = s.world.model(&s.model.address).window_end(1).unwrap() + params().retention_secs;
    s.world.warp_to(over - 1);

    // When it is settled a second before the retention of its first window ends
    let event = settled(s.world.settle(&s.market, 1));

    // Then the receipt counts
    assert_eq!(event.outcome, Some(1));
}

#[test]
fn a_window_past_retention_voids_a_partly_settled_market() {
    // Given a market of which one window is settled
    let mut s = scene(Aggregate::Max);
    s.world.finalize_with(&s.model, 1, &CALM);
    settled(s.world.settle(&s.market, 1));

    // When the others follow after the second one's retention
    let over = s.world.model(&s.model.address).window_end(2).unwrap() + params().retention_secs;
    s.world.warp_to(over);
    let event = settled(s.world.settle(&s.market, 2));

    // Then it is void, whatever was observed
    assert_eq!(
        (event.state, event.next_window, event.observed),
        (MarketState::Void, 2, 1)
    );
}

#[test]
fn max_resolves_early_and_ignores_the_rest_of_the_batch() {
    // Given a market by Max with a receipt in its top bucket
    let mut s = scene(Aggregate::Max);
    s.world.finalize_with(&s.model, 1, &DRIFTED);

    // When a batch holds also a window that has not begun, and a stranger's account
    let state = s.world.market(&s.market);
    let mut settle = instruction::settle_market(s.market, &state, 2);
    settle
        .accounts
        .push(AccountMeta::new(s.creator.address(), false));
    let event = settled(s.world.send(settle, &[]));

    // Then the first receipt decides, and the rest is not looked at
    assert_eq!((event.outcome, event.next_window), (Some(1), 2));
    assert_eq!(event.value, s.world.receipt(&s.model.address, 1).value);
}

#[test]
fn last_takes_the_latest_observed_window() {
    // Given a market by Last
    let mut s = scene(Aggregate::Last);

    // When a drifted window is followed by a calm one and by one without a receipt
    s.world.finalize_with(&s.model, 1, &DRIFTED);
    let event = settled(s.world.settle(&s.market, 1));
    assert_eq!(event.state, MarketState::Open, "Last decides nothing early");
    s.world.finalize_with(&s.model, 2, &CALM);
    s.world.warp_to_end(&s.model, 3);
    s.world.pass(params().submit_secs);
    let event = settled(s.world.settle(&s.market, 2));

    // Then the calm one decides
    assert_eq!(
        (event.outcome, event.value, event.observed),
        (Some(0), 0, 2)
    );
}

#[test]
fn mean_is_floored_over_the_observed_windows() {
    // Given a market by Mean
    let mut s = scene(Aggregate::Mean);

    // When one of its windows is calm, and two are not
    s.world.finalize_with(&s.model, 1, &CALM);
    s.world.finalize_with(&s.model, 2, &DRIFTED);
    let mut counts = DRIFTED;
    counts[0] += 1;
    s.world.finalize_with(&s.model, 3, &counts);
    let [calm, drifted, more] = [1, 2, 3].map(|w| s.world.receipt(&s.model.address, w).value);
    let sum = calm + drifted + more;
    assert_ne!(sum % 3, 0, "there is something to floor");
    let event = settled(s.world.settle(&s.market, 3));

    // Then the value is the floored mean of all three
    assert_eq!((event.accumulator, event.value), (sum, sum / 3));
}

#[test]
fn a_market_is_settled_partly_before_and_partly_after_finalization() {
    // Given a finalized window, a proposed one, and one that nobody submitted for
    let mut s = scene(Aggregate::Mean);
    s.world.finalize_with(&s.model, 1, &CALM);
    settled(s.world.settle(&s.market, 1));
    s.world.submit_all(&s.model, 2, &DRIFTED);
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );
    s.world.warp_to_end(&s.model, 3);
    s.world.pass(params().submit_secs);

    // When the rest is settled
    let event = settled(s.world.settle(&s.market, 2));

    // Then both receipts count
    let value = s.world.receipt(&s.model.address, 2).value;
    assert_eq!((event.observed, event.value), (2, value / 2));
    assert_eq!(event.outcome, Some(1));
}

#[test]
fn settling_finalizes_what_time_has_decided() {
    // Given a receipt with a quorum, one without, and one that is proposed
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 1);
    s.world.submit(&s.model, 0, 1, &CALM).unwrap();
    s.world.submit(&s.model, 1, 1, &CALM).unwrap();
    s.world.warp_to_end(&s.model, 2);
    s.world.submit(&s.model, 0, 2, &CALM).unwrap();
    s.world.submit_all(&s.model, 3, &DRIFTED);
    let before = s.world.model(&s.model.address);
    assert_eq!((before.final_count, before.open_receipts), (0, 3));
    assert_eq!((before.at_risk, before.exposure), (100 * TOKEN, 1));

    // When the market is settled once their time is over
    s.world.pass(params().challenge_secs);
    let event = settled(s.world.settle(&s.market, 3));

    // Then all are finalized on the way
    let states: Vec<_> = event.receipts.iter().map(|r| (r.window, r.state)).collect();
    assert_eq!(
        states,
        [
            (1, ReceiptState::Final),
            (2, ReceiptState::Void),
            (3, ReceiptState::Final)
        ]
    );
    let value = event.receipts[2].value;
    assert_eq!(
        s.world.receipt(&s.model.address, 3).state,
        ReceiptState::Final
    );
    assert_eq!(event.outcome, Some(1));

    // And the model follows
    let model = s.world.model(&s.model.address);
    assert_eq!((model.final_count, model.open_receipts), (2, 0));
    assert_eq!(
        (model.last_window, model.last_value, model.max_value),
        (3, value, value)
    );
    assert_eq!(model.ewma, value / 8);
    assert_eq!((model.at_risk, model.exposure), (0, 0));
    assert_ne!(model.chain, before.chain);
    assert_eq!(event.chain, model.chain);
    assert_eq!((event.at_risk, event.exposure), (0, 0));
}

#[test]
fn a_settled_market_frees_only_its_own_risk() {
    // Given two markets on one model
    let mut s = scene(Aggregate::Max);
    let terms = market_terms(&s.world, &s.model);
    let other = s
        .world
        .create_market(&s.model, &s.creator, 2, terms)
        .unwrap();
    s.world.bet(&other, &s.yes, 1, 7 * TOKEN).unwrap();
    let model = s.world.model(&s.model.address);
    assert_eq!((model.at_risk, model.exposure), (107 * TOKEN, 2));

    // When one is settled
    s.resolve_yes();

    // Then the other's stakes are still at risk
    let model = s.world.model(&s.model.address);
    assert_eq!((model.at_risk, model.exposure), (7 * TOKEN, 1));
}

#[test]
fn a_donation_changes_no_payout_and_goes_to_the_treasury() {
    // Given a resolved market to whose vault somebody sent tokens before
    let mut s = scene(Aggregate::Max);
    let vault = s.world.market(&s.market).vault;
    s.world.mint_to(&vault, 12_345);
    s.resolve_yes();

    // When everybody is paid
    s.claim_both();
    s.collect(FeePayee::Treasury);
    s.collect(FeePayee::Creator);
    let swept = s.close().swept;

    // Then nobody got more, and the treasury has the donation
    assert_eq!(s.world.tokens(&s.yes.tokens), 60 * TOKEN + YES_PAID);
    assert_eq!(s.world.tokens(&s.creator.tokens), 60 * TOKEN / 100);
    assert_eq!(swept, 12_345);
    assert_eq!(
        s.world.tokens(&s.world.treasury()),
        60 * TOKEN * 2 / 100 + 12_345
    );
}

#[test]
fn anyone_may_claim_for_an_owner() {
    // Given a resolved market
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    let lamports = s.world.lamports(&s.yes.address());
    let position = address::position(&s.market, &s.yes.address());
    let rent = s.world.lamports(&position);

    // When a claim is sent that its owner does not sign
    let event = s.claim(s.yes.address());

    // Then the owner's associated token account is paid, and the rent goes to the owner
    assert_eq!(event.paid, YES_PAID);
    assert_eq!(
        (event.owner, event.destination),
        (s.yes.address(), s.yes.tokens)
    );
    assert_eq!(event.positions, 1);
    assert_eq!(s.world.tokens(&s.yes.tokens), 60 * TOKEN + YES_PAID);
    assert_eq!(s.world.lamports(&s.yes.address()), lamports + rent);
    assert!(!s.world.exists(&position));
}

#[test]
fn an_owner_who_signs_is_paid_anywhere() {
    // Given a resolved market, and a token account of somebody else's
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    let elsewhere = s.world.wallet(0).tokens;

    // When the winner signs a claim to it
    let state = s.world.market(&s.market);
    let mut claim = instruction::claim(s.yes.address(), s.market, &state);
    replace(&mut claim.accounts, s.yes.tokens, elsewhere);
    sign(&mut claim.accounts, s.yes.address());
    s.world.send(claim, &[&s.yes.key]).unwrap();

    // Then it is paid there
    assert_eq!(s.world.tokens(&elsewhere), YES_PAID);
}

#[test]
fn a_loser_needs_no_token_account() {
    // Given a resolved market whose loser has closed its token account
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    let gone = solana_account::Account::default();
    s.world.svm.set_account(s.no.tokens, gone).unwrap();
    assert!(!s.world.exists(&s.no.tokens));

    // When its position is claimed
    let event = s.claim(s.no.address());

    // Then the position is closed, and nothing is paid
    assert_eq!((event.paid, event.positions), (0, 1));
    assert!(
        !s.world
            .exists(&address::position(&s.market, &s.no.address()))
    );
    assert!(!s.world.exists(&s.no.tokens));
}

/// A world whose mint can freeze accounts.
fn freezing_world() -> World {
    let mut world = World::new();
    let payer = world.payer.pubkey();
    world.mint = set_mint(
        &mut world.svm,
        &key("freezing mint").pubkey(),
        &payer,
        Some(&payer),
    );
    let admin = world.admin.insecure_clone();
    let register = instruction::register_collateral(
        admin.pubkey(),
        world.mint,
        TokenProgram::SplToken,
        terms(),
        true,
    );
    world.send(register, &[&admin]).unwrap();
    world
}

/// What the mint's issuer does to a token account.
fn set_frozen(world: &mut World, account: &Address, frozen: bool) {
    let mut state = world.svm.get_account(account).unwrap();
    state.data[108] = if frozen { 2 } else { 1 };
    world.svm.set_account(*account, state).unwrap();
}

#[test]
fn a_frozen_winner_keeps_nobody_else_waiting() {
    // Given a resolved market with two winners, one of whom the mint's issuer froze
    let mut s = scene_with(freezing_world(), Aggregate::Max, 40 * TOKEN, 60 * TOKEN);
    let frozen = s.world.wallet(100 * TOKEN);
    s.world.bet(&s.market, &frozen, 1, 40 * TOKEN).unwrap();
    s.resolve_yes();
    set_frozen(&mut s.world, &frozen.tokens, true);

    // When all claim
    let refused = s.world.claim(&s.market, &frozen.address());
    s.claim_both();
    s.collect(FeePayee::Treasury);
    s.collect(FeePayee::Creator);

    // Then only the frozen one waits
    const ACCOUNT_FROZEN: u32 = 17; // the token program's
    assert_eq!(code(refused), ACCOUNT_FROZEN);
    let paid = 40 * TOKEN + 60 * TOKEN * 97 / 100 / 2;
    assert_eq!(s.world.tokens(&s.yes.tokens), 60 * TOKEN + paid);
    let state = s.world.market(&s.market);
    assert_eq!((state.owed, state.positions), (paid, 1));

    // And is paid once it is thawed
    set_frozen(&mut s.world, &frozen.tokens, false);
    assert_eq!(s.claim(frozen.address()).paid, paid);
    s.close();
}

#[test]
fn a_position_is_claimed_once_in_a_transaction() {
    // Given a resolved market
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();

    // When a transaction claims the same position twice
    let state = s.world.market(&s.market);
    let claim = instruction::claim(s.yes.address(), s.market, &state);
    let outcome = s.world.send_all(&[claim.clone(), claim], &[]);

    // Then it is refused as a whole
    assert_gone(outcome, 1);
    assert_eq!(s.world.tokens(&s.yes.tokens), 60 * TOKEN);
}

#[test]
fn a_closed_position_stays_closed() {
    // Given a claimed position
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    s.claim(s.yes.address());

    // When it is claimed again
    let outcome = s.world.claim(&s.market, &s.yes.address());

    // Then there is none
    assert_gone(outcome, 0);
}

#[test]
fn a_closed_market_stays_closed() {
    // Given a closed market
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    s.claim_both();
    s.collect(FeePayee::Treasury);
    s.collect(FeePayee::Creator);
    let state = s.world.market(&s.market);
    let close = instruction::close_market(s.market, &state);
    let twice = s.world.send_all(&[close.clone(), close.clone()], &[]);
    assert_gone(twice, 1);
    s.world.send(close.clone(), &[]).unwrap();

    // When anything is asked of it, then there is none
    assert_gone(s.world.send(close, &[]), 0);
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let collect = instruction::collect_fees(s.market, &state, payee);
        assert_gone(s.world.send(collect, &[]), 0);
    }
    let claim = instruction::claim(s.yes.address(), s.market, &state);
    assert_gone(s.world.send(claim, &[]), 0);
    let settle = instruction::settle_market(s.market, &state, 1);
    assert_gone(s.world.send(settle, &[]), 0);
}

#[test]
fn lamports_sent_ahead_stop_nothing() {
    // Given a lamport at the addresses of a market, its vault and a position to come
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let yes = world.wallet(100 * TOKEN);
    let market = address::market(&creator.address(), 1);
    let position = address::position(&market, &yes.address());
    for address in [market, address::market_vault(&market), position] {
        let lamport = solana_account::Account {
            lamports: 1,
            ..Default::default()
        };
        world.svm.set_account(address, lamport).unwrap();
    }
    let before = [&creator, &yes].map(|who| world.lamports(&who.address()));

    // When the market lives and ends
    let terms = market_terms(&world, &model);
    world.create_market(&model, &creator, 1, terms).unwrap();
    world.bet(&market, &yes, 1, 40 * TOKEN).unwrap();
    world.finalize_with(&model, 1, &DRIFTED);
    world.settle(&market, 1).unwrap();
    world.claim(&market, &yes.address()).unwrap();
    let close = instruction::close_market(market, &world.market(&market));
    world.send(close, &[]).unwrap();

    // Then all is paid, and the lamports went to those whose accounts they were sent to
    assert_eq!(world.tokens(&yes.tokens), 100 * TOKEN);
    let after = [&creator, &yes].map(|who| world.lamports(&who.address()));
    assert_eq!(after, [before[0] + 2, before[1] + 1]);
}

#[test]
fn a_missing_receipt_with_lamports_is_still_missing() {
    // Given a market of whose first window somebody sent the receipt's address a lamport
    let mut s = scene(Aggregate::Max);
    let receipt = address::receipt(&s.model.address, 1);
    s.world.svm.airdrop(&receipt, 1_000_000).unwrap();

    // When nobody submitted in time
    s.world.warp_to_end(&s.model, 1);
    s.world.pass(params().submit_secs);
    let event = settled(s.world.settle(&s.market, 1));

    // Then the window is skipped
    assert_eq!((event.next_window, event.observed), (2, 0));
}

/// Puts `other` in the place of `account`.
pub(crate) fn replace(accounts: &mut [AccountMeta], account: Address, other: Address) {
    let meta = accounts.iter_mut().find(|meta| meta.pubkey == account);
    meta.expect("one of the accounts").pubkey = other;
}

pub(crate) fn sign(accounts: &mut [AccountMeta], signer: Address) {
    let meta = accounts.iter_mut().find(|meta| meta.pubkey == signer);
    meta.expect("one of the accounts").is_signer = true;
}

//! What is due: a pure function of what was read from the chain.
//!
//! The rules are the program's own: its methods are asked on copies of the accounts.

mod insurance;

use std::collections::BTreeMap;

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{
    ChallengePayee, Collateral, Exposure, FeePayee, Market, Model, ModelStatus, Policy, Position,
    Receipt, ReceiptState, Seat, TokenProgram, Vault, WithdrawRequest, address, instruction,
    token::TokenAccount,
};

/// The most windows that one transaction settles.
const SETTLE_WINDOWS: usize = 20;

/// What was read from the chain in one round.
pub struct State {
    /// The chain's time, unix seconds.
    pub now: i64,
    /// Who pays for transactions, and the oracle that submits.
    pub payer: Address,
    pub models: Vec<ModelState>,
    /// What the program's admin has paused.
    pub paused: u8,
    /// By mint.
    pub collaterals: BTreeMap<Address, Collateral>,
    /// All vaults in the models' tokens.
    pub vaults: Vec<VaultState>,
    /// By address: of holders that renew, and of those that vaults owe something.
    pub tokens: BTreeMap<Address, TokenAccount>,
}

impl State {
    fn vault(&self, address: &Address) -> Option<&VaultState> {
        self.vaults.iter().find(|vault| vault.address == *address)
    }
}

/// A model and all that hangs on it.
pub struct ModelState {
    pub address: Address,
    pub model: Model,
    /// By window: those that something is still to be done about.
    pub receipts: BTreeMap<u64, Receipt>,
    /// By window: those that are Final or Void, owe nothing and must be kept.
    pub settled: BTreeMap<u64, Receipt>,
    /// All receipts of earlier windows are in one of the two.
    pub read_until: u64,
    pub seats: Vec<Seat>,
    pub markets: Vec<MarketState>,
    /// That vaults cover it.
    pub exposures: Vec<Exposure>,
    pub policies: Vec<Policy>,
    /// By window: what there is to submit.
    pub submissions: BTreeMap<u64, Submission>,
}

/// A market and, once it is settled, its positions.
pub struct MarketState {
    pub address: Address,
    pub market: Market,
    pub positions: Vec<Position>,
}

/// A vault, and the shares that are asked back of it.
pub struct VaultState {
    pub address: Address,
    pub vault: Vault,
    pub requests: Vec<WithdrawRequest>,
    /// The shares that somebody holds, read where nothing but listings else keeps the vault from its end.
    pub in_hands: Option<u64>,
}

/// What the oracle counted in one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Rows by bin.
    pub counts: Vec<u32>,
    pub evidence_hash: [u8; 32],
    pub evidence_uri: String,
}

/// One transaction that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    pub key: Key,
    pub instructions: Vec<Instruction>,
}

/// Which action it is: while one is on its way, none of the same key is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub step: Step,
    /// The account that the step is about.
    pub account: Address,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Submit { window: u64 },
    Finalize { window: u64 },
    Settle { first_window: u64 },
    Claim,
    CollectProtocolFee,
    CollectCreatorFee,
    CollectChallengeForTreasury,
    CollectChallengeForChallenger,
    CloseMarket,
    CancelMarket,
    WithdrawBond,
    CloseSeat,
    CloseReceipt,
    ClaimPolicy,
    RenewPolicy,
    ExpirePolicy,
    Withdraw,
    CollectPremiumFee,
    CollectManagerFee,
    CloseExposure,
    CloseVault,
}

/// All that is due, the most pressing first.
pub fn due(state: &State) -> Vec<Action> {
    let of_models = [
        submissions,
        finalizations,
        market_steps,
        insurance::claims,
        insurance::renewals,
        insurance::expirations,
        credits,
        bonds,
        insurance::exposures,
        closures,
    ];
    let of_models = of_models
        .iter()
        .flat_map(|step| state.models.iter().flat_map(|model| step(state, model)));
    let vaults = state.vaults.iter();
    let of_vaults = vaults.flat_map(|vault| insurance::vault_steps(state, vault));
    of_models.chain(of_vaults).collect()
}

/// The first window that takes submissions at `now`, if it is over by then.
pub fn first_open(model: &Model, now: i64) -> u64 {
    windows_until(model, now.saturating_sub(model.submit_secs))
}

/// The number of windows that are over at `now`.
pub fn windows_over(model: &Model, now: i64) -> u64 {
    windows_until(model, now)
}

fn windows_until(model: &Model, time: i64) -> u64 {
    let windows = time
        .saturating_sub(model.genesis)
        .div_euclid(model.window_secs.max(1));
    u64::try_from(windows).unwrap_or(0)
}

/// The windows that wait for a submission of `oracle`. None where its seat does not count.
pub fn awaited(state: &ModelState, oracle: &Address, now: i64) -> Vec<u64> {
    let model = &state.model;
    let index = model.oracle_index(oracle);
    let Some(index) = index.filter(|&index| model.seat_counts(index)) else {
        return vec![];
    };
    let opens = model.status == ModelStatus::Active || 0 < model.exposure;
    let end = windows_over(model, now).min(state.read_until);
    (first_open(model, now)..end)
        .filter(|window| match state.receipts.get(window) {
            Some(receipt) => {
                receipt.state == ReceiptState::Collecting && !receipt.has_submitted(index)
            }
            None => opens && !state.settled.contains_key(window),
        })
        .collect()
}

fn submissions(state: &State, model: &ModelState) -> Vec<Action> {
    let submit = |window: u64| {
        let submission = model.submissions.get(&window)?.clone();
        let account = address::receipt(&model.address, window);
        let instruction = instruction::submit_receipt(
            state.payer,
            model.address,
            window,
            submission.counts,
            submission.evidence_hash,
            submission.evidence_uri,
        );
        Some(action(Step::Submit { window }, account, instruction))
    };
    let windows = awaited(model, &state.payer, state.now);
    windows.into_iter().filter_map(submit).collect()
}

fn finalizations(state: &State, model: &ModelState) -> Vec<Action> {
    let is_due = |receipt: &Receipt| {
        let (mut receipt, mut model) = (*receipt, model.model);
        receipt.advance(&mut model, state.now).unwrap_or(false)
    };
    let due = model.receipts.iter().filter(|(_, receipt)| is_due(receipt));
    due.map(|(&window, _)| {
        let account = address::receipt(&model.address, window);
        let instruction = instruction::finalize_receipt(model.address, window);
        action(Step::Finalize { window }, account, instruction)
    })
    .collect()
}

fn market_steps(state: &State, model: &ModelState) -> Vec<Action> {
    let markets = model.markets.iter();
    markets
        .flat_map(|market| {
            if market.market.is_settled() {
                payouts(state, market)
            } else if market.market.total == 0 {
                cancellation(state, market).into_iter().collect()
            } else {
                settlement(state, model, market).into_iter().collect()
            }
        })
        .collect()
}

/// Settles by receipts that the chain shows as settled. The others are finalized by an action of
/// their own: the two together would race each other.
fn settlement(state: &State, model: &ModelState, market: &MarketState) -> Option<Action> {
    let first_window = market.market.next_window;
    let passed = |window: &u64| match model.receipts.get(window) {
        Some(receipt) => receipt.is_settled(),
        None if model.settled.contains_key(window) => true,
        None => *window < model.read_until && ended(model.model.submit_end(*window), state.now),
    };
    let windows = if ended(model.model.retention_end(first_window), state.now) {
        1 // too late for all: the market becomes Void
    } else {
        (first_window..=market.market.last_window)
            .take(SETTLE_WINDOWS)
            .take_while(passed)
            .count()
    };
    let instruction = || instruction::settle_market(market.address, &market.market, windows as u64);
    let step = Step::Settle { first_window };
    (0 < windows).then(|| action(step, market.address, instruction()))
}

fn ended<E>(end: Result<i64, E>, now: i64) -> bool {
    end.is_ok_and(|end| end <= now)
}

/// Nobody bet, and nobody can any more.
fn cancellation(state: &State, market: &MarketState) -> Option<Action> {
    let cancel = || instruction::cancel_market(market.address, &market.market, false);
    (market.market.close_ts <= state.now)
        .then(|| action(Step::CancelMarket, market.address, cancel()))
}

/// Of a settled market: claims, fees, and at last its end.
fn payouts(state: &State, settled: &MarketState) -> Vec<Action> {
    let (address, market) = (settled.address, &settled.market);
    let fee = |step, payee| {
        let collect = instruction::collect_fees(address, market, payee);
        (step, collect)
    };
    let mut actions: Vec<Action> = settled
        .positions
        .iter()
        .map(|position| claim(state, settled, position))
        .collect();
    if 0 < market.protocol_credit {
        let (step, collect) = fee(Step::CollectProtocolFee, FeePayee::Treasury);
        actions.push(action(step, address, collect));
    }
    if 0 < market.creator_credit {
        let (step, collect) = fee(Step::CollectCreatorFee, FeePayee::Creator);
        let account = token_account(state, &market.creator, &market.mint, market.token_program);
        actions.push(payout(step, address, account, collect));
    }
    if market.positions == 0 && market.protocol_credit == 0 && market.creator_credit == 0 {
        let close = instruction::close_market(address, market);
        actions.push(action(Step::CloseMarket, address, close));
    }
    actions
}

fn claim(state: &State, settled: &MarketState, position: &Position) -> Action {
    let account = address::position(&settled.address, &position.owner);
    let claim = instruction::claim(position.owner, settled.address, &settled.market);
    let mut market = settled.market; // a copy
    let paid = market.claim(position);
    if paid.is_ok_and(|paid| paid == 0) {
        return action(Step::Claim, account, claim); // nothing needs a token account
    }
    let create = token_account(
        state,
        &position.owner,
        &settled.market.mint,
        settled.market.token_program,
    );
    payout(Step::Claim, account, create, claim)
}

fn credits(state: &State, model: &ModelState) -> Vec<Action> {
    let mut actions = vec![];
    for (window, receipt) in &model.receipts {
        let account = address::receipt(&model.address, *window);
        let collect =
            |payee| instruction::collect_challenge(model.address, &model.model, receipt, payee);
        if 0 < receipt.treasury_credit {
            let collect = collect(ChallengePayee::Treasury);
            actions.push(action(Step::CollectChallengeForTreasury, account, collect));
        }
        if 0 < receipt.challenger_credit {
            let create = token_account(
                state,
                &receipt.challenger,
                &model.model.bond_mint,
                model.model.token_program,
            );
            let collect = collect(ChallengePayee::Challenger);
            let step = Step::CollectChallengeForChallenger;
            actions.push(payout(step, account, create, collect));
        }
    }
    actions
}

fn bonds(state: &State, model: &ModelState) -> Vec<Action> {
    let released = |seat: &&Seat| 0 < seat.unbonding && seat.release_at <= state.now;
    let withdraw = |seat: &Seat| {
        let account = address::seat(&model.address, &seat.oracle);
        let create = token_account(
            state,
            &seat.oracle,
            &model.model.bond_mint,
            model.model.token_program,
        );
        let withdraw = instruction::withdraw_bond(seat.oracle, model.address, &model.model);
        payout(Step::WithdrawBond, account, create, withdraw)
    };
    model.seats.iter().filter(released).map(withdraw).collect()
}

fn closures(state: &State, model: &ModelState) -> Vec<Action> {
    let needed = |seat: &Seat| {
        model.model.oracle_index(&seat.oracle).is_some() && 0 < model.model.open_receipts
    };
    let seats = model.seats.iter();
    let seats = seats.filter(|seat| seat.bonded == 0 && !needed(seat));
    let seats = seats.map(|seat| {
        let account = address::seat(&model.address, &seat.oracle);
        let close = instruction::close_seat(seat.oracle, model.address);
        action(Step::CloseSeat, account, close)
    });
    let receipts = model.receipts.iter();
    let receipts = receipts.filter(|(window, receipt)| {
        is_settled_up(receipt) && ended(model.model.retention_end(**window), state.now)
    });
    let receipts = receipts.map(|(window, receipt)| {
        let account = address::receipt(&model.address, *window);
        action(
            Step::CloseReceipt,
            account,
            instruction::close_receipt(receipt),
        )
    });
    seats.chain(receipts).collect()
}

/// Final or Void, and owes nothing.
pub fn is_settled_up(receipt: &Receipt) -> bool {
    receipt.is_settled() && receipt.challenger_credit == 0 && receipt.treasury_credit == 0
}

fn action(step: Step, account: Address, instruction: Instruction) -> Action {
    Action {
        key: Key { step, account },
        instructions: vec![instruction],
    }
}

/// An action that pays a token account which may be missing.
fn payout(step: Step, account: Address, create: Instruction, pay: Instruction) -> Action {
    Action {
        key: Key { step, account },
        instructions: vec![create, pay],
    }
}

fn token_account(
    state: &State,
    owner: &Address,
    mint: &Address,
    program: impl Into<TokenProgram>,
) -> Instruction {
    instruction::create_token_account(&state.payer, owner, mint, program.into())
}

#[cfg(test)]
pub mod tests {
    use anchor_lang::bytemuck::Zeroable;
    use driftshield_sdk::MarketState as MarketStatus;

    use super::*;

    /// An account of the program with all fields zero.
    pub fn zeroed<T: Zeroable>() -> T {
        T::zeroed()
    }

    pub fn key(byte: u8) -> Address {
        Address::new_from_array([byte; 32])
    }

    const ORACLE: u8 = 1;

    /// Windows of 10 s from 100 on; submit, challenge and ruling 20 s each. Three oracles, of
    /// whom a quorum is two, all bonded.
    pub fn model() -> Model {
        let mut model: Model = zeroed();
        model.genesis = 100;
        model.window_secs = 10;
        model.submit_secs = 20;
        model.challenge_secs = 20;
        model.ruling_secs = 20;
        model.retention_secs = 1_000;
        model.min_bond = 5;
        model.oracle_count = 3;
        model.quorum = 2;
        for index in 0..3 {
            model.oracles[index] = key(index as u8 + 1);
            model.bonds[index] = 5;
        }
        model
    }

    pub fn state(now: i64) -> State {
        State {
            now,
            payer: key(ORACLE),
            models: vec![ModelState {
                address: key(9),
                model: model(),
                receipts: BTreeMap::new(),
                settled: BTreeMap::new(),
                read_until: 1_000,
                seats: vec![],
                markets: vec![],
                exposures: vec![],
                policies: vec![],
                submissions: (0..100).map(|window| (window, submission())).collect(),
            }],
            paused: 0,
            collaterals: BTreeMap::new(),
            vaults: vec![],
            tokens: BTreeMap::new(),
        }
    }

    fn submission() -> Submission {
        Submission {
            counts: vec![1, 2],
            evidence_hash: [3; 32],
            evidence_uri: "http://e".into(),
        }
    }

    pub fn receipt(window: u64, state: ReceiptState, since: i64, submitted: u8) -> Receipt {
        let mut receipt: Receipt = zeroed();
        receipt.model = key(9);
        receipt.window = window;
        receipt.state = state.into();
        receipt.since = since;
        receipt.submitted = submitted;
        receipt
    }

    fn with_receipt(now: i64, receipt: Receipt) -> State {
        let mut state = state(now);
        state.models[0].receipts.insert(receipt.window, receipt);
        state
    }

    fn market(positions: usize) -> MarketState {
        let mut market: Market = zeroed();
        market.model = key(9);
        market.creator = key(20);
        market.total = 10;
        market.pools[0] = 10;
        market.owed = 10;
        market.last_window = 29;
        market.threshold_count = 1;
        market.positions = positions as u64;
        let position = |index: usize| {
            let mut position: Position = zeroed();
            position.market = key(10);
            position.owner = key(30 + index as u8);
            position.stakes[index % 2] = 5;
            position
        };
        MarketState {
            address: key(10),
            market,
            positions: (0..positions).map(position).collect(),
        }
    }

    fn with_market(now: i64, market: MarketState) -> State {
        let mut state = state(now);
        state.models[0].submissions.clear();
        state.models[0].markets.push(market);
        state
    }

    pub fn steps(state: &State) -> Vec<Step> {
        due(state).iter().map(|action| action.key.step).collect()
    }

    #[test]
    fn submissions_are_due_from_a_windows_end_to_the_submit_periods() {
        assert_eq!(steps(&state(99)), []);
        assert_eq!(steps(&state(109)), []);
        assert_eq!(steps(&state(110)), [Step::Submit { window: 0 }]);
        let both = [Step::Submit { window: 0 }, Step::Submit { window: 1 }];
        assert_eq!(steps(&state(129)), both);
        let later = [Step::Submit { window: 1 }, Step::Submit { window: 2 }];
        assert_eq!(steps(&state(130)), later);
    }

    #[test]
    fn nothing_is_submitted_that_the_chain_has_or_would_refuse() {
        let collecting = |submitted| receipt(0, ReceiptState::Collecting, 0, submitted);
        assert_eq!(steps(&with_receipt(110, collecting(0b001))), []);
        let others = with_receipt(110, collecting(0b010));
        assert_eq!(steps(&others), [Step::Submit { window: 0 }]);
        let proposed = receipt(0, ReceiptState::Proposed, 110, 0b110);
        assert_eq!(steps(&with_receipt(110, proposed)), []);

        let mut settled = state(110);
        settled.models[0]
            .settled
            .insert(0, receipt(0, ReceiptState::Final, 0, 0));
        assert_eq!(steps(&settled), []);
        let mut unbonded = state(110);
        unbonded.models[0].model.bonds[0] = 4;
        assert_eq!(steps(&unbonded), []);
        let mut stranger = state(110);
        stranger.payer = key(77);
        assert_eq!(steps(&stranger), []);
        let mut uncounted = state(110);
        uncounted.models[0].submissions.clear();
        assert_eq!(steps(&uncounted), []);
        let mut retired = state(110);
        retired.models[0].model.status = ModelStatus::Retired.into();
        assert_eq!(steps(&retired), []);
        retired.models[0].model.exposure = 1;
        assert_eq!(steps(&retired), [Step::Submit { window: 0 }]);
    }

    #[test]
    fn receipts_are_finalized_when_time_decides() {
        let finalize = [Step::Finalize { window: 0 }];
        let at = |now, receipt| {
            let mut state = with_receipt(now, receipt);
            state.models[0].submissions.clear();
            steps(&state)
        };
        for receipt in [
            receipt(0, ReceiptState::Proposed, 110, 0b011),
            receipt(0, ReceiptState::Challenged, 110, 0b011),
            receipt(0, ReceiptState::Collecting, 0, 0b001),
        ] {
            assert_eq!(at(129, receipt), []);
            assert_eq!(at(130, receipt), finalize);
        }
        assert_eq!(at(900, receipt(0, ReceiptState::Final, 130, 0b011)), []);
    }

    #[test]
    fn markets_settle_by_settled_and_missing_receipts_in_batches() {
        let settle = [Step::Settle { first_window: 0 }];
        // Window 0 takes submissions until 130.
        assert_eq!(steps(&with_market(129, market(0))), []);
        assert_eq!(steps(&with_market(130, market(0))), settle);
        let mut early = with_market(115, market(0));
        early.models[0]
            .settled
            .insert(0, receipt(0, ReceiptState::Void, 0, 0));
        assert_eq!(steps(&early), settle);

        let mut open = with_market(150, market(0));
        open.models[0]
            .receipts
            .insert(1, receipt(1, ReceiptState::Proposed, 140, 0b011));
        let actions = due(&open);
        let receipts = |action: &Action| action.instructions[0].accounts.len() - 4;
        assert_eq!(receipts(&actions[0]), 1);
        assert_eq!(receipts(&due(&with_market(500, market(0)))[0]), 20);

        let mut unread = with_market(500, market(0));
        unread.models[0].read_until = 0;
        assert_eq!(steps(&unread), []);
        assert_eq!(steps(&with_market(1_110, market(0))), settle);
    }

    #[test]
    fn every_position_of_a_settled_market_is_an_action_of_its_own() {
        let mut settled = market(2);
        settled.market.state = MarketStatus::Resolved.into();
        settled.market.pools = [5, 5, 0, 0, 0, 0, 0, 0];
        settled.market.winnings = 4;
        settled.market.protocol_credit = 1;
        let actions = due(&with_market(500, settled));
        let keys: Vec<_> = actions.iter().map(|action| action.key.step).collect();
        assert_eq!(keys, [Step::Claim, Step::Claim, Step::CollectProtocolFee]);
        // The winner may need a token account, the loser needs none.
        assert_eq!(actions[0].instructions.len(), 2);
        assert_eq!(actions[1].instructions.len(), 1);
        assert_ne!(actions[0].key.account, actions[1].key.account);
    }

    #[test]
    fn markets_end_when_they_owe_nobody() {
        let mut settled = market(0);
        settled.market.state = MarketStatus::Void.into();
        assert_eq!(steps(&with_market(500, settled)), [Step::CloseMarket]);

        let mut empty = market(0);
        empty.market.total = 0;
        empty.market.close_ts = 100;
        assert_eq!(steps(&with_market(100, empty)), [Step::CancelMarket]);
        let mut empty = market(0);
        empty.market.total = 0;
        empty.market.close_ts = 100;
        assert_eq!(steps(&with_market(99, empty)), []);
    }

    #[test]
    fn credits_are_collected_before_a_receipt_is_closed() {
        let at = |now, receipt| {
            let mut state = with_receipt(now, receipt);
            state.models[0].submissions.clear();
            steps(&state)
        };
        let mut ruled = receipt(0, ReceiptState::Final, 130, 0b011);
        ruled.challenger_credit = 1;
        ruled.treasury_credit = 1;
        let both = [
            Step::CollectChallengeForTreasury,
            Step::CollectChallengeForChallenger,
        ];
        assert_eq!(at(2_000, ruled), both);
        (ruled.challenger_credit, ruled.treasury_credit) = (0, 0);
        assert_eq!(at(1_109, ruled), []);
        assert_eq!(at(1_110, ruled), [Step::CloseReceipt]);
    }

    #[test]
    fn bonds_are_paid_back_and_empty_seats_closed() {
        let with_seat = |now, oracle, bonded, unbonding| {
            let mut seat: Seat = zeroed();
            seat.model = key(9);
            seat.oracle = key(oracle);
            (seat.bonded, seat.unbonding, seat.release_at) = (bonded, unbonding, 50);
            let mut state = state(now);
            state.models[0].seats.push(seat);
            state
        };
        assert_eq!(steps(&with_seat(49, 1, 5, 5)), []);
        assert_eq!(steps(&with_seat(50, 1, 5, 5)), [Step::WithdrawBond]);
        assert_eq!(steps(&with_seat(50, 1, 5, 0)), []);
        let mut empty = with_seat(50, 1, 0, 0);
        assert_eq!(steps(&empty), [Step::CloseSeat]);
        empty.models[0].model.open_receipts = 1;
        assert_eq!(steps(&empty), []);
        let mut left = with_seat(50, 40, 0, 0);
        left.models[0].model.open_receipts = 1;
        assert_eq!(steps(&left), [Step::CloseSeat]);
    }
}

//! What markets refuse, and where exactly they begin to.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{
    Aggregate, DriftShieldError, Event, FeePayee, MarketState, MarketTerms, ModelTerms,
    TokenProgram, address, instruction,
};
use driftshield_tests::world::*;
use solana_signer::Signer;

use crate::market_lifecycle::{Scene, assert_gone, replace, scene, scene_with, settled};

// Creating.

/// A market that nobody has made yet.
struct Draft {
    world: World,
    model: TestModel,
    creator: Wallet,
    terms: MarketTerms,
}

fn draft() -> Draft {
    let mut world = World::new();
    let model = world.default_model();
    let creator = world.wallet(0);
    let terms = market_terms(&world, &model);
    Draft {
        world,
        model,
        creator,
        terms,
    }
}

impl Draft {
    /// Somebody bets on the market that was allowed, and its creator makes a second one.
    fn bet_and_create_another(&mut self) -> (Outcome, Outcome) {
        let bettor = self.world.wallet(TOKEN);
        let market = address::market(&self.creator.address(), 1);
        let bet = self.world.bet(&market, &bettor, 0, TOKEN);
        let create = instruction::create_market(
            self.creator.address(),
            2,
            self.model.address,
            &self.world.model(&self.model.address),
            self.terms.clone(),
        );
        (bet, self.world.send(create, &[&self.creator.key]))
    }

    fn instruction(&self) -> Instruction {
        instruction::create_market(
            self.creator.address(),
            1,
            self.model.address,
            &self.world.model(&self.model.address),
            self.terms.clone(),
        )
    }

    fn create(&mut self) -> Outcome {
        self.world.send(self.instruction(), &[&self.creator.key])
    }

    #[track_caller]
    fn refused(&mut self, error: DriftShieldError) {
        assert_refused(self.create(), error);
        let market = address::market(&self.creator.address(), 1);
        assert!(!self.world.exists(&market));
    }

    #[track_caller]
    fn allowed(&mut self) {
        let sent = self.create().unwrap();
        let Event::MarketCreated(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert_eq!(event.terms, self.terms);
        assert_eq!(event.creator, self.creator.address());
    }

    fn start_of_first_window(&self) -> i64 {
        let model = self.world.model(&self.model.address);
        model.genesis + model.window_secs * self.terms.first_window as i64
    }

    /// The owner changes nothing, which makes a new version.
    fn update_model(&mut self) {
        let owner = &self.model.owner;
        let terms: ModelTerms = model_terms(&self.model.oracles);
        let update = instruction::update_model(owner.address(), self.model.address, terms);
        self.world.send(update, &[&owner.key]).unwrap();
    }
}

#[test]
fn betting_may_close_when_the_first_window_begins_and_no_later() {
    // Given a market that closes a second after its first window has begun
    let mut d = draft();
    d.terms.close_ts = d.start_of_first_window() + 1;

    // Then it is refused, and allowed a second earlier
    d.refused(DriftShieldError::InvalidCloseTime);
    d.terms.close_ts -= 1;
    d.allowed();
}

#[test]
fn betting_closes_in_the_future() {
    // Given a market that closes now
    let mut d = draft();
    d.terms.close_ts = d.world.now();

    // Then it is refused, as is one that closed before, and allowed a second later
    d.refused(DriftShieldError::InvalidCloseTime);
    d.terms.close_ts -= DAY;
    d.refused(DriftShieldError::InvalidCloseTime);
    d.terms.close_ts += DAY + 1;
    d.allowed();
}

#[test]
fn a_window_that_has_begun_takes_no_market() {
    // Given a market on the window that runs
    let mut d = draft();
    let start = d.start_of_first_window();
    d.world.warp_to(start);

    // When it would close at that window's start, or later
    d.terms.close_ts = start;
    d.refused(DriftShieldError::InvalidCloseTime);
    d.terms.close_ts = start + 1;

    // Then it is refused
    d.refused(DriftShieldError::InvalidCloseTime);
}

#[test]
fn no_threshold_lies_under_the_noise_floor() {
    // Given a market with a threshold a micro-unit under the noise floor
    let mut d = draft();
    let floor = d.world.model(&d.model.address).noise_floor;
    d.terms.thresholds = vec![floor - 1, floor + 1];

    // Then it is refused, and allowed at the floor
    d.refused(DriftShieldError::BelowNoiseFloor);
    d.terms.thresholds = vec![floor, floor + 1];
    d.allowed();
}

#[test]
fn thresholds_ascend() {
    // Given thresholds that fall, or stand still
    let mut d = draft();
    for thresholds in [
        vec![300_000, 200_000],
        vec![200_000, 200_000],
        vec![200_000, 300_000, 300_000],
        vec![200_000, 400_000, 300_000],
    ] {
        d.terms.thresholds = thresholds;

        // Then they are refused
        d.refused(DriftShieldError::InvalidThresholds);
    }
}

#[test]
fn there_are_one_to_seven_thresholds() {
    // Given a market with none, and one with eight
    let mut d = draft();
    for count in [0, 8] {
        d.terms.thresholds = (0..count).map(|n| 200_000 + n * 100_000).collect();

        // Then it is refused, and allowed with seven
        d.refused(DriftShieldError::InvalidThresholds);
    }
    d.terms.thresholds.truncate(7);
    d.allowed();
}

#[test]
fn windows_go_forward() {
    // Given a market whose last window is before its first
    let mut d = draft();
    d.terms.first_window = 2;
    d.terms.last_window = 1;

    // Then it is refused, and allowed with a single window
    d.refused(DriftShieldError::InvalidWindows);
    d.terms.last_window = 2;
    d.allowed();
}

#[test]
fn a_market_observes_at_most_366_windows() {
    // Given a market on 367 windows
    let mut d = draft();
    d.terms.last_window = d.terms.first_window + 366;

    // Then it is refused, and allowed with one less
    d.refused(DriftShieldError::InvalidWindows);
    d.terms.last_window -= 1;
    d.allowed();
}

#[test]
fn a_market_ends_within_400_days() {
    // Given a market whose last window ends 400 days and a second ahead
    let mut d = draft();
    d.terms.first_window = 399;
    d.terms.last_window = 399;
    let end = d.start_of_first_window() + DAY;
    d.world.warp_to(end - 400 * DAY - 1);

    // Then it is refused, and allowed a second later
    d.refused(DriftShieldError::InvalidWindows);
    d.world.pass(1);
    d.allowed();
}

#[test]
fn a_window_out_of_time_is_refused() {
    // Given a market on windows that no clock will reach
    let mut d = draft();
    d.terms.first_window = u64::MAX;
    d.terms.last_window = u64::MAX;

    // Then it is refused
    d.refused(DriftShieldError::WindowOutOfRange);
}

#[test]
fn fees_are_at_most_20_percent_together() {
    // Given the protocol's 2% and a creator's 18.01%
    let mut d = draft();
    d.terms.creator_fee_bps = 1_801;

    // Then they are refused, and allowed at 20% together
    d.refused(DriftShieldError::FeesTooHigh);
    d.terms.creator_fee_bps = u16::MAX;
    d.refused(DriftShieldError::FeesTooHigh);
    d.terms.creator_fee_bps = 1_800;
    d.allowed();
}

#[test]
fn a_market_names_the_present_version_of_the_model() {
    // Given a model in its second version
    let mut d = draft();
    d.update_model();

    // Then a market on the first, or on the third, is refused, and one on the second is allowed
    d.refused(DriftShieldError::VersionMismatch);
    d.terms.model_version = 3;
    d.refused(DriftShieldError::VersionMismatch);
    d.terms.model_version = 2;
    d.allowed();
}

#[test]
fn a_bet_on_an_older_version_is_refused() {
    // Given a market without bets whose model is updated
    let mut d = draft();
    d.allowed();
    d.update_model();

    // When somebody bets
    let market = address::market(&d.creator.address(), 1);
    let bettor = d.world.wallet(TOKEN);
    let outcome = d.world.bet(&market, &bettor, 0, TOKEN);

    // Then it is refused
    assert_refused(outcome, DriftShieldError::VersionMismatch);
}

#[test]
fn a_retired_model_takes_neither_markets_nor_bets() {
    // Given a market on a model that is retired then
    let mut d = draft();
    d.allowed();
    let owner = &d.model.owner;
    let retire = instruction::retire_model(owner.address(), d.model.address);
    d.world.send(retire, &[&owner.key]).unwrap();

    // When somebody bets, or makes another market
    let (bet, create) = d.bet_and_create_another();

    // Then both are refused
    assert_refused(bet, DriftShieldError::ModelRetired);
    assert_refused(create, DriftShieldError::ModelRetired);
}

#[test]
fn a_disabled_collateral_takes_neither_markets_nor_bets() {
    // Given a market in a token that is disabled then
    let mut d = draft();
    d.allowed();
    let admin = d.world.admin.insecure_clone();
    let disable = instruction::update_collateral(admin.pubkey(), d.world.mint, terms(), false);
    d.world.send(disable, &[&admin]).unwrap();

    // When somebody bets, or makes another market
    let (bet, create) = d.bet_and_create_another();

    // Then both are refused
    assert_refused(bet, DriftShieldError::CollateralDisabled);
    assert_refused(create, DriftShieldError::CollateralDisabled);
}

#[test]
fn a_market_is_in_the_token_of_its_models_bonds() {
    // Given another collateral
    let mut d = draft();
    let (mint, collateral) = other_collateral(&mut d.world);

    // When a market names it, wholly or in part
    let mut whole = d.instruction();
    replace(&mut whole.accounts, d.world.mint, mint);
    let mut part = d.instruction();
    replace(
        &mut part.accounts,
        address::collateral(&d.world.mint),
        collateral,
    );

    // Then it is refused
    let outcome = d.world.send(whole, &[&d.creator.key]);
    assert_refused(outcome, DriftShieldError::WrongMint);
    let outcome = d.world.send(part, &[&d.creator.key]);
    assert_refused(outcome, DriftShieldError::WrongCollateral);
}

#[test]
fn a_question_has_128_bytes_at_most() {
    // Given a question of 129 bytes, or with a NUL
    let mut d = draft();
    d.terms.question = "q".repeat(129);
    d.refused(DriftShieldError::InvalidText);
    d.terms.question = "a\0b".into();

    // Then it is refused, and 128 bytes are allowed
    d.refused(DriftShieldError::InvalidText);
    d.terms.question = "é".repeat(64);
    d.allowed();
}

/// Another mint that is a collateral too.
fn other_collateral(world: &mut World) -> (Address, Address) {
    let payer = world.payer.pubkey();
    let mint = set_mint(&mut world.svm, &key("other mint").pubkey(), &payer, None);
    let admin = world.admin.insecure_clone();
    let register = instruction::register_collateral(
        admin.pubkey(),
        mint,
        TokenProgram::SplToken,
        terms(),
        false,
    );
    world.send(register, &[&admin]).unwrap();
    (mint, address::collateral(&mint))
}

// Betting.

/// A market on which nobody has bet.
fn open_scene() -> Scene {
    scene_with(World::new(), Aggregate::Max, 0, 0)
}

fn bet_instruction(s: &Scene, outcome: u8, amount: u64, min_multiple: u64) -> Instruction {
    let state = s.world.market(&s.market);
    instruction::place_bet(
        s.yes.address(),
        s.market,
        &state,
        s.yes.tokens,
        outcome,
        amount,
        min_multiple,
    )
}

#[test]
fn an_oracle_is_an_insider() {
    // Given the oracles of a model
    let mut s = open_scene();

    // When one bets on it, then it is refused
    for oracle in &s.model.oracles {
        let outcome = s.world.bet(&s.market, oracle, 0, TOKEN);
        assert_refused(outcome, DriftShieldError::Insider);
    }
}

#[test]
fn the_models_owner_is_an_insider() {
    // Given a model's owner with tokens
    let mut s = open_scene();
    s.world.mint_to(&s.model.owner.tokens, TOKEN);

    // When it bets on its model, then it is refused
    let outcome = s.world.bet(&s.market, &s.model.owner, 1, TOKEN);
    assert_refused(outcome, DriftShieldError::Insider);
}

#[test]
fn betting_closes_at_its_time() {
    // Given a market a second before its betting closes
    let mut s = open_scene();
    let close_ts = s.world.market(&s.market).close_ts;
    s.world.warp_to(close_ts - 1);

    // Then a bet is taken, and none from the next second on
    s.world.bet(&s.market, &s.yes, 1, TOKEN).unwrap();
    for _ in 0..2 {
        s.world.pass(1);
        let outcome = s.world.bet(&s.market, &s.yes, 1, TOKEN);
        assert_refused(outcome, DriftShieldError::BettingClosed);
    }
    assert_eq!(s.world.market(&s.market).total, TOKEN);
}

#[test]
fn a_bet_names_an_outcome_of_the_market() {
    // Given a yes/no market
    let mut s = open_scene();

    // When somebody bets on a third outcome, or beyond the largest market
    for outcome in [2, 7, 8, u8::MAX] {
        let outcome = s.world.bet(&s.market, &s.yes, outcome, TOKEN);

        // Then it is refused
        assert_refused(outcome, DriftShieldError::NoSuchOutcome);
    }
}

#[test]
fn a_bet_is_no_smaller_than_the_minimum() {
    // Given a collateral's minimum
    let mut s = open_scene();
    let least = terms().min_bet;

    // When a bet is a base unit smaller, or nothing
    for amount in [0, least - 1] {
        let outcome = s.world.bet(&s.market, &s.yes, 1, amount);

        // Then it is refused, and taken at the minimum
        assert_refused(outcome, DriftShieldError::BetTooSmall);
    }
    s.world.bet(&s.market, &s.yes, 1, least).unwrap();
}

#[test]
fn bets_stay_within_what_bonds_secure() {
    // Given a model secured by half of a seat's 500 tokens, three times over
    let mut s = open_scene();
    let limit = 500 * TOKEN / 2 * 3;
    let rich = s.world.wallet(2 * limit);

    // When bets on two markets reach the limit exactly
    s.world.bet(&s.market, &rich, 1, limit - TOKEN).unwrap();
    let other = market_terms(&s.world, &s.model);
    let other = s
        .world
        .create_market(&s.model, &s.creator, 2, other)
        .unwrap();
    assert_refused(
        s.world.bet(&other, &rich, 0, TOKEN + 1),
        DriftShieldError::AboveSecurityLimit,
    );
    let sent = s.world.bet(&other, &rich, 0, TOKEN).unwrap();

    // Then all is at risk, and not the smallest bet more is taken
    let Event::BetPlaced(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.at_risk, event.exposure), (limit, 2));
    assert_refused(
        s.world.bet(&s.market, &rich, 1, terms().min_bet),
        DriftShieldError::AboveSecurityLimit,
    );
}

#[test]
fn a_bet_too_large_for_a_total_is_refused() {
    // Given a market with a bet
    let mut s = open_scene();
    s.world.bet(&s.market, &s.no, 0, TOKEN).unwrap();

    // When the next would take the total past 64 bits
    let outcome = s.world.bet(&s.market, &s.yes, 1, u64::MAX);

    // Then it is refused
    assert_refused(outcome, DriftShieldError::Overflow);
}

#[test]
fn a_bet_is_refused_under_its_least_multiple() {
    // Given an outcome that would multiply by 1000 + ⌊1000 · (losing − fee) / winning⌋
    // thousandths, where the fee is 2% and 1%, each floored
    let mut s = open_scene();
    let (losing, winning) = (7_000_033_u128, 3_000_001_u128);
    s.world.bet(&s.market, &s.no, 0, losing as u64).unwrap();
    let fees = losing * 200 / 10_000 + losing * 100 / 10_000;
    let multiple = (1_000 + 1_000 * (losing - fees) / winning) as u64;
    assert_eq!(multiple, 3_263);

    // When a bettor asks for a thousandth more
    let bet = bet_instruction(&s, 1, winning as u64, multiple + 1);
    let refused = s.world.send(bet, &[&s.yes.key]);

    // Then it is refused, and taken at exactly that
    assert_refused(refused, DriftShieldError::MultipleTooLow);
    let bet = bet_instruction(&s, 1, winning as u64, multiple);
    let sent = s.world.send(bet, &[&s.yes.key]).unwrap();
    let Event::BetPlaced(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.multiple, multiple);
}

#[test]
fn a_first_bet_multiplies_by_one() {
    // Given a market without bets
    let mut s = open_scene();

    // When the first bettor asks for a thousandth of profit, then it is refused
    let bet = bet_instruction(&s, 1, TOKEN, 1_001);
    let refused = s.world.send(bet, &[&s.yes.key]);
    assert_refused(refused, DriftShieldError::MultipleTooLow);
    let bet = bet_instruction(&s, 1, TOKEN, 1_000);
    s.world.send(bet, &[&s.yes.key]).unwrap();
}

#[test]
fn a_bet_takes_only_its_own_accounts() {
    // Given another model with a market, and another collateral
    let mut s = open_scene();
    let other = s.world.default_model();
    let terms = market_terms(&s.world, &other);
    let other_market = s.world.create_market(&other, &s.creator, 2, terms).unwrap();
    let (mint, collateral) = other_collateral(&mut s.world);
    let state = s.world.market(&s.market);

    // When a bet names one of these instead, then it is refused
    for (account, instead, error) in [
        (s.model.address, other.address, DriftShieldError::WrongModel),
        (
            state.vault,
            address::market_vault(&other_market),
            DriftShieldError::WrongVault,
        ),
        (state.mint, mint, DriftShieldError::WrongMint),
        (
            address::collateral(&state.mint),
            collateral,
            DriftShieldError::WrongCollateral,
        ),
    ] {
        let mut bet = bet_instruction(&s, 1, TOKEN, 0);
        replace(&mut bet.accounts, account, instead);
        assert_refused(s.world.send(bet, &[&s.yes.key]), error);
    }
}

// Settling.

#[test]
fn windows_are_settled_in_order() {
    // Given two final windows
    let mut s = scene(Aggregate::Last);
    s.world.finalize_with(&s.model, 1, &CALM);
    s.world.finalize_with(&s.model, 2, &CALM);

    // When the second is settled first
    let state = s.world.market(&s.market);
    let mut settle = instruction::settle_market(s.market, &state, 1);
    let [first, second] = [1, 2].map(|window| address::receipt(&s.model.address, window));
    replace(&mut settle.accounts, first, second);
    let outcome = s.world.send(settle, &[]);

    // Then it is refused, and so is any batch out of order
    assert_refused(outcome, DriftShieldError::SettleOutOfOrder);
    let mut settle = instruction::settle_market(s.market, &state, 2);
    let last = settle.accounts.len() - 1;
    settle.accounts.swap(last - 1, last);
    assert_refused(
        s.world.send(settle, &[]),
        DriftShieldError::SettleOutOfOrder,
    );
}

#[test]
fn a_receipt_is_settled_once() {
    // Given a final window
    let mut s = scene(Aggregate::Last);
    s.world.finalize_with(&s.model, 1, &CALM);

    // When a batch holds its receipt twice, or a later one holds it again
    let state = s.world.market(&s.market);
    let mut twice = instruction::settle_market(s.market, &state, 1);
    twice.accounts.push(twice.accounts.last().unwrap().clone());
    let once = instruction::settle_market(s.market, &state, 1);

    // Then it is refused
    assert_refused(s.world.send(twice, &[]), DriftShieldError::SettleOutOfOrder);
    s.world.send(once.clone(), &[]).unwrap();
    assert_refused(s.world.send(once, &[]), DriftShieldError::SettleOutOfOrder);
}

#[test]
fn a_proposed_receipt_is_settled_once() {
    // Given a proposed window whose time is over
    let mut s = scene(Aggregate::Last);
    s.world.submit_all(&s.model, 1, &CALM);
    s.world.pass(params().challenge_secs);

    // When a batch that finalizes it holds it twice
    let state = s.world.market(&s.market);
    let mut twice = instruction::settle_market(s.market, &state, 1);
    twice.accounts.push(twice.accounts.last().unwrap().clone());

    // Then it is refused
    assert_refused(s.world.send(twice, &[]), DriftShieldError::SettleOutOfOrder);
}

#[test]
fn a_receipt_of_another_model_settles_nothing() {
    // Given another model with a receipt of the same window
    let mut s = scene(Aggregate::Last);
    let other = s.world.default_model();
    s.world.finalize_with(&other, 1, &DRIFTED);

    // When a market is settled by it
    let state = s.world.market(&s.market);
    let mut settle = instruction::settle_market(s.market, &state, 1);
    replace(
        &mut settle.accounts,
        address::receipt(&s.model.address, 1),
        address::receipt(&other.address, 1),
    );

    // Then it is refused
    assert_refused(s.world.send(settle, &[]), DriftShieldError::WrongReceipt);
}

#[test]
fn another_model_settles_nothing() {
    // Given another model with a receipt of the same window
    let mut s = scene(Aggregate::Last);
    let other = s.world.default_model();
    s.world.finalize_with(&other, 1, &DRIFTED);

    // When a market is settled by that model
    let state = s.world.market(&s.market);
    let mut settle = instruction::settle_market(s.market, &state, 1);
    replace(&mut settle.accounts, s.model.address, other.address);

    // Then it is refused
    assert_refused(s.world.send(settle, &[]), DriftShieldError::WrongModel);
}

#[test]
fn a_foreign_account_is_no_missing_receipt() {
    // Given a window that nobody submitted for in time
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 1);
    s.world.pass(params().submit_secs);

    // When a wallet, a token account or the next window's address is passed for it
    let receipt = address::receipt(&s.model.address, 1);
    for foreign in [
        s.yes.address(),
        s.yes.tokens,
        address::receipt(&s.model.address, 2),
        key("nobody").pubkey(),
    ] {
        let state = s.world.market(&s.market);
        let mut settle = instruction::settle_market(s.market, &state, 1);
        replace(&mut settle.accounts, receipt, foreign);

        // Then it is refused
        assert_refused(
            s.world.send(settle, &[]),
            DriftShieldError::SettleOutOfOrder,
        );
    }
}

#[test]
fn another_account_of_the_program_is_no_receipt() {
    // Given a window that nobody submitted for in time
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 1);
    s.world.pass(params().submit_secs);

    // When another account of the program's is passed for it
    let receipt = address::receipt(&s.model.address, 1);
    for foreign in [
        address::config(),
        address::position(&s.market, &s.yes.address()),
        address::seat(&s.model.address, &s.model.oracles[0].address()),
    ] {
        let state = s.world.market(&s.market);
        let mut settle = instruction::settle_market(s.market, &state, 1);
        replace(&mut settle.accounts, receipt, foreign);

        // Then it is refused
        assert!(s.world.send(settle, &[]).is_err());
        assert_eq!(s.world.market(&s.market).next_window, 1);
    }
}

#[test]
fn a_receipt_that_is_not_final_settles_nothing() {
    // Given a receipt that is still collecting
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 1);
    s.world.submit(&s.model, 0, 1, &CALM).unwrap();
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // When it is proposed
    for oracle in 1..3 {
        s.world.submit(&s.model, oracle, 1, &CALM).unwrap();
    }
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );
    s.world.pass(params().challenge_secs - 1);
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // Then it settles only when its challenge period is over
    s.world.pass(1);
    assert_eq!(settled(s.world.settle(&s.market, 1)).observed, 1);
}

#[test]
fn a_disputed_receipt_settles_nothing() {
    // Given a challenged receipt
    let mut s = scene(Aggregate::Last);
    s.world.submit_all(&s.model, 1, &CALM);
    let challenger = s.world.wallet(1_000 * TOKEN);
    s.world.challenge(&s.model, 1, &challenger).unwrap();

    // When the market is settled while the arbiter may rule
    s.world.pass(params().ruling_secs - 1);
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // Then it waits for the ruling's time to be over
    s.world.pass(1);
    let event = settled(s.world.settle(&s.market, 1));
    assert_eq!(event.observed, 1);
    assert_eq!(event.receipts[0].challenger_credit, terms().challenge_bond);
}

#[test]
fn a_receipt_is_missing_when_submitting_is_over() {
    // Given a window without a receipt, a second before its submit period ends
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 1);
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );
    s.world.pass(params().submit_secs - 1);
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::ReceiptNotFinal,
    );

    // When that second is over, then the window is skipped
    s.world.pass(1);
    let event = settled(s.world.settle(&s.market, 1));
    assert_eq!((event.next_window, event.observed), (2, 0));
}

#[test]
fn settling_needs_receipts() {
    // Given a market whose windows have passed
    let mut s = scene(Aggregate::Last);
    s.world.warp_to_end(&s.model, 3);
    s.world.pass(params().submit_secs);

    // When it is settled by none, then it is refused
    assert_refused(s.world.settle(&s.market, 0), DriftShieldError::NoReceipts);
}

#[test]
fn a_settled_market_is_not_settled_again() {
    // Given a resolved market
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();

    // When it is settled again, then it is refused
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::MarketSettled,
    );
    assert_refused(
        s.world.settle(&s.market, 0),
        DriftShieldError::MarketSettled,
    );
}

#[test]
fn a_void_market_is_not_settled_again() {
    // Given a void market
    let mut s = scene(Aggregate::Max);
    s.world.warp_to_end(&s.model, 3);
    s.world.pass(params().submit_secs);
    assert_eq!(
        settled(s.world.settle(&s.market, 3)).state,
        MarketState::Void
    );

    // When it is settled again, then it is refused
    assert_refused(
        s.world.settle(&s.market, 1),
        DriftShieldError::MarketSettled,
    );
}

// Claiming.

#[test]
fn nothing_is_claimed_before_settlement() {
    // Given a market that is not settled
    let mut s = scene(Aggregate::Max);

    // When a position is claimed, then it is refused
    let outcome = s.world.claim(&s.market, &s.yes.address());
    assert_refused(outcome, DriftShieldError::MarketNotSettled);
}

#[test]
fn a_claim_takes_only_its_own_accounts() {
    // Given a resolved market, and another one's accounts
    let mut s = scene(Aggregate::Max);
    let terms = market_terms(&s.world, &s.model);
    let other = s
        .world
        .create_market(&s.model, &s.creator, 2, terms)
        .unwrap();
    let (mint, _) = other_collateral(&mut s.world);
    s.resolve_yes();
    let state = s.world.market(&s.market);

    // When a claim names one of these instead, or pays somebody else, then it is refused
    for (account, instead, error) in [
        (
            s.yes.address(),
            s.no.address(),
            DriftShieldError::WrongPayee,
        ),
        (s.market, other, DriftShieldError::WrongMarket),
        (
            state.vault,
            address::market_vault(&other),
            DriftShieldError::WrongVault,
        ),
        (
            s.yes.tokens,
            s.no.tokens,
            DriftShieldError::WrongDestination,
        ),
        (state.mint, mint, DriftShieldError::WrongMint),
    ] {
        let mut claim = instruction::claim(s.yes.address(), s.market, &state);
        replace(&mut claim.accounts, account, instead);
        assert_refused(s.world.send(claim, &[]), error);
    }
    assert_eq!(s.world.tokens(&state.vault), 100 * TOKEN);
}

#[test]
fn an_associated_token_account_that_was_given_away_is_not_paid() {
    // Given a winner who gave its associated token account to somebody else
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    let mut tokens = s.world.svm.get_account(&s.yes.tokens).unwrap();
    tokens.data[32..64].copy_from_slice(s.no.address().as_ref());
    s.world.svm.set_account(s.yes.tokens, tokens).unwrap();

    // When somebody claims for it, then it is refused
    let outcome = s.world.claim(&s.market, &s.yes.address());
    assert_refused(outcome, DriftShieldError::WrongDestination);
}

#[test]
fn a_position_is_claimed_once() {
    // Given a claimed position
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    s.claim(s.yes.address());

    // When it is claimed again, then there is none
    assert_gone(s.world.claim(&s.market, &s.yes.address()), 0);
    assert_eq!(s.world.market(&s.market).positions, 1);
}

// Collecting, closing, cancelling.

#[test]
fn no_fee_is_collected_before_settlement() {
    // Given a market that is not settled
    let mut s = scene(Aggregate::Max);

    // When a fee is collected, then it is refused
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let state = s.world.market(&s.market);
        let collect = instruction::collect_fees(s.market, &state, payee);
        assert_refused(
            s.world.send(collect, &[]),
            DriftShieldError::MarketNotSettled,
        );
    }
}

#[test]
fn a_fee_is_collected_once() {
    // Given a resolved market whose fees are collected
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let sent = s.collect(payee);
        let Event::FeesCollected(event) = sent.event() else {
            panic!("{:?}", sent.event())
        };
        assert_eq!(event.payee, payee);

        // When one is collected again, then there is none
        let state = s.world.market(&s.market);
        let collect = instruction::collect_fees(s.market, &state, payee);
        assert_refused(
            s.world.send(collect, &[]),
            DriftShieldError::NothingToCollect,
        );
    }
    assert_eq!(s.world.tokens(&s.world.treasury()), 60 * TOKEN * 2 / 100);
    assert_eq!(s.world.tokens(&s.creator.tokens), 60 * TOKEN / 100);
}

#[test]
fn a_void_market_has_no_fees() {
    // Given a void market
    let mut s = scene(Aggregate::Max);
    s.world.warp_to_end(&s.model, 3);
    s.world.pass(params().submit_secs);
    settled(s.world.settle(&s.market, 3));

    // When a fee is collected, then there is none
    for payee in [FeePayee::Treasury, FeePayee::Creator] {
        let state = s.world.market(&s.market);
        let collect = instruction::collect_fees(s.market, &state, payee);
        assert_refused(
            s.world.send(collect, &[]),
            DriftShieldError::NothingToCollect,
        );
    }
}

#[test]
fn a_fee_goes_only_to_its_payee() {
    // Given a resolved market, and others' accounts
    let mut s = scene(Aggregate::Max);
    let terms = market_terms(&s.world, &s.model);
    let other = s
        .world
        .create_market(&s.model, &s.creator, 2, terms)
        .unwrap();
    let (mint, collateral) = other_collateral(&mut s.world);
    s.resolve_yes();
    let state = s.world.market(&s.market);
    let treasury = s.world.treasury();

    // When a collection names one of these instead, then it is refused
    use DriftShieldError::*;
    use FeePayee::*;
    for (payee, account, instead, error) in [
        (Treasury, treasury, s.yes.tokens, WrongTreasury),
        (
            Treasury,
            treasury,
            address::treasury(&collateral),
            WrongTreasury,
        ),
        (Creator, s.creator.tokens, s.yes.tokens, WrongDestination),
        (Creator, s.creator.tokens, treasury, WrongDestination),
        (Creator, s.creator.address(), s.yes.address(), WrongPayee),
        (
            Creator,
            state.vault,
            address::market_vault(&other),
            WrongVault,
        ),
        (Treasury, state.mint, mint, WrongMint),
        (
            Treasury,
            address::collateral(&state.mint),
            collateral,
            WrongCollateral,
        ),
    ] {
        let mut collect = instruction::collect_fees(s.market, &state, payee);
        replace(&mut collect.accounts, account, instead);
        assert_refused(s.world.send(collect, &[]), error);
    }
}

#[test]
fn an_unsettled_market_is_not_closed() {
    // Given a market that is not settled
    let mut s = scene(Aggregate::Max);

    // When it is closed, then it is refused
    let close = instruction::close_market(s.market, &s.world.market(&s.market));
    assert_refused(s.world.send(close, &[]), DriftShieldError::MarketNotSettled);
}

#[test]
fn a_market_with_positions_is_not_closed() {
    // Given a resolved market of which only the winner has claimed
    let mut s = scene(Aggregate::Max);
    s.resolve_yes();
    s.collect(FeePayee::Treasury);
    s.collect(FeePayee::Creator);
    s.claim(s.yes.address());

    // When it is closed, then it is refused until the loser's position is closed too
    let close = instruction::close_market(s.market, &s.world.market(&s.market));
    assert_refused(
        s.world.send(close.clone(), &[]),
        DriftShieldError::PositionsLeft,
    );
    s.claim(s.no.address());
    s.world.send(close, &[]).unwrap();
}

#[test]
fn a_market_with_fees_is_not_closed() {
    for (first, second) in [
        (FeePayee::Treasury, FeePayee::Creator),
        (FeePayee::Creator, FeePayee::Treasury),
    ] {
        // Given a resolved market of which all is paid but one fee
        let mut s = scene(Aggregate::Max);
        s.resolve_yes();
        s.claim_both();
        s.collect(first);

        // When it is closed, then it is refused until that fee is collected
        let close = instruction::close_market(s.market, &s.world.market(&s.market));
        assert_refused(s.world.send(close.clone(), &[]), DriftShieldError::FeesLeft);
        s.collect(second);
        s.world.send(close, &[]).unwrap();
    }
}

#[test]
fn closing_takes_only_its_own_accounts() {
    // Given a market that could be closed, and others' accounts
    let mut s = scene(Aggregate::Max);
    let terms = market_terms(&s.world, &s.model);
    let other = s
        .world
        .create_market(&s.model, &s.creator, 2, terms)
        .unwrap();
    let (mint, collateral) = other_collateral(&mut s.world);
    s.resolve_yes();
    s.claim_both();
    s.collect(FeePayee::Treasury);
    s.collect(FeePayee::Creator);
    let state = s.world.market(&s.market);
    let treasury = s.world.treasury();

    // When closing names one of these instead, then it is refused
    for (account, instead, error) in [
        (
            s.creator.address(),
            s.yes.address(),
            DriftShieldError::WrongRentPayer,
        ),
        (
            state.vault,
            address::market_vault(&other),
            DriftShieldError::WrongVault,
        ),
        (treasury, s.yes.tokens, DriftShieldError::WrongTreasury),
        (state.mint, mint, DriftShieldError::WrongMint),
        (
            address::collateral(&state.mint),
            collateral,
            DriftShieldError::WrongCollateral,
        ),
    ] {
        let mut close = instruction::close_market(s.market, &state);
        replace(&mut close.accounts, account, instead);
        assert_refused(s.world.send(close, &[]), error);
    }
}

#[test]
fn a_market_with_bets_is_not_cancelled() {
    // Given a market with a bet
    let mut s = scene(Aggregate::Max);
    let state = s.world.market(&s.market);

    // When its creator cancels, or anyone after betting closed
    let cancel = instruction::cancel_market(s.market, &state, true);
    let early = s.world.send(cancel, &[&s.creator.key]);
    s.world.warp_to(state.close_ts);
    let late = s
        .world
        .send(instruction::cancel_market(s.market, &state, false), &[]);

    // Then it is refused
    assert_refused(early, DriftShieldError::MarketHasBets);
    assert_refused(late, DriftShieldError::MarketHasBets);
}

#[test]
fn a_creator_cancels_while_nobody_has_bet() {
    // Given a market without bets, with a donation in its vault
    let mut s = open_scene();
    let state = s.world.market(&s.market);
    s.world.mint_to(&state.vault, 5);
    let lamports = s.world.lamports(&s.creator.address());
    let rent = s.world.lamports(&s.market) + s.world.lamports(&state.vault);

    // When its creator cancels it
    let cancel = instruction::cancel_market(s.market, &state, true);
    let sent = s.world.send(cancel, &[&s.creator.key]).unwrap();

    // Then it is gone, the donation is the treasury's, and the rent its creator's
    let Event::MarketCancelled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.creator, event.swept), (s.creator.address(), 5));
    assert!(!s.world.exists(&s.market) && !s.world.exists(&state.vault));
    assert_eq!(s.world.tokens(&s.world.treasury()), 5);
    assert_eq!(s.world.lamports(&s.creator.address()), lamports + rent);
}

#[test]
fn a_stranger_cancels_only_after_betting_closed() {
    // Given a market without bets, a second before betting closes
    let mut s = open_scene();
    let state = s.world.market(&s.market);
    let cancel = instruction::cancel_market(s.market, &state, false);
    s.world.warp_to(state.close_ts - 1);

    // When a stranger cancels, then it is refused until betting is closed
    assert_refused(
        s.world.send(cancel.clone(), &[]),
        DriftShieldError::NotCreator,
    );
    s.world.pass(1);
    s.world.send(cancel, &[]).unwrap();
    assert!(!s.world.exists(&s.market));
}

#[test]
fn a_stranger_who_signs_is_not_the_creator() {
    // Given a market without bets
    let mut s = open_scene();

    // When somebody else signs its cancellation in the creator's place
    let state = s.world.market(&s.market);
    let mut cancel = instruction::cancel_market(s.market, &state, true);
    replace(&mut cancel.accounts, s.creator.address(), s.yes.address());

    // Then it is refused
    let outcome = s.world.send(cancel, &[&s.yes.key]);
    assert_refused(outcome, DriftShieldError::WrongRentPayer);
}

#[test]
fn a_bet_does_not_land_on_other_terms_at_the_same_address() {
    // Given a bet, signed for a market that its creator then replaces by another of the same id
    let mut world = World::new();
    let model = world.default_model();
    let (creator, bettor) = (world.wallet(0), world.wallet(100 * TOKEN));
    let terms = market_terms(&world, &model);
    let market = world
        .create_market(&model, &creator, 1, terms.clone())
        .unwrap();
    let seen = world.market(&market);
    let bet = instruction::place_bet(
        bettor.address(),
        market,
        &seen,
        bettor.tokens,
        1,
        TOKEN,
        1_000,
    );
    let mut others = terms.clone();
    others.thresholds = vec![5_000_000];
    let cancel = instruction::cancel_market(market, &seen, true);
    let state = world.model(&model.address);
    let create =
        |terms| instruction::create_market(creator.address(), 1, model.address, &state, terms);
    world
        .send_all(&[cancel.clone(), create(others)], &[&creator.key])
        .unwrap();

    // When it lands, then it is refused; and not where the terms are the same again
    assert_refused(
        world.send(bet.clone(), &[&bettor.key]),
        DriftShieldError::TermsMismatch,
    );
    world
        .send_all(&[cancel, create(terms)], &[&creator.key])
        .unwrap();
    world.send(bet, &[&bettor.key]).unwrap();
}

//! Creation of markets, and its refusals.

use anchor_lang::solana_program::instruction::Instruction;
use driftshield_sdk::{DriftShieldError, Event, MarketTerms, ModelTerms, address, instruction};
use driftshield_tests::world::*;

use crate::{admin::update_collateral, model::retire};

/// A market that is not created yet.
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
    /// Bets on the created market, and creates a second one. Returns both outcomes.
    fn bet_and_create_another(&mut self) -> (Outcome, Outcome) {
        let bettor = self.world.wallet(TOKEN);
        let market = address::market(&self.creator.address(), 1);
        let bet = self.world.bet(&market, &bettor, 0, TOKEN);
        let create = self.instruction(2);
        (bet, self.world.send(create, &[&self.creator.key]))
    }

    fn instruction(&self, id: u64) -> Instruction {
        instruction::create_market(
            self.creator.address(),
            id,
            self.model.address,
            &self.world.model(&self.model.address),
            self.terms.clone(),
        )
    }

    fn create(&mut self) -> Outcome {
        self.world.send(self.instruction(1), &[&self.creator.key])
    }

    #[track_caller]
    fn assert_refused(&mut self, error: DriftShieldError) {
        assert_refused(self.create(), error);
        let market = address::market(&self.creator.address(), 1);
        assert!(!self.world.exists(&market));
    }

    #[track_caller]
    fn assert_allowed(&mut self) {
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

    /// The owner updates the model with unchanged terms, which starts a new version.
    fn update_model(&mut self) {
        let owner = &self.model.owner;
        let terms: ModelTerms = model_terms(&self.model.oracles);
        let state = self.world.model(&self.model.address);
        let update = instruction::update_model(owner.address(), self.model.address, &state, terms);
        self.world.send(update, &[&owner.key]).unwrap();
    }
}

#[test]
fn betting_closes_by_the_start_of_the_first_window() {
    // Given a market whose betting closes a second after the start of its first window
    let mut draft = draft();
    draft.terms.close_ts = draft.start_of_first_window() + 1;

    // Then it is refused, and allowed a second earlier
    draft.assert_refused(DriftShieldError::InvalidCloseTime);
    draft.terms.close_ts -= 1;
    draft.assert_allowed();
}

#[test]
fn the_close_time_is_in_the_future() {
    // Given a market whose betting closes now
    let mut draft = draft();
    draft.terms.close_ts = draft.world.now();

    // Then it is refused, also with a close time a day ago, and allowed a second later
    draft.assert_refused(DriftShieldError::InvalidCloseTime);
    draft.terms.close_ts -= DAY;
    draft.assert_refused(DriftShieldError::InvalidCloseTime);
    draft.terms.close_ts += DAY + 1;
    draft.assert_allowed();
}

#[test]
fn a_market_on_a_window_that_has_started_is_refused() {
    // Given a market on the window that has just started
    let mut draft = draft();
    let start = draft.start_of_first_window();
    draft.world.warp_to(start);

    // When its betting closes at the start of that window, or later
    draft.terms.close_ts = start;
    draft.assert_refused(DriftShieldError::InvalidCloseTime);
    draft.terms.close_ts = start + 1;

    // Then it is refused
    draft.assert_refused(DriftShieldError::InvalidCloseTime);
}

#[test]
fn thresholds_are_at_least_the_noise_floor() {
    // Given a market with a threshold one micro-unit below the noise floor
    let mut draft = draft();
    let floor = draft.world.model(&draft.model.address).noise_floor;
    draft.terms.thresholds = vec![floor - 1, floor + 1];

    // Then it is refused, and allowed at the floor
    draft.assert_refused(DriftShieldError::BelowNoiseFloor);
    draft.terms.thresholds = vec![floor, floor + 1];
    draft.assert_allowed();
}

#[test]
fn no_more_windows_are_required_than_observed() {
    // Given a market of three windows that requires four
    let mut draft = draft();
    for min_observed in [4, u64::MAX] {
        draft.terms.min_observed = min_observed;

        // Then it is refused, and allowed with three
        draft.assert_refused(DriftShieldError::InvalidMinObserved);
    }
    draft.terms.min_observed = 3;
    draft.assert_allowed();
}

#[test]
fn thresholds_ascend() {
    // Given thresholds that descend or repeat
    let mut draft = draft();
    for thresholds in [
        vec![300_000, 200_000],
        vec![200_000, 200_000],
        vec![200_000, 300_000, 300_000],
        vec![200_000, 400_000, 300_000],
    ] {
        draft.terms.thresholds = thresholds;

        // Then they are refused
        draft.assert_refused(DriftShieldError::InvalidThresholds);
    }
}

#[test]
fn there_are_one_to_seven_thresholds() {
    // Given a market with no threshold, or with eight
    let mut draft = draft();
    for count in [0, 8] {
        draft.terms.thresholds = (0..count).map(|n| 200_000 + n * 100_000).collect();

        // Then it is refused, and allowed with seven
        draft.assert_refused(DriftShieldError::InvalidThresholds);
    }
    draft.terms.thresholds.truncate(7);
    draft.assert_allowed();
}

#[test]
fn the_last_window_is_not_before_the_first() {
    // Given a market whose last window is before its first
    let mut draft = draft();
    draft.terms.first_window = 2;
    draft.terms.last_window = 1;

    // Then it is refused, and allowed with a single window
    draft.assert_refused(DriftShieldError::InvalidWindows);
    draft.terms.last_window = 2;
    draft.assert_allowed();
}

#[test]
fn a_market_observes_at_most_366_windows() {
    // Given a market on 367 windows
    let mut draft = draft();
    draft.terms.last_window = draft.terms.first_window + 366;

    // Then it is refused, and allowed with one window less
    draft.assert_refused(DriftShieldError::InvalidWindows);
    draft.terms.last_window -= 1;
    draft.assert_allowed();
}

#[test]
fn a_market_ends_within_400_days() {
    // Given a market whose last window ends 400 days and one second ahead
    let mut draft = draft();
    draft.terms.first_window = 399;
    draft.terms.last_window = 399;
    let end = draft.start_of_first_window() + DAY;
    draft.world.warp_to(end - 400 * DAY - 1);

    // Then it is refused, and allowed a second later
    draft.assert_refused(DriftShieldError::InvalidWindows);
    draft.world.pass(1);
    draft.assert_allowed();
}

#[test]
fn a_window_whose_start_overflows_is_refused() {
    // Given a market on a window whose start overflows
    let mut draft = draft();
    draft.terms.first_window = u64::MAX;
    draft.terms.last_window = u64::MAX;

    // Then it is refused
    draft.assert_refused(DriftShieldError::WindowOutOfRange);
}

#[test]
fn fees_are_at_most_20_percent_together() {
    // Given a protocol fee of 2% and a creator fee of 18.01%
    let mut draft = draft();
    draft.terms.creator_fee_bps = 1_801;

    // Then they are refused, and allowed at 20% together
    draft.assert_refused(DriftShieldError::FeesTooHigh);
    draft.terms.creator_fee_bps = u16::MAX;
    draft.assert_refused(DriftShieldError::FeesTooHigh);
    draft.terms.creator_fee_bps = 1_800;
    draft.assert_allowed();
}

#[test]
fn a_market_on_another_version_of_the_model_is_refused() {
    // Given a model at its second version
    let mut draft = draft();
    draft.update_model();

    // Then a market on version 1 or 3 is refused, and one on version 2 is allowed
    draft.assert_refused(DriftShieldError::VersionMismatch);
    draft.terms.model_version = 3;
    draft.assert_refused(DriftShieldError::VersionMismatch);
    draft.terms.model_version = 2;
    draft.assert_allowed();
}

#[test]
fn a_bet_on_an_older_version_is_refused() {
    // Given a market without bets, whose model is then updated
    let mut draft = draft();
    draft.assert_allowed();
    draft.update_model();

    // When somebody bets
    let market = address::market(&draft.creator.address(), 1);
    let bettor = draft.world.wallet(TOKEN);
    let outcome = draft.world.bet(&market, &bettor, 0, TOKEN);

    // Then it is refused
    assert_refused(outcome, DriftShieldError::VersionMismatch);
}

#[test]
fn a_retired_model_accepts_neither_markets_nor_bets() {
    // Given a market on a model that is then retired
    let mut draft = draft();
    draft.assert_allowed();
    retire(&mut draft.world, &draft.model).unwrap();

    // When somebody bets or creates another market
    let (bet, create) = draft.bet_and_create_another();

    // Then both are refused
    assert_refused(bet, DriftShieldError::ModelRetired);
    assert_refused(create, DriftShieldError::ModelRetired);
}

#[test]
fn a_disabled_collateral_accepts_neither_markets_nor_bets() {
    // Given a market in a collateral that is then disabled
    let mut draft = draft();
    draft.assert_allowed();
    update_collateral(&mut draft.world, terms(), false);

    // When somebody bets or creates another market
    let (bet, create) = draft.bet_and_create_another();

    // Then both are refused
    assert_refused(bet, DriftShieldError::CollateralDisabled);
    assert_refused(create, DriftShieldError::CollateralDisabled);
}

#[test]
fn a_market_uses_the_collateral_of_its_models_bonds() {
    // Given another collateral
    let mut draft = draft();
    let mint = draft.world.second_collateral();

    // When a market names the mint or the collateral account of that collateral
    let with_mint = swapped(draft.instruction(1), &draft.world.mint, &mint);
    let with_collateral = swapped(
        draft.instruction(1),
        &address::collateral(&draft.world.mint),
        &address::collateral(&mint),
    );

    // Then it is refused
    let outcome = draft.world.send(with_mint, &[&draft.creator.key]);
    assert_refused(outcome, DriftShieldError::WrongMint);
    let outcome = draft.world.send(with_collateral, &[&draft.creator.key]);
    assert_refused(outcome, DriftShieldError::WrongCollateral);
}

#[test]
fn a_question_has_at_most_128_bytes() {
    // Given a question of 129 bytes, or with a NUL byte
    let mut draft = draft();
    draft.terms.question = "q".repeat(129);
    draft.assert_refused(DriftShieldError::InvalidText);
    draft.terms.question = "a\0b".into();

    // Then it is refused, and 128 bytes are allowed
    draft.assert_refused(DriftShieldError::InvalidText);
    draft.terms.question = "é".repeat(64);
    draft.assert_allowed();
}

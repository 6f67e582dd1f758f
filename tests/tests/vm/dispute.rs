//! Disputes: challenges, rulings, what they move, and collecting it.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{
    ChallengePayee, CollateralTerms, DriftShieldError, Event, ReceiptState, TokenProgram, address,
    events::ReceiptRuled, instruction,
};
use driftshield_tests::world::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

const BOND: u64 = 10_000 * TOKEN;
const SLASH: u64 = 500 * TOKEN;
const CHALLENGE_BOND: u64 = 100 * TOKEN;
/// Anchor's error for a mutable account that comes twice.
const DUPLICATE_MUTABLE: u32 = 2040;
/// The token program's error.
const ACCOUNT_FROZEN: u32 = 17;

/// A model whose oracles have submitted `values` for window 0.
fn submitted(world: &mut World, values: &[u64], bond: u64) -> TestModel {
    let spec = share_spec(world);
    let model = world.model_with(spec, values.len(), bond);
    submit_values(world, &model, 0, values);
    model
}

fn submit_values(world: &mut World, model: &TestModel, window: u64, values: &[u64]) {
    world.warp_to_end(model, window);
    for (oracle, &value) in values.iter().enumerate() {
        world
            .submit(model, oracle, window, &share(value))
            .expect("submit_receipt");
    }
}

/// Likewise, of as many models at the same time.
fn submitted_at_once<const N: usize>(
    world: &mut World,
    values: &[u64],
    bond: u64,
) -> [TestModel; N] {
    let models = [(); N].map(|()| {
        let spec = share_spec(world);
        world.model_with(spec, values.len(), bond)
    });
    for model in &models {
        submit_values(world, model, 0, values);
    }
    models
}

/// A model whose oracles have submitted `values` for window 0, and somebody has challenged the
/// median.
fn challenged(world: &mut World, values: &[u64], bond: u64) -> (TestModel, Wallet) {
    let model = submitted(world, values, bond);
    let challenger = world.wallet(CHALLENGE_BOND);
    world
        .challenge(&model, 0, &challenger)
        .expect("challenge_receipt");
    (model, challenger)
}

fn finalize(world: &mut World, model: &TestModel) -> Outcome {
    world.send(instruction::finalize_receipt(model.address, 0), &[])
}

fn collect_instruction(world: &World, model: &TestModel, payee: ChallengePayee) -> Instruction {
    let receipt = world.receipt(&model.address, 0);
    instruction::collect_challenge(model.address, &world.model(&model.address), &receipt, payee)
}

fn collect(world: &mut World, model: &TestModel, payee: ChallengePayee) -> Outcome {
    let collect = collect_instruction(world, model, payee);
    world.send(collect, &[])
}

fn rule_instruction(world: &World, model: &TestModel, value: u64) -> Instruction {
    instruction::rule_receipt(
        model.address,
        &world.model(&model.address),
        &world.receipt(&model.address, 0),
        share(value).to_vec(),
    )
}

/// Sends a ruling with the arbiter's signature.
fn send_ruling(world: &mut World, instruction: Instruction) -> Outcome {
    let arbiter = world.arbiter.insecure_clone();
    world.send(instruction, &[&arbiter])
}

fn ruled(sent: &Sent) -> &ReceiptRuled {
    let Event::ReceiptRuled(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    event
}

fn replace(instruction: &mut Instruction, old: Address, new: Address) {
    let mut metas = instruction.accounts.iter_mut();
    metas
        .find(|meta| meta.pubkey == old)
        .expect("is there")
        .pubkey = new;
}

fn bonded(world: &World, model: &TestModel) -> Vec<u64> {
    let seats = model.oracles.iter();
    seats
        .map(|oracle| world.seat(&model.address, &oracle.address()).bonded)
        .collect()
}

fn unbond(world: &mut World, model: &TestModel, oracle: usize, amount: u64) {
    let oracle = &model.oracles[oracle];
    let request = instruction::request_unbond(oracle.address(), model.address, amount);
    world.send(request, &[&oracle.key]).expect("request_unbond");
}

/// What the receipt of window 0 owes the challenger and the treasury.
fn credits(world: &World, model: &TestModel) -> (u64, u64) {
    let receipt = world.receipt(&model.address, 0);
    (receipt.challenger_credit, receipt.treasury_credit)
}

fn state(world: &World, model: &TestModel) -> ReceiptState {
    world.receipt(&model.address, 0).state.into()
}

// Challenging.

#[test]
fn anyone_disputes_a_proposed_value_with_a_bond() {
    // Given a proposed value, and a bystander
    let mut world = World::new();
    let model = submitted(&mut world, &[100, 200, 300], BOND);
    let challenger = world.wallet(CHALLENGE_BOND + 1);
    world.pass(60);

    // When the bystander challenges
    let sent = world.challenge(&model, 0, &challenger).unwrap();

    // Then the bond is held, and the receipt in dispute from now on
    let Event::ReceiptChallenged(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(
        (event.challenger, event.bond),
        (challenger.address(), CHALLENGE_BOND)
    );
    assert_eq!((event.window, event.value), (0, 200));
    assert_eq!(event.held, 3 * BOND + CHALLENGE_BOND);
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(ReceiptState::from(receipt.state), ReceiptState::Challenged);
    assert_eq!(
        (receipt.since, receipt.challenger),
        (world.now(), challenger.address())
    );
    assert_eq!(world.tokens(&challenger.tokens), 1);
    let vault = address::bond_vault(&model.address);
    assert_eq!(world.tokens(&vault), 3 * BOND + CHALLENGE_BOND);
}

#[test]
fn a_value_is_challenged_before_its_period_ends() {
    // Given two proposed values
    let mut world = World::new();
    let models: [_; 2] = submitted_at_once(&mut world, &[100; 3], BOND);
    let challenger = world.wallet(2 * CHALLENGE_BOND);
    let end = world.receipt(&models[0].address, 0).since + params().challenge_secs;

    // When a second is left, then one can be challenged
    world.warp_to(end - 1);
    world.challenge(&models[0], 0, &challenger).unwrap();

    // When the period is over, then the other can't
    world.warp_to(end);
    let outcome = world.challenge(&models[1], 0, &challenger);
    assert_refused(outcome, DriftShieldError::ChallengePeriodOver);
    assert_eq!(world.tokens(&challenger.tokens), CHALLENGE_BOND);
}

#[test]
fn a_receipt_that_collects_is_not_challenged() {
    // Given a receipt that waits for an oracle
    let mut world = World::new();
    let spec = share_spec(&world);
    let model = world.model_with(spec, 3, BOND);
    submit_values(&mut world, &model, 0, &[100, 100]);
    let challenger = world.wallet(CHALLENGE_BOND);

    // When somebody challenges it
    let outcome = world.challenge(&model, 0, &challenger);

    // Then there is nothing proposed yet, but there is once the submit period is over
    assert_refused(outcome, DriftShieldError::ReceiptNotProposed);
    world.pass(params().submit_secs);
    world.challenge(&model, 0, &challenger).unwrap();
}

#[test]
fn a_receipt_is_challenged_once() {
    // Given a challenged receipt, and one in dispute for its spread
    let mut world = World::new();
    let (challenged, _) = challenged(&mut world, &[100; 3], BOND);
    let spread = submitted(&mut world, &[100, 200_000, 900_000], BOND);
    let second = world.wallet(CHALLENGE_BOND);

    // When somebody challenges them
    for model in [&challenged, &spread] {
        let outcome = world.challenge(model, 0, &second);

        // Then it is told that they are past it
        assert_refused(outcome, DriftShieldError::ReceiptNotProposed);
    }
}

#[test]
fn a_settled_receipt_is_not_challenged() {
    // Given a Final and a Void receipt
    let mut world = World::new();
    let last = submitted(&mut world, &[100; 3], BOND);
    let challenger = world.wallet(CHALLENGE_BOND);
    world.pass(params().challenge_secs);
    finalize(&mut world, &last).unwrap();
    let spec = share_spec(&world);
    let void = world.model_with(spec, 3, BOND);
    submit_values(&mut world, &void, 0, &[100]);
    world.pass(params().submit_secs);
    finalize(&mut world, &void).unwrap();

    // When somebody challenges them
    let outcomes = [&last, &void].map(|model| world.challenge(model, 0, &challenger));

    // Then it is too late for the one, and there never was a value of the other
    let [last, void] = outcomes;
    assert_refused(last, DriftShieldError::ChallengePeriodOver);
    assert_refused(void, DriftShieldError::ReceiptNotProposed);
}

// Who rules on what.

#[test]
fn only_the_models_arbiter_rules() {
    // Given a dispute, and another arbiter named since
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[100; 3], BOND);
    let other = world.wallet(0);
    let admin = world.admin.insecure_clone();
    let guardian = world.config().guardian;
    let update =
        instruction::update_config(world.config().admin, guardian, other.address(), params());
    world.send(update, &[&admin]).unwrap();

    // When that one rules, or a stranger
    let stranger = world.wallet(0);
    for key in [&other, &stranger] {
        let mut rule = rule_instruction(&world, &model, 100);
        let arbiter = world.model(&model.address).arbiter;
        replace(&mut rule, arbiter, key.address());
        let outcome = world.send(rule, &[&key.key]);

        // Then it is refused: the model keeps the arbiter that it was registered with
        assert_refused(outcome, DriftShieldError::NotArbiter);
    }
    world.rule(&model, 0, &share(100)).unwrap();
}

#[test]
fn a_dispute_is_ruled_before_its_period_ends() {
    // Given two disputes
    let mut world = World::new();
    let models: [_; 2] = submitted_at_once(&mut world, &[100; 3], BOND);
    let challenger = world.wallet(2 * CHALLENGE_BOND);
    for model in &models {
        world.challenge(model, 0, &challenger).unwrap();
    }
    let end = world.receipt(&models[0].address, 0).since + params().ruling_secs;

    // When a second is left, then one can be ruled
    world.warp_to(end - 1);
    world.rule(&models[0], 0, &share(100)).unwrap();

    // When the period is over, then the other can't
    world.warp_to(end);
    let outcome = world.rule(&models[1], 0, &share(100));
    assert_refused(outcome, DriftShieldError::ReceiptNotChallenged);
}

#[test]
fn what_is_not_in_dispute_is_not_ruled() {
    // Given receipts that are Collecting, Proposed, ruled already
    let mut world = World::new();
    let spec = share_spec(&world);
    let collecting = world.model_with(spec, 3, BOND);
    let [proposed, ruled] = submitted_at_once(&mut world, &[100; 3], BOND);
    submit_values(&mut world, &collecting, 0, &[100]);
    let challenger = world.wallet(CHALLENGE_BOND);
    world.challenge(&ruled, 0, &challenger).unwrap();
    world.rule(&ruled, 0, &share(100)).unwrap();
    assert_eq!(state(&world, &collecting), ReceiptState::Collecting);
    assert_eq!(state(&world, &proposed), ReceiptState::Proposed);

    // When the arbiter rules
    for model in [&collecting, &proposed, &ruled] {
        let outcome = world.rule(model, 0, &share(100));

        // Then there is no dispute
        assert_refused(outcome, DriftShieldError::ReceiptNotChallenged);
    }
}

#[test]
fn a_ruling_counts_every_bin_and_at_least_a_row() {
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[100; 3], BOND);

    // When a bin is missing, or there are no rows, then the ruling is refused
    let outcome = world.rule(&model, 0, &[1_000_000]);
    assert_refused(outcome, DriftShieldError::WrongBinCount);
    let outcome = world.rule(&model, 0, &[0, 0]);
    assert_refused(outcome, DriftShieldError::TooFewSamples);

    // When there are fewer rows than an oracle must count, then it is not
    let sent = world.rule(&model, 0, &[3, 1]).unwrap();
    assert_eq!(ruled(&sent).value, 250_000);
}

#[test]
fn a_ruling_takes_exactly_the_submitters_seats() {
    // Given a dispute on what two of three oracles submitted, and another model's seats
    let mut world = World::new();
    let spec = share_spec(&world);
    let model = world.model_with(spec, 3, BOND);
    let other = world.default_model();
    submit_values(&mut world, &model, 0, &[100, 900_000]);
    world.pass(params().submit_secs);
    finalize(&mut world, &model).unwrap();
    assert_eq!(state(&world, &model), ReceiptState::Challenged);
    let seats: Vec<Address> = (model.oracles.iter())
        .map(|oracle| address::seat(&model.address, &oracle.address()))
        .collect();
    let foreign = address::seat(&other.address, &other.oracles[0].address());
    let receipt = address::receipt(&model.address, 0);

    // When the arbiter passes any others
    let right = rule_instruction(&world, &model, 100);
    let fixed = right.accounts.len() - 2;
    assert_eq!(right.accounts[fixed].pubkey, seats[0]);
    let wrong_lists = [
        vec![],
        vec![seats[0]],
        vec![seats[1]],
        vec![seats[1], seats[0]],
        vec![seats[0], seats[2]],
        vec![seats[0], foreign],
        vec![foreign, seats[1]],
        vec![seats[0], seats[1], seats[2]],
        vec![seats[0], address::config()],
        vec![seats[0], world.mint],
    ];
    for list in wrong_lists {
        let mut rule = right.clone();
        let mut meta = rule.accounts[fixed].clone();
        rule.accounts.truncate(fixed);
        for seat in &list {
            meta.pubkey = *seat;
            rule.accounts.push(meta.clone());
        }
        let outcome = send_ruling(&mut world, rule);

        // Then that is refused
        assert_refused(outcome, DriftShieldError::WrongSeats);
    }
    // And so is a seat that comes twice, or another account of the instruction
    let twice = [seats[0], receipt].map(|address| {
        let mut rule = right.clone();
        rule.accounts[fixed + 1].pubkey = address;
        send_ruling(&mut world, rule)
    });
    let [seat, receipt] = twice;
    assert_refused(seat, DriftShieldError::WrongSeats);
    assert_eq!(code(receipt), DUPLICATE_MUTABLE);
    send_ruling(&mut world, right).unwrap();
}

// What a ruling moves.

#[test]
fn a_ruling_that_overturns_slashes_who_was_wrong() {
    // Given a median that two oracles bent, and a challenger
    let mut world = World::new();
    let values = [500_000, 500_000, 100];
    let (model, challenger) = challenged(&mut world, &values, BOND);
    let security = world.model(&model.address).security;

    // When the arbiter finds what the third did
    let sent = world.rule(&model, 0, &share(100)).unwrap();

    // Then half of what the two lose goes to the challenger, with the bond
    let event = ruled(&sent);
    assert!(!event.upheld);
    assert_eq!(
        (event.value, event.slashed, event.reward),
        (100, 2 * SLASH, 0)
    );
    assert_eq!(event.challenger_credit, CHALLENGE_BOND + SLASH);
    assert_eq!(event.treasury_credit, SLASH);
    assert_eq!(event.counts, share(100));
    let after: Vec<u64> = event.seats.iter().map(|seat| seat.bonded).collect();
    assert_eq!(after, [BOND - SLASH, BOND - SLASH, BOND]);
    assert_eq!(bonded(&world, &model), after);
    let slashes = [0, 1, 2].map(|oracle: usize| {
        let oracle = model.oracles[oracle].address();
        world.seat(&model.address, &oracle).slashes
    });
    assert_eq!(slashes, [1, 1, 0]);

    // And the value is final at once, and counts
    let receipt = world.receipt(&model.address, 0);
    assert_eq!(ReceiptState::from(receipt.state), ReceiptState::Final);
    assert_eq!((receipt.value, receipt.since), (100, world.now()));
    let state = world.model(&model.address);
    assert_eq!(
        (state.final_count, state.last_value, state.open_receipts),
        (1, 100, 0)
    );
    assert_eq!((state.security, event.security), (security, security));
    assert_eq!(event.chain, state.chain);

    // And both credits can be collected
    collect(&mut world, &model, ChallengePayee::Challenger).unwrap();
    collect(&mut world, &model, ChallengePayee::Treasury).unwrap();
    assert_eq!(world.tokens(&challenger.tokens), CHALLENGE_BOND + SLASH);
    assert_eq!(world.tokens(&world.treasury()), SLASH);
    assert_eq!(world.model(&model.address).held, 3 * BOND - 2 * SLASH);
}

#[test]
fn only_submissions_further_than_the_spread_are_slashed() {
    // Given submissions at the spread's edge about the ruling, and one unit beyond it
    let mut world = World::new();
    let values = [90_000, 89_999, 110_000, 110_001, 100_000];
    let (model, _) = challenged(&mut world, &values, BOND);

    // When the arbiter rules
    world.rule(&model, 0, &share(100_000)).unwrap();

    // Then only those beyond are slashed
    let less = BOND - SLASH;
    let reward = CHALLENGE_BOND / 2 / 5;
    let expected = [BOND, less, BOND, less, BOND].map(|bond| bond + reward);
    assert_eq!(bonded(&world, &model), expected);
}

#[test]
fn a_ruling_that_upholds_pays_the_submitters() {
    // Given a right median of three, and a challenger
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[100; 3], BOND);

    // When the arbiter finds the same, within the spread
    let sent = world.rule(&model, 0, &share(10_100)).unwrap();

    // Then half of the bond goes to the seats in equal parts, all else to the treasury
    let event = ruled(&sent);
    let reward = CHALLENGE_BOND / 2 / 3;
    assert!(event.upheld);
    assert_eq!(
        (event.value, event.slashed, event.reward),
        (10_100, 0, reward)
    );
    assert_eq!(credits(&world, &model), (0, CHALLENGE_BOND - 3 * reward));
    assert_eq!(bonded(&world, &model), [BOND + reward; 3]);
    assert_eq!(world.receipt(&model.address, 0).value, 10_100);
    let outcome = collect(&mut world, &model, ChallengePayee::Challenger);
    assert_refused(outcome, DriftShieldError::NothingToCollect);
    collect(&mut world, &model, ChallengePayee::Treasury).unwrap();
    assert_eq!(world.tokens(&world.treasury()), CHALLENGE_BOND - 3 * reward);
}

#[test]
fn the_odd_unit_goes_to_the_treasury() {
    // Given odd sizes of everything
    let odd = CollateralTerms {
        slash_amount: 501,
        min_bond: 1_001,
        challenge_bond: 101,
        ..terms()
    };
    let mut world = World::with(params(), odd);
    let (upheld, _) = challenged(&mut world, &[500_000, 100, 500_000], 1_001);
    let (overturned, _) = challenged(&mut world, &[500_000, 100, 100], 1_001);

    // When one oracle is slashed by 501 units, or all three are
    world.rule(&upheld, 0, &share(500_000)).unwrap();
    world.rule(&overturned, 0, &share(250_000)).unwrap();

    // Then the challenger's half is floored, and so is each seat's part of 50
    assert_eq!(credits(&world, &upheld), (250, 251 + 101 - 3 * 16));
    assert_eq!(bonded(&world, &upheld), [1_017, 516, 1_017]);
    assert_eq!(credits(&world, &overturned), (101 + 3 * 501 / 2, 752));
    assert_eq!(bonded(&world, &overturned), [500; 3]);
}

#[test]
fn what_is_slashed_without_a_challenger_goes_to_the_treasury() {
    // Given a dispute that began by itself
    let mut world = World::new();
    let model = submitted(&mut world, &[100, 200_000, 900_000], BOND);
    assert_eq!(state(&world, &model), ReceiptState::Challenged);

    // When the arbiter finds none of them right
    let sent = world.rule(&model, 0, &share(500_000)).unwrap();

    // Then the treasury gets all that they lose
    assert_eq!((ruled(&sent).slashed, ruled(&sent).reward), (3 * SLASH, 0));
    assert_eq!(credits(&world, &model), (0, 3 * SLASH));
    assert_eq!(bonded(&world, &model), [BOND - SLASH; 3]);
    collect(&mut world, &model, ChallengePayee::Treasury).unwrap();
    assert_eq!(world.tokens(&world.treasury()), 3 * SLASH);
}

#[test]
fn a_slash_takes_the_bond_at_most() {
    // Given two windows in dispute at once, in which an oracle at the minimum bond was wrong
    let terms = CollateralTerms {
        slash_amount: 800,
        min_bond: 1_000,
        ..terms()
    };
    let mut world = World::with(params(), terms);
    let spec = share_spec(&world);
    let model = world.model_with(spec, 3, 1_000);
    world.bond(&model, 1, 1_000).unwrap();
    let challenger = world.wallet(2 * CHALLENGE_BOND);
    for window in 0..2 {
        submit_values(&mut world, &model, window, &[500_000, 500_000, 100]);
        world.challenge(&model, window, &challenger).unwrap();
    }

    // When the arbiter rules on both
    let slashed = [0, 1].map(|window| {
        let sent = world.rule(&model, window, &share(100)).unwrap();
        ruled(&sent).slashed
    });

    // Then the second slash takes what the first has left, and no more
    assert_eq!(slashed, [800 + 800, 200 + 800]);
    assert_eq!(bonded(&world, &model), [0, 400, 1_000]);
}

#[test]
fn a_slash_reaches_what_is_unbonding() {
    // Given a dispute, on the day of which the wrong oracle asks all its bond back
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    unbond(&mut world, &model, 0, BOND);

    // When the arbiter rules
    let sent = world.rule(&model, 0, &share(100)).unwrap();

    // Then it loses as much as the other, and can withdraw what is left and no more
    assert_eq!(ruled(&sent).slashed, 2 * SLASH);
    let oracle = &model.oracles[0];
    let seat = world.seat(&model.address, &oracle.address());
    assert_eq!((seat.bonded, seat.unbonding), (BOND - SLASH, BOND - SLASH));
    world.warp_to(seat.release_at);
    let before = world.tokens(&oracle.tokens);
    let state = world.model(&model.address);
    let withdraw = instruction::withdraw_bond(oracle.address(), model.address, &state);
    world.send(withdraw, &[]).unwrap();
    assert_eq!(world.tokens(&oracle.tokens), before + BOND - SLASH);
}

#[test]
fn a_slash_takes_from_the_active_bond_first() {
    // Given a wrong oracle that has asked a part back
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    unbond(&mut world, &model, 0, BOND - SLASH - 1);

    // When the arbiter rules
    world.rule(&model, 0, &share(100)).unwrap();

    // Then what is unbonding is whole, and the seat counts no more
    let seat = world.seat(&model.address, &model.oracles[0].address());
    assert_eq!(
        (seat.bonded, seat.unbonding),
        (BOND - SLASH, BOND - SLASH - 1)
    );
    assert_eq!(world.model(&model.address).bonds[0], 1);
}

#[test]
fn security_falls_with_a_slash() {
    // Given three oracles at the minimum bond, and one that is wrong
    let mut world = World::new();
    let min_bond = terms().min_bond;
    let (model, _) = challenged(&mut world, &[500_000, 100, 100], min_bond);
    // Half of one slash: one of the two that make the quorum could bend it.
    assert_eq!(world.model(&model.address).security, SLASH / 2);

    // When two rulings in a row take all bonds below the minimum
    let sent = world.rule(&model, 0, &share(100)).unwrap();
    assert_eq!(ruled(&sent).security, SLASH / 2, "a quorum still counts");
    world.warp_to_end(&model, 1);
    for oracle in [1, 2] {
        world.submit(&model, oracle, 1, &share(100)).unwrap();
    }
    let challenger = world.wallet(CHALLENGE_BOND);
    world.challenge(&model, 1, &challenger).unwrap();
    let sent = world.rule(&model, 1, &share(500_000)).unwrap();

    // Then fewer than a quorum count, and nothing secures the model
    assert_eq!(ruled(&sent).security, 0);
    assert_eq!(world.model(&model.address).security, 0);
}

// Disputes that nobody ruled on.

#[test]
fn an_unruled_dispute_ends_with_the_median_where_a_quorum_agrees() {
    // Given a challenged value that the arbiter leaves alone
    let mut world = World::new();
    let (model, challenger) = challenged(&mut world, &[100, 200, 900_000], BOND);
    let end = world.now() + params().ruling_secs;
    world.warp_to(end - 1);
    assert_refused(
        finalize(&mut world, &model),
        DriftShieldError::NothingToFinalize,
    );

    // When the ruling period is over
    world.warp_to(end);
    let sent = finalize(&mut world, &model).unwrap();

    // Then the median is Final, nobody is slashed, and the challenger gets the bond back
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!((event.state, event.value), (ReceiptState::Final, 200));
    assert_eq!(event.challenger_credit, CHALLENGE_BOND);
    assert_eq!(credits(&world, &model), (CHALLENGE_BOND, 0));
    assert_eq!(bonded(&world, &model), [BOND; 3]);
    assert_eq!(world.receipt(&model.address, 0).since, end);
    collect(&mut world, &model, ChallengePayee::Challenger).unwrap();
    assert_eq!(world.tokens(&challenger.tokens), CHALLENGE_BOND);
    let outcome = collect(&mut world, &model, ChallengePayee::Treasury);
    assert_refused(outcome, DriftShieldError::NothingToCollect);
}

#[test]
fn an_unruled_dispute_without_agreement_is_void() {
    // Given a dispute that began by itself
    let mut world = World::new();
    let model = submitted(&mut world, &[100, 200_000, 900_000], BOND);

    // When the arbiter lets it lapse
    world.pass(params().ruling_secs);
    let sent = finalize(&mut world, &model).unwrap();

    // Then the receipt is Void: nobody loses, and it counts nowhere
    let Event::ReceiptFinalized(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    assert_eq!(event.state, ReceiptState::Void);
    assert_eq!(credits(&world, &model), (0, 0));
    assert_eq!(bonded(&world, &model), [BOND; 3]);
    let state = world.model(&model.address);
    assert_eq!(
        (state.final_count, state.open_receipts, state.latest),
        (0, 0, 0)
    );
}

// Collecting.

#[test]
fn anyone_collects_for_the_challenger() {
    // Given a challenger that won
    let mut world = World::new();
    let (model, challenger) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    world.rule(&model, 0, &share(100)).unwrap();

    // When a stranger collects, twice
    let sent = collect(&mut world, &model, ChallengePayee::Challenger).unwrap();
    let outcome = collect(&mut world, &model, ChallengePayee::Challenger);

    // Then the challenger is paid, once
    let Event::ChallengeCollected(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    let amount = CHALLENGE_BOND + SLASH;
    assert_eq!(
        (event.payee, event.amount),
        (ChallengePayee::Challenger, amount)
    );
    assert_eq!(event.destination, challenger.tokens);
    assert_eq!(event.held, 3 * BOND - SLASH);
    assert_refused(outcome, DriftShieldError::NothingToCollect);
    assert_eq!(world.tokens(&challenger.tokens), amount);
    assert_eq!(credits(&world, &model), (0, SLASH));
}

#[test]
fn only_the_challenger_says_where_else_to_pay() {
    // Given a challenger that won
    let mut world = World::new();
    let (model, challenger) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    world.rule(&model, 0, &share(100)).unwrap();
    let elsewhere = world.wallet(0);

    // When a stranger names another account, then it is refused
    let mut collect = collect_instruction(&world, &model, ChallengePayee::Challenger);
    replace(&mut collect, challenger.tokens, elsewhere.tokens);
    let outcome = world.send(collect.clone(), &[]);
    assert_refused(outcome, DriftShieldError::WrongDestination);

    // When a stranger says that it is the challenger, then it is refused
    let mut stolen = collect.clone();
    replace(&mut stolen, challenger.address(), elsewhere.address());
    let outcome = world.send(stolen, &[]);
    assert_refused(outcome, DriftShieldError::WrongPayee);

    // When the challenger signs, then it is paid there
    let mut metas = collect.accounts.iter_mut();
    let meta = metas.find(|meta| meta.pubkey == challenger.address());
    meta.unwrap().is_signer = true;
    world.send(collect, &[&challenger.key]).unwrap();
    assert_eq!(world.tokens(&elsewhere.tokens), CHALLENGE_BOND + SLASH);
}

#[test]
fn the_treasurys_part_goes_to_the_treasury_only() {
    // Given a credit of the treasury's
    let mut world = World::new();
    let (model, challenger) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    world.rule(&model, 0, &share(100)).unwrap();
    let treasury = world.treasury();

    // When another account is named, by a stranger or by the challenger
    let mut collect = collect_instruction(&world, &model, ChallengePayee::Treasury);
    replace(&mut collect, treasury, challenger.tokens);
    let mut signed = collect.clone();
    let mut metas = signed.accounts.iter_mut();
    let meta = metas.find(|meta| meta.pubkey == challenger.address());
    meta.unwrap().is_signer = true;

    // Then it is refused
    let outcome = world.send(collect, &[]);
    assert_refused(outcome, DriftShieldError::WrongTreasury);
    let outcome = world.send(signed, &[&challenger.key]);
    assert_refused(outcome, DriftShieldError::WrongTreasury);
}

#[test]
fn a_challenger_without_account_keeps_nobody_waiting() {
    // Given challengers that won, one without a token account, one whose account is frozen
    let mut world = World::new();
    let values = [500_000, 500_000, 100];
    let [missing, frozen, whole] = submitted_at_once(&mut world, &values, BOND);
    let [without, with_frozen, other] = [&missing, &frozen, &whole].map(|model| {
        let challenger = world.wallet(CHALLENGE_BOND);
        world.challenge(model, 0, &challenger).unwrap();
        challenger
    });
    let account = world.svm.get_account(&without.tokens).unwrap();
    world
        .svm
        .set_account(without.tokens, Default::default())
        .unwrap();
    let mut frozen_account = account.clone();
    frozen_account.data = world.svm.get_account(&with_frozen.tokens).unwrap().data;
    frozen_account.data[108] = 2; // frozen
    world
        .svm
        .set_account(with_frozen.tokens, frozen_account)
        .unwrap();

    // When the disputes are ruled and everything is collected that can be
    for model in [&missing, &frozen, &whole] {
        world.rule(model, 0, &share(100)).unwrap();
        collect(&mut world, model, ChallengePayee::Treasury).unwrap();
    }
    collect(&mut world, &whole, ChallengePayee::Challenger).unwrap();

    // Then only those two challengers' own parts wait
    let won = CHALLENGE_BOND + SLASH;
    assert_eq!(world.tokens(&other.tokens), won);
    assert_eq!(world.tokens(&world.treasury()), 3 * SLASH);
    let outcome = collect(&mut world, &missing, ChallengePayee::Challenger);
    assert_refused(outcome, DriftShieldError::WrongDestination);
    let outcome = collect(&mut world, &frozen, ChallengePayee::Challenger);
    assert_eq!(code(outcome), ACCOUNT_FROZEN);
    for model in [&missing, &frozen] {
        assert_eq!(state(&world, model), ReceiptState::Final);
        assert_eq!(credits(&world, model), (won, 0));
    }

    // And a missing account can be made by whoever collects
    let create = instruction::create_token_account(
        &payer(&world),
        &without.address(),
        &world.mint,
        TokenProgram::SplToken,
    );
    let collect = collect_instruction(&world, &missing, ChallengePayee::Challenger);
    world.send_all(&[create, collect], &[]).unwrap();
    assert_eq!(world.tokens(&without.tokens), won);
}

fn payer(world: &World) -> Address {
    solana_signer::Signer::pubkey(&world.payer)
}

#[test]
fn a_credit_is_paid_by_its_own_model_and_collateral() {
    // Given a credit, and another model
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    let other = world.default_model();
    world.rule(&model, 0, &share(100)).unwrap();
    let right = collect_instruction(&world, &model, ChallengePayee::Treasury);

    // When the other's vault is passed, or the other itself, then it is refused
    let mut wrong = right.clone();
    let vaults = [&model, &other].map(|model| address::bond_vault(&model.address));
    replace(&mut wrong, vaults[0], vaults[1]);
    assert_refused(world.send(wrong, &[]), DriftShieldError::WrongVault);
    let mut wrong = right.clone();
    replace(&mut wrong, model.address, other.address);
    assert_refused(world.send(wrong, &[]), DriftShieldError::WrongModel);
    world.send(right, &[]).unwrap();
}

// Every base unit.

/// A dispute of random sizes, ruled at random.
struct Case {
    terms: CollateralTerms,
    values: Vec<u64>,
    bonds: Vec<u64>,
    unbonding: Vec<u64>,
    challenged: bool,
    ruling: u64,
}

fn random_dispute(rng: &mut StdRng) -> Case {
    let slash_amount = rng.random_range(2..=1_000_001);
    let terms = CollateralTerms {
        min_bond: slash_amount + rng.random_range(0..=99),
        slash_amount,
        challenge_bond: rng.random_range(1..=999_999),
        min_bet: 1,
    };
    let challenged = rng.random_bool(0.7);
    let mut values: Vec<u64> = if challenged {
        // All within a spread of each other, or one far away.
        (0..rng.random_range(1..=7))
            .map(|_| 400_000 + rng.random_range(0..=8_000))
            .collect()
    } else {
        // None near another.
        (0..rng.random_range(2..=7))
            .map(|oracle| 100_000 * oracle)
            .collect()
    };
    if challenged && 3 <= values.len() && rng.random() {
        values[0] = rng.random_range(0..=1_000_000);
    }
    let bonds: Vec<u64> = (values.iter())
        .map(|_| terms.min_bond + rng.random_range(0..=terms.slash_amount))
        .collect();
    let unbonding = (bonds.iter())
        .map(|&bond| {
            if rng.random() {
                rng.random_range(1..=bond)
            } else {
                0
            }
        })
        .collect();
    let ruling = if rng.random() {
        values[rng.random_range(0..values.len())] + rng.random_range(0..=12_000)
    } else {
        rng.random_range(0..=1_000_000)
    };
    Case {
        terms,
        values,
        bonds,
        unbonding,
        challenged,
        ruling,
    }
}

#[test]
fn a_ruling_loses_no_base_unit() {
    const SPREAD: u64 = 10_000;
    let mut world = World::new();
    world.solvency_checks = false; // once for each case
    for seed in 0..50 {
        // Given a dispute of odd sizes
        let mut rng = StdRng::seed_from_u64(seed);
        let case = random_dispute(&mut rng);
        let admin = world.admin.insecure_clone();
        let update =
            instruction::update_collateral(world.config().admin, world.mint, case.terms, true);
        world.send(update, &[&admin]).expect("update_collateral");
        let spec = share_spec(&world);
        let model = world.model_with(spec, case.values.len(), 0);
        for (oracle, &bond) in case.bonds.iter().enumerate() {
            world.mint_to(&model.oracles[oracle].tokens, bond);
            world.bond(&model, oracle, bond).expect("bond");
        }
        submit_values(&mut world, &model, 0, &case.values);
        let challenger = world.wallet(case.terms.challenge_bond);
        if case.challenged {
            world
                .challenge(&model, 0, &challenger)
                .expect("challenge_receipt");
        }
        for (oracle, &amount) in case.unbonding.iter().enumerate() {
            if 0 < amount {
                unbond(&mut world, &model, oracle, amount);
            }
        }
        let vault = address::bond_vault(&model.address);
        let before = world.tokens(&vault);
        let treasury_before = world.tokens(&world.treasury());

        // When it is ruled and collected
        world
            .rule(&model, 0, &share(case.ruling.min(1_000_000)))
            .expect("rule_receipt");
        let (to_challenger, to_treasury) = credits(&world, &model);
        for (payee, credit) in [
            (ChallengePayee::Challenger, to_challenger),
            (ChallengePayee::Treasury, to_treasury),
        ] {
            let outcome = collect(&mut world, &model, payee);
            assert_eq!(outcome.is_ok(), 0 < credit, "seed {seed}");
        }

        // Then everybody has what the protocol says
        let mut sorted = case.values.clone();
        sorted.sort_unstable();
        let median = sorted[(sorted.len() - 1) / 2];
        let ruling = case.ruling.min(1_000_000);
        let upheld = median.abs_diff(ruling) <= SPREAD;
        let bond = if case.challenged {
            case.terms.challenge_bond
        } else {
            0
        };
        let seats = case.values.len() as u64;
        let reward = if upheld { bond / 2 / seats } else { 0 };
        let mut slashed = 0;
        for (oracle, &value) in case.values.iter().enumerate() {
            let loss = if SPREAD < value.abs_diff(ruling) {
                case.terms.slash_amount.min(case.bonds[oracle])
            } else {
                0
            };
            slashed += loss;
            let seat = world.seat(&model.address, &model.oracles[oracle].address());
            let left = case.bonds[oracle] - loss;
            assert_eq!(seat.bonded, left + reward, "seed {seed}, oracle {oracle}");
            assert_eq!(
                seat.unbonding,
                case.unbonding[oracle].min(left),
                "seed {seed}, oracle {oracle}"
            );
            assert_eq!(
                world.model(&model.address).bonds[oracle],
                seat.bonded - seat.unbonding,
                "seed {seed}, oracle {oracle}"
            );
        }
        let half = if case.challenged { slashed / 2 } else { 0 };
        let returned = if upheld { 0 } else { bond };
        assert_eq!(
            world.tokens(&challenger.tokens),
            half + returned + case.terms.challenge_bond - bond
        );
        let treasury = slashed - half + bond - returned - reward * seats;
        assert_eq!(world.tokens(&world.treasury()), treasury_before + treasury);
        let left = world.tokens(&vault);
        assert_eq!(left + half + returned + treasury, before, "seed {seed}");
        assert_eq!(
            left,
            bonded(&world, &model).iter().sum::<u64>(),
            "seed {seed}"
        );
        assert_eq!(world.model(&model.address).held, left, "seed {seed}");
    }
    world.check_solvency();
}

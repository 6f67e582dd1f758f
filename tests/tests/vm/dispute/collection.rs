//! Collection of the credits of challengers and the treasury.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield_sdk::{
    ChallengePayee, DriftShieldError, Event, ReceiptState, TokenProgram, address, instruction,
};
use driftshield_tests::world::*;

use super::{
    BOND, CHALLENGE_BOND, SLASH, challenged, collect, collect_instruction, credits, state,
    submitted_at_once,
};

/// What a challenger gets who was right about two liars: its bond, and at most twice that of half of
/// their slashes.
const WON: u64 = 3 * CHALLENGE_BOND;

/// What those two and the challenger have paid.
const LOST: u64 = CHALLENGE_BOND + 2 * SLASH;

/// The token program's error for a frozen account.
const ACCOUNT_FROZEN: u32 = 17;

/// The instruction with the signature of `signer`, one of its accounts.
fn signed_by(mut instruction: Instruction, signer: &Address) -> Instruction {
    let mut metas = instruction.accounts.iter_mut();
    let meta = metas.find(|meta| meta.pubkey == *signer);
    meta.expect("one of the accounts").is_signer = true;
    instruction
}

#[test]
fn anyone_can_collect_for_the_challenger() {
    // Given a challenger who won
    let mut world = World::new();
    let (model, challenger) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    world.rule(&model, 0, &share(100)).unwrap();
    world.pass(params().appeal_secs);

    // When somebody collects for the challenger, twice
    let sent = collect(&mut world, &model, ChallengePayee::Challenger).unwrap();
    let outcome = collect(&mut world, &model, ChallengePayee::Challenger);

    // Then the challenger is paid once
    let Event::ChallengeCollected(event) = sent.event() else {
        panic!("{:?}", sent.event())
    };
    let amount = WON;
    assert_eq!(
        (event.payee, event.amount),
        (ChallengePayee::Challenger, amount)
    );
    assert_eq!(event.destination, challenger.tokens);
    assert_eq!(event.held, 3 * BOND + CHALLENGE_BOND - WON);
    assert_refused(outcome, DriftShieldError::NothingToCollect);
    assert_eq!(world.tokens(&challenger.tokens), amount);
    assert_eq!(credits(&world, &model), (0, LOST - WON));
}

#[test]
fn only_the_challenger_can_choose_another_destination() {
    // Given a challenger who won
    let mut world = World::new();
    let (model, challenger) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    world.rule(&model, 0, &share(100)).unwrap();
    world.pass(params().appeal_secs);
    let elsewhere = world.wallet(0);

    // When a stranger passes another destination, then it is refused
    let collect = collect_instruction(&world, &model, ChallengePayee::Challenger);
    let collect = swapped(collect, &challenger.tokens, &elsewhere.tokens);
    let outcome = world.send(collect.clone(), &[]);
    assert_refused(outcome, DriftShieldError::WrongDestination);

    // When a stranger passes itself as the challenger, then it is refused
    let stolen = swapped(collect.clone(), &challenger.address(), &elsewhere.address());
    let outcome = world.send(stolen, &[]);
    assert_refused(outcome, DriftShieldError::WrongPayee);

    // When the challenger signs, then that destination is paid
    let signed = signed_by(collect, &challenger.address());
    world.send(signed, &[&challenger.key]).unwrap();
    assert_eq!(world.tokens(&elsewhere.tokens), WON);
}

#[test]
fn the_treasurys_credit_goes_to_the_treasury_only() {
    // Given a credit of the treasury
    let mut world = World::new();
    let (model, challenger) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    world.rule(&model, 0, &share(100)).unwrap();
    world.pass(params().appeal_secs);
    let treasury = world.treasury();

    // When a stranger or the challenger passes another destination
    let collect = collect_instruction(&world, &model, ChallengePayee::Treasury);
    let collect = swapped(collect, &treasury, &challenger.tokens);
    let signed = signed_by(collect.clone(), &challenger.address());

    // Then it is refused
    let outcome = world.send(collect, &[]);
    assert_refused(outcome, DriftShieldError::WrongTreasury);
    let outcome = world.send(signed, &[&challenger.key]);
    assert_refused(outcome, DriftShieldError::WrongTreasury);
}

#[test]
fn a_challenger_who_cannot_be_paid_delays_nobody_else() {
    // Given three challengers who won, one without a token account and one with a frozen one
    let mut world = World::new();
    let values = [500_000, 500_000, 100];
    let [missing, frozen, whole] = submitted_at_once(&mut world, &values, BOND);
    let [without, with_frozen, other] = [&missing, &frozen, &whole].map(|model| {
        let challenger = world.wallet(CHALLENGE_BOND);
        world.challenge(model, 0, &challenger, &share(100)).unwrap();
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

    // When the disputes are ruled and all possible credits are collected
    for model in [&missing, &frozen, &whole] {
        world.rule(model, 0, &share(100)).unwrap();
    }
    world.pass(params().appeal_secs);
    for model in [&missing, &frozen, &whole] {
        collect(&mut world, model, ChallengePayee::Treasury).unwrap();
    }
    collect(&mut world, &whole, ChallengePayee::Challenger).unwrap();

    // Then only the credits of those two challengers remain
    let won = WON;
    assert_eq!(world.tokens(&other.tokens), won);
    assert_eq!(world.tokens(&world.treasury()), 3 * (LOST - WON));
    let outcome = collect(&mut world, &missing, ChallengePayee::Challenger);
    assert_refused(outcome, DriftShieldError::WrongDestination);
    let outcome = collect(&mut world, &frozen, ChallengePayee::Challenger);
    assert_eq!(code(outcome), ACCOUNT_FROZEN);
    for model in [&missing, &frozen] {
        assert_eq!(state(&world, model), ReceiptState::Final);
        assert_eq!(credits(&world, model), (won, 0));
    }

    // And whoever collects can create the missing account
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
fn a_credit_is_paid_by_its_own_model_and_vault() {
    // Given a credit of the treasury, and another model
    let mut world = World::new();
    let (model, _) = challenged(&mut world, &[500_000, 500_000, 100], BOND);
    let other = world.default_model();
    world.rule(&model, 0, &share(100)).unwrap();
    world.pass(params().appeal_secs);
    let right = collect_instruction(&world, &model, ChallengePayee::Treasury);

    // When the other model or its vault is passed, then it is refused
    let vaults = [&model, &other].map(|model| address::bond_vault(&model.address));
    let wrong = swapped(right.clone(), &vaults[0], &vaults[1]);
    assert_refused(world.send(wrong, &[]), DriftShieldError::WrongVault);
    let wrong = swapped(right.clone(), &model.address, &other.address);
    assert_refused(world.send(wrong, &[]), DriftShieldError::WrongModel);
    world.send(right, &[]).unwrap();
}

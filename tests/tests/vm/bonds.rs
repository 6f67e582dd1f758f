//! Oracles' bonds: taking a seat, leaving it, and what the seats secure.

use driftshield_sdk::{
    CollateralTerms, DriftShieldError, Event, ModelTerms, TokenProgram, address, events,
    instruction,
};
use driftshield_tests::world::*;
use solana_signer::Signer;

/// What each oracle of the default model has bonded.
const BOND: u64 = 10_000 * TOKEN;

fn unbond(world: &mut World, model: &TestModel, oracle: usize, amount: u64) -> Outcome {
    let oracle = &model.oracles[oracle];
    let request = instruction::request_unbond(oracle.address(), model.address, amount);
    world.send(request, &[&oracle.key])
}

/// Anybody calls it: the world only pays the fee.
fn withdraw(world: &mut World, model: &TestModel, oracle: usize) -> Outcome {
    let oracle = model.oracles[oracle].address();
    let state = world.model(&model.address);
    world.send(
        instruction::withdraw_bond(oracle, model.address, &state),
        &[],
    )
}

/// All of an oracle's bond is back in its wallet.
fn leave(world: &mut World, model: &TestModel, oracle: usize) {
    let bonded = world
        .seat(&model.address, &model.oracles[oracle].address())
        .bonded;
    unbond(world, model, oracle, bonded).unwrap();
    world.pass(params().unbond_secs);
    withdraw(world, model, oracle).unwrap();
}

fn close(world: &mut World, model: &TestModel, oracle: usize) -> Outcome {
    let oracle = model.oracles[oracle].address();
    world.send(instruction::close_seat(oracle, model.address), &[])
}

/// The owner lists these of the model's oracles.
fn list(world: &mut World, model: &TestModel, oracles: &[usize], quorum: u8) {
    let terms = ModelTerms {
        oracles: oracles
            .iter()
            .map(|&i| model.oracles[i].address())
            .collect(),
        quorum,
        ..model_terms(&[])
    };
    let update = instruction::update_model(model.owner.address(), model.address, terms);
    world.send(update, &[&model.owner.key]).unwrap();
}

/// A bet of `amount` on a market of the model.
fn stake(world: &mut World, model: &TestModel, amount: u64) -> anchor_lang::Address {
    let creator = world.wallet(0);
    let terms = market_terms(world, model);
    let market = world.create_market(model, &creator, 1, terms).unwrap();
    let bettor = world.wallet(amount);
    world.bet(&market, &bettor, 0, amount).unwrap();
    market
}

// bond

#[test]
fn a_stranger_cannot_bond() {
    // Given a model and a stranger with tokens
    let mut world = World::new();
    let model = world.default_model();
    let stranger = world.wallet(BOND);
    // When the stranger bonds
    let state = world.model(&model.address);
    let bond = instruction::bond(
        stranger.address(),
        model.address,
        &state,
        stranger.tokens,
        BOND,
    );
    let outcome = world.send(bond, &[&stranger.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAnOracle);
}

#[test]
fn bonding_nothing_is_refused() {
    // Given a model
    let mut world = World::new();
    let model = world.default_model();
    // When an oracle bonds nothing
    let outcome = world.bond(&model, 0, 0);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::ZeroAmount);
}

#[test]
fn a_bond_goes_to_the_models_own_vault() {
    // Given two models
    let mut world = World::new();
    let model = world.default_model();
    let other = world.default_model();
    let oracle = &model.oracles[0];
    let state = world.model(&model.address);
    let bond = instruction::bond(oracle.address(), model.address, &state, oracle.tokens, 1);
    let other_vault = world.model(&other.address).bond_vault;
    for wrong in [other_vault, world.treasury()] {
        // When an oracle passes another account for the vault
        let outcome = world.send(
            swapped(bond.clone(), &state.bond_vault, &wrong),
            &[&oracle.key],
        );
        // Then it is refused
        assert_refused(outcome, DriftShieldError::WrongVault);
    }
}

#[test]
fn a_bond_is_in_the_models_own_mint() {
    // Given another token
    let mut world = World::new();
    let model = world.default_model();
    let other = world.second_collateral();
    // When an oracle names that one's mint
    let oracle = &model.oracles[0];
    let state = world.model(&model.address);
    let bond = instruction::bond(oracle.address(), model.address, &state, oracle.tokens, 1);
    let outcome = world.send(swapped(bond, &world.mint, &other), &[&oracle.key]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongMint);
}

#[test]
fn an_oracle_bonds_into_its_own_seat() {
    // Given another oracle's seat
    let mut world = World::new();
    let model = world.default_model();
    let [oracle, other] = [&model.oracles[0], &model.oracles[1]];
    let seats = [oracle, other].map(|o| address::seat(&model.address, &o.address()));
    // When an oracle passes it for its own
    let state = world.model(&model.address);
    let bond = instruction::bond(oracle.address(), model.address, &state, oracle.tokens, 1);
    let outcome = world.send(swapped(bond, &seats[0], &seats[1]), &[&oracle.key]);
    // Then it is refused
    assert!(outcome.is_err());
    assert_eq!(world.seat(&model.address, &other.address()).bonded, BOND);
}

#[test]
fn an_oracle_bonds_no_more_than_it_has() {
    // Given an oracle with nine bonds' worth of tokens left
    let mut world = World::new();
    let model = world.default_model();
    // When it bonds one unit more
    let outcome = world.bond(&model, 0, 9 * BOND + 1);
    // Then the token program refuses it
    assert_eq!(code(outcome), 1, "insufficient funds");
}

#[test]
fn the_first_bond_takes_the_seat_and_a_later_one_adds() {
    // Given a model without bonds and an oracle with tokens
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 1, 0);
    let oracle = &model.oracles[0];
    world.mint_to(&oracle.tokens, BOND);
    // When the oracle bonds twice
    for (seq, amount, bonded, security) in [
        (1, terms().min_bond - 1, terms().min_bond - 1, 0),
        (2, 1, terms().min_bond, terms().slash_amount / 2),
    ] {
        let sent = world.bond(&model, 0, amount).unwrap();
        // Then the seat holds both, and counts from the minimum on
        assert_eq!(
            *sent.event(),
            Event::Bonded(events::Bonded {
                model: model.address,
                model_seq: seq + 1,
                seat: address::seat(&model.address, &oracle.address()),
                seat_seq: seq,
                oracle: oracle.address(),
                amount,
                bonded,
                unbonding: 0,
                security,
                held: bonded,
            })
        );
        assert_eq!(world.model(&model.address).security, security);
    }
    let seat = world.seat(&model.address, &oracle.address());
    assert_eq!((seat.model, seat.oracle), (model.address, oracle.address()));
    assert_eq!((seat.bonded, seat.unbonding), (terms().min_bond, 0));
    let vault = world.model(&model.address).bond_vault;
    assert_eq!(world.tokens(&vault), terms().min_bond);
    assert_eq!(world.tokens(&oracle.tokens), BOND - terms().min_bond);
}

#[test]
fn a_seat_is_taken_though_somebody_sent_lamports_to_its_address() {
    // Given a model without bonds, and lamports where an oracle's seat is going to be
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 1, 0);
    let oracle = &model.oracles[0];
    let seat = address::seat(&model.address, &oracle.address());
    world.svm.airdrop(&seat, 1_000_000).unwrap();
    world.mint_to(&oracle.tokens, BOND);
    // When the oracle bonds
    world.bond(&model, 0, BOND).unwrap();
    // Then it has its seat
    assert_eq!(world.seat(&model.address, &oracle.address()).bonded, BOND);
}

// Security

/// The smallest of all sums of what ⌈quorum/2⌉ seats that count lose, halved: by trying them all.
fn expected_security(bonds: &[u64], quorum: usize, min_bond: u64, slash: u64) -> u64 {
    let losses: Vec<u64> = bonds
        .iter()
        .filter(|&&bond| min_bond <= bond)
        .map(|&bond| bond.min(slash))
        .collect();
    if losses.len() < quorum {
        return 0;
    }
    let bending = quorum.div_ceil(2) as u32;
    let sums = (0u32..1 << losses.len())
        .filter(|group| group.count_ones() == bending)
        .map(|group| {
            let member = |&(i, _): &(usize, &u64)| group & (1 << i) != 0;
            losses
                .iter()
                .enumerate()
                .filter(member)
                .map(|(_, loss)| loss)
                .sum::<u64>()
        });
    sums.min().unwrap_or(0) / 2
}

#[test]
fn security_is_half_of_what_bending_the_median_costs() {
    // Given every number of oracles and quorum, with a slash amount that does not halve
    let bonds = CollateralTerms {
        min_bet: 1,
        min_bond: 9,
        slash_amount: 7,
        challenge_bond: 1,
    };
    let mut world = World::with(params(), bonds);
    let mut seen = Vec::new();
    for count in 1..=7usize {
        let largest = if count < 3 { count } else { count - 1 };
        for quorum in count / 2 + 1..=largest {
            let owner = world.wallet(0);
            let oracles: Vec<Wallet> = (0..count).map(|_| world.wallet(100)).collect();
            let terms = ModelTerms {
                quorum: quorum as u8,
                ..model_terms(&oracles)
            };
            let register = instruction::register_model(
                owner.address(),
                1,
                &world.collateral(),
                spec(&world),
                terms,
            );
            world.send(register, &[&owner.key]).unwrap();
            let model = TestModel {
                address: address::model(&owner.address(), 1),
                owner,
                oracles,
            };
            let mut active = vec![0; count];
            let check = |world: &World, active: &[u64]| {
                let security = world.model(&model.address).security;
                let expected = expected_security(active, quorum, 9, 7);
                assert_eq!(security, expected, "{quorum} of {active:?}");
                security
            };
            // When seats are taken one by one, first with too little, and then left again
            for oracle in 0..count {
                world.bond(&model, oracle, 8).unwrap();
                active[oracle] += 8;
                check(&world, &active);
                let more = 1 + oracle as u64;
                world.bond(&model, oracle, more).unwrap();
                active[oracle] += more;
                check(&world, &active);
            }
            seen.push((count, quorum, check(&world, &active)));
            for oracle in 0..count {
                let less = 1 + oracle as u64;
                unbond(&mut world, &model, oracle, less).unwrap();
                active[oracle] -= less;
                check(&world, &active);
            }
        }
    }
    // Then the security is what the definition says, each time; with all seats, these
    assert_eq!(
        seen,
        [
            (1, 1, 3),
            (2, 2, 3),
            (3, 2, 3),
            (4, 3, 7),
            (5, 3, 7),
            (5, 4, 7),
            (6, 4, 7),
            (6, 5, 10),
            (7, 4, 7),
            (7, 5, 10),
            (7, 6, 10),
        ]
    );
}

// request_unbond

#[test]
fn only_the_oracle_unbonds() {
    // Given an oracle's seat
    let mut world = World::new();
    let model = world.default_model();
    let seat = address::seat(&model.address, &model.oracles[0].address());
    for thief in [&model.oracles[1], &model.owner] {
        // When another key asks for its bond
        let request = instruction::request_unbond(thief.address(), model.address, 1);
        let own = address::seat(&model.address, &thief.address());
        let outcome = world.send(swapped(request, &own, &seat), &[&thief.key]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::NotAnOracle);
    }
}

#[test]
fn unbonding_names_the_seats_own_model() {
    // Given another model
    let mut world = World::new();
    let model = world.default_model();
    let other = world.default_model();
    // When an oracle passes it with its seat
    let oracle = &model.oracles[0];
    let request = instruction::request_unbond(oracle.address(), model.address, 1);
    let outcome = world.send(
        swapped(request, &model.address, &other.address),
        &[&oracle.key],
    );
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongModel);
}

#[test]
fn unbonding_nothing_is_refused() {
    // Given a seat
    let mut world = World::new();
    let model = world.default_model();
    // When its oracle asks for nothing
    let outcome = unbond(&mut world, &model, 0, 0);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::ZeroAmount);
}

#[test]
fn no_more_unbonds_than_is_bonded() {
    // Given a seat of which a part is unbonding
    let mut world = World::new();
    let model = world.default_model();
    assert_refused(
        unbond(&mut world, &model, 0, BOND + 1),
        DriftShieldError::BondTooSmall,
    );
    unbond(&mut world, &model, 0, 1).unwrap();
    // When its oracle asks for all of it besides
    let outcome = unbond(&mut world, &model, 0, BOND);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::BondTooSmall);
}

#[test]
fn an_unbonding_leaves_what_is_at_risk_secured() {
    // Given a bet on a model with three seats and a quorum of two, of which one is left
    let mut world = World::new();
    let model = world.default_model();
    let market = stake(&mut world, &model, TOKEN);
    unbond(&mut world, &model, 0, BOND).unwrap();
    // When another asks for so much that its seat would no longer count
    let all_but_minimum = BOND - terms().min_bond;
    let outcome = unbond(&mut world, &model, 1, all_but_minimum + 1);
    // Then it is refused, but not down to the minimum, nor once nothing is at risk
    assert_refused(outcome, DriftShieldError::SecurityNeeded);
    unbond(&mut world, &model, 1, all_but_minimum).unwrap();
    assert_refused(
        unbond(&mut world, &model, 1, 1),
        DriftShieldError::SecurityNeeded,
    );
    world.warp_to_end(&model, 3);
    world.pass(params().submit_secs);
    world.settle(&market, 3).unwrap();
    unbond(&mut world, &model, 1, 1).unwrap();
}

#[test]
fn an_unbonding_may_leave_exactly_what_is_at_risk() {
    // Given a bet of all that a quorum of five in six oracles secures: three halves of a slash
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 6, 0);
    let terms_of_five = ModelTerms {
        quorum: 5,
        ..model_terms(&model.oracles)
    };
    let update = instruction::update_model(model.owner.address(), model.address, terms_of_five);
    world.send(update, &[&model.owner.key]).unwrap();
    for oracle in 0..6 {
        let tokens = model.oracles[oracle].tokens;
        world.mint_to(&tokens, BOND);
        world.bond(&model, oracle, BOND).unwrap();
    }
    let security = world.model(&model.address).security;
    assert_eq!(security, 3 * terms().slash_amount / 2);
    stake(&mut world, &model, 3 * security);
    // When one of the six leaves, and then a second
    unbond(&mut world, &model, 5, BOND).unwrap();
    let outcome = unbond(&mut world, &model, 0, BOND);
    // Then the first may, as five secure as much, and the second may not
    assert_refused(outcome, DriftShieldError::SecurityNeeded);
    assert_eq!(world.model(&model.address).security, security);
}

#[test]
fn what_unbonds_no_longer_counts() {
    // Given a seat of ten minimum bonds
    let mut world = World::new();
    let model = world.default_model();
    let oracle = model.oracles[0].address();
    let held = world.model(&model.address).held;
    // When its oracle asks for all of it
    let sent = unbond(&mut world, &model, 0, BOND).unwrap();
    // Then it still holds it, until three days later, but does not count
    let release_at = world.now() + params().unbond_secs;
    assert_eq!(
        *sent.event(),
        Event::UnbondRequested(events::UnbondRequested {
            model: model.address,
            model_seq: 5,
            seat: address::seat(&model.address, &oracle),
            seat_seq: 2,
            oracle,
            amount: BOND,
            bonded: BOND,
            unbonding: BOND,
            release_at,
            security: terms().slash_amount / 2,
        })
    );
    let seat = world.seat(&model.address, &oracle);
    assert_eq!((seat.bonded, seat.unbonding), (BOND, BOND));
    assert_eq!(seat.release_at, release_at);
    let state = world.model(&model.address);
    assert_eq!((state.bonds[0], state.held), (0, held));
    world.warp_to_end(&model, 0);
    assert_refused(
        world.submit(&model, 0, 0, &CALM),
        DriftShieldError::SeatDoesNotCount,
    );
}

#[test]
fn what_unbonds_stays_slashable() {
    // Given an oracle that submitted a wrong count and asked for its bond at once
    let mut world = World::new();
    let model = world.default_model();
    let challenger = world.wallet(terms().challenge_bond);
    world.submit_all(&model, 0, &CALM);
    unbond(&mut world, &model, 0, BOND).unwrap();
    // When it is challenged and ruled wrong
    world.challenge(&model, 0, &challenger).unwrap();
    world.rule(&model, 0, &DRIFTED).unwrap();
    // Then it is slashed, and gets the rest
    world.pass(params().unbond_secs);
    let before = world.tokens(&model.oracles[0].tokens);
    withdraw(&mut world, &model, 0).unwrap();
    let paid = world.tokens(&model.oracles[0].tokens) - before;
    assert_eq!(paid, BOND - terms().slash_amount);
    let seat = world.seat(&model.address, &model.oracles[0].address());
    assert_eq!((seat.bonded, seat.slashes), (0, 1));
}

// withdraw_bond

#[test]
fn nothing_is_withdrawn_that_was_not_asked_for() {
    // Given a seat
    let mut world = World::new();
    let model = world.default_model();
    // When somebody withdraws its bond
    let outcome = withdraw(&mut world, &model, 0);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NothingUnbonding);
}

#[test]
fn a_bond_unbonds_until_its_release_time() {
    // Given a bond that unbonds for a second more
    let mut world = World::new();
    let model = world.default_model();
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().unbond_secs - 1);
    // When somebody withdraws it
    let outcome = withdraw(&mut world, &model, 0);
    // Then it is refused, and a second later it is not
    assert_refused(outcome, DriftShieldError::StillUnbonding);
    world.pass(1);
    withdraw(&mut world, &model, 0).unwrap();
}

#[test]
fn asking_again_restarts_the_unbonding() {
    // Given a bond of which a part is asked for, and a part a day later
    let mut world = World::new();
    let model = world.default_model();
    let oracle = model.oracles[0].address();
    let first = world.now();
    unbond(&mut world, &model, 0, TOKEN).unwrap();
    world.pass(DAY);
    unbond(&mut world, &model, 0, 2 * TOKEN).unwrap();
    let seat = world.seat(&model.address, &oracle);
    assert_eq!(seat.unbonding, 3 * TOKEN);
    assert_eq!(seat.release_at, first + DAY + params().unbond_secs);
    // When the first part would have been over
    world.warp_to(seat.release_at - 1);
    let outcome = withdraw(&mut world, &model, 0);
    // Then both still wait, and are paid together
    assert_refused(outcome, DriftShieldError::StillUnbonding);
    world.pass(1);
    let before = world.tokens(&model.oracles[0].tokens);
    withdraw(&mut world, &model, 0).unwrap();
    let after = world.tokens(&model.oracles[0].tokens);
    assert_eq!(after - before, 3 * TOKEN);
}

/// The default model, and its first oracle's bond, released.
fn released() -> (World, TestModel) {
    let mut world = World::new();
    let model = world.default_model();
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().unbond_secs);
    (world, model)
}

fn withdrawal(
    world: &World,
    model: &TestModel,
) -> anchor_lang::solana_program::instruction::Instruction {
    let oracle = model.oracles[0].address();
    instruction::withdraw_bond(oracle, model.address, &world.model(&model.address))
}

#[test]
fn a_bond_is_paid_to_its_oracle() {
    // Given a bond that is released
    let (mut world, model) = released();
    let thief = world.wallet(0);
    // When a thief names itself for the oracle
    let to_thief = swapped(
        swapped(
            withdrawal(&world, &model),
            &model.oracles[0].address(),
            &thief.address(),
        ),
        &model.oracles[0].tokens,
        &thief.tokens,
    );
    let outcome = world.send(to_thief, &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongPayee);
}

#[test]
fn without_its_oracle_a_bond_is_paid_to_its_associated_account_only() {
    // Given a bond that is released, and another token account of the oracle's
    let (mut world, model) = released();
    let thief = world.wallet(0);
    let mut own = world.svm.get_account(&model.oracles[0].tokens).unwrap();
    own.data[64..72].fill(0);
    let second = key("a second account").pubkey();
    world.svm.set_account(second, own).unwrap();
    for destination in [thief.tokens, second, world.treasury()] {
        // When somebody withdraws it to another account than the associated one
        let elsewhere = swapped(
            withdrawal(&world, &model),
            &model.oracles[0].tokens,
            &destination,
        );
        let outcome = world.send(elsewhere, &[]);
        // Then it is refused
        assert_refused(outcome, DriftShieldError::WrongDestination);
    }
}

#[test]
fn an_associated_account_that_was_given_away_is_not_paid() {
    // Given a bond that is released, and an associated account that is another's by now
    let (mut world, model) = released();
    let tokens = model.oracles[0].tokens;
    let other = world.wallet(0);
    let mut given = world.svm.get_account(&tokens).unwrap();
    given.data[32..64].copy_from_slice(other.address().as_ref());
    world.svm.set_account(tokens, given).unwrap();
    // When somebody withdraws it there
    let outcome = withdraw(&mut world, &model, 0);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongDestination);
}

#[test]
fn a_missing_associated_account_is_made_at_the_callers_expense() {
    // Given a bond that is released, and an oracle that closed its token account
    let (mut world, model) = released();
    let oracle = model.oracles[0].address();
    let tokens = model.oracles[0].tokens;
    world.svm.set_account(tokens, Default::default()).unwrap();
    assert_refused(
        withdraw(&mut world, &model, 0),
        DriftShieldError::WrongDestination,
    );
    // When somebody makes it and withdraws in one transaction
    let payer = world.payer.pubkey();
    let create =
        instruction::create_token_account(&payer, &oracle, &world.mint, TokenProgram::SplToken);
    let withdraw = withdrawal(&world, &model);
    world.send_all(&[create, withdraw], &[]).unwrap();
    // Then it is paid
    assert_eq!(world.tokens(&tokens), BOND);
}

#[test]
fn a_bond_is_paid_wherever_its_oracle_says() {
    // Given a bond that is released, and somebody else's token account
    let (mut world, model) = released();
    let payee = world.wallet(0);
    // When the oracle signs for that
    let mut signed = swapped(
        withdrawal(&world, &model),
        &model.oracles[0].tokens,
        &payee.tokens,
    );
    signed.accounts[0].is_signer = true;
    world.send(signed, &[&model.oracles[0].key]).unwrap();
    // Then it is paid there
    assert_eq!(world.tokens(&payee.tokens), BOND);
}

#[test]
fn a_bond_is_paid_from_its_own_model() {
    // Given a bond that is released, and another model
    let (mut world, model) = released();
    let other = world.default_model();
    // When somebody withdraws it from the other model
    let from_other = swapped(withdrawal(&world, &model), &model.address, &other.address);
    let outcome = world.send(from_other, &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongModel);
}

#[test]
fn a_bond_is_paid_from_its_own_vault() {
    // Given a bond that is released, and another model's vault
    let (mut world, model) = released();
    let other = world.default_model();
    let vaults = [&model, &other].map(|model| world.model(&model.address).bond_vault);
    // When somebody withdraws it from there
    let from_other = swapped(withdrawal(&world, &model), &vaults[0], &vaults[1]);
    let outcome = world.send(from_other, &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongVault);
}

#[test]
fn a_bond_is_paid_in_its_own_mint() {
    // Given a bond that is released, and another token
    let (mut world, model) = released();
    let other = world.second_collateral();
    // When somebody withdraws it in that
    let in_other = swapped(withdrawal(&world, &model), &world.mint, &other);
    let outcome = world.send(in_other, &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongMint);
}

#[test]
fn anyone_withdraws_a_bond_to_its_oracle_once() {
    // Given a bond that is released
    let (mut world, model) = released();
    let oracle = model.oracles[0].address();
    // When somebody withdraws it
    let sent = withdraw(&mut world, &model, 0).unwrap();
    // Then the oracle is paid
    assert_eq!(
        *sent.event(),
        Event::BondWithdrawn(events::BondWithdrawn {
            model: model.address,
            model_seq: 6,
            seat: address::seat(&model.address, &oracle),
            seat_seq: 3,
            oracle,
            destination: model.oracles[0].tokens,
            amount: BOND,
            bonded: 0,
            held: 2 * BOND,
        })
    );
    assert_eq!(world.tokens(&model.oracles[0].tokens), 10 * BOND);
    let seat = world.seat(&model.address, &oracle);
    assert_eq!((seat.bonded, seat.unbonding, seat.release_at), (0, 0, 0));
    let vault = world.model(&model.address).bond_vault;
    assert_eq!(world.tokens(&vault), 2 * BOND);
    // And not a second time
    let again = withdraw(&mut world, &model, 0);
    assert_refused(again, DriftShieldError::NothingUnbonding);
}

#[test]
fn what_is_bonded_while_a_part_unbonds_stays() {
    // Given a seat of which all unbonds
    let mut world = World::new();
    let model = world.default_model();
    unbond(&mut world, &model, 0, BOND).unwrap();
    // When its oracle bonds again
    let release_at = world
        .seat(&model.address, &model.oracles[0].address())
        .release_at;
    world.bond(&model, 0, terms().min_bond).unwrap();
    // Then the seat counts again, and only what was asked for is paid
    let state = world.model(&model.address);
    assert_eq!(state.bonds[0], terms().min_bond);
    world.warp_to(release_at);
    withdraw(&mut world, &model, 0).unwrap();
    let seat = world.seat(&model.address, &model.oracles[0].address());
    assert_eq!((seat.bonded, seat.unbonding), (terms().min_bond, 0));
}

// Oracles that come and go

#[test]
fn an_oracle_that_is_no_longer_listed_gets_its_bond_back() {
    // Given an oracle that was taken off the list, and a bet on what the others secure
    let mut world = World::new();
    let model = world.default_model();
    list(&mut world, &model, &[1, 2], 2);
    let security = world.model(&model.address).security;
    stake(&mut world, &model, 3 * security);
    // When it leaves
    leave(&mut world, &model, 0);
    // Then it has its bond back, and the security is what it was
    assert_eq!(world.tokens(&model.oracles[0].tokens), 10 * BOND);
    assert_eq!(world.model(&model.address).security, security);
    close(&mut world, &model, 0).unwrap();
}

#[test]
fn an_oracle_that_is_no_longer_listed_cannot_bond() {
    // Given an oracle that was taken off the list
    let mut world = World::new();
    let model = world.default_model();
    list(&mut world, &model, &[1, 2], 2);
    // When it bonds
    let outcome = world.bond(&model, 0, TOKEN);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::NotAnOracle);
}

#[test]
fn an_oracle_that_is_listed_again_takes_its_seat_by_bonding() {
    // Given an oracle that was taken off the list and put on it again, with its bond left
    let mut world = World::new();
    let model = world.default_model();
    list(&mut world, &model, &[1, 2], 2);
    list(&mut world, &model, &[1, 2, 0], 2);
    let state = world.model(&model.address);
    assert_eq!(state.bonds[..3], [BOND, BOND, 0]);
    world.warp_to_end(&model, 0);
    assert_refused(
        world.submit(&model, 0, 0, &CALM),
        DriftShieldError::SeatDoesNotCount,
    );
    // When it bonds one unit
    world.bond(&model, 0, 1).unwrap();
    // Then its seat counts with all that it holds
    let state = world.model(&model.address);
    assert_eq!(state.bonds[..3], [BOND, BOND, BOND + 1]);
    world.submit(&model, 0, 0, &CALM).unwrap();
}

// close_seat

#[test]
fn a_seat_with_a_bond_is_not_closed() {
    // Given a seat whose bond is there, or unbonds
    let mut world = World::new();
    let model = world.default_model();
    assert_refused(close(&mut world, &model, 0), DriftShieldError::SeatInUse);
    unbond(&mut world, &model, 0, BOND).unwrap();
    world.pass(params().unbond_secs);
    // When somebody closes it before it is paid
    let outcome = close(&mut world, &model, 0);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::SeatInUse);
}

#[test]
fn a_seat_is_not_closed_while_a_receipt_is_open() {
    // Given an empty seat of an oracle that submitted to a receipt that is not final
    let mut world = World::new();
    let model = world.default_model();
    world.submit_all(&model, 0, &CALM);
    leave(&mut world, &model, 0);
    // When somebody closes it
    let outcome = close(&mut world, &model, 0);
    // Then it is refused, until the receipt is final
    assert_refused(outcome, DriftShieldError::SeatInUse);
    let finalize = instruction::finalize_receipt(model.address, 0);
    world.send(finalize, &[]).unwrap();
    close(&mut world, &model, 0).unwrap();
}

#[test]
fn a_seats_rent_goes_to_its_oracle() {
    // Given an empty seat
    let mut world = World::new();
    let model = world.default_model();
    leave(&mut world, &model, 0);
    let thief = world.wallet(0);
    // When somebody closes it for another's benefit
    let oracle = model.oracles[0].address();
    let close = instruction::close_seat(oracle, model.address);
    let outcome = world.send(swapped(close, &oracle, &thief.address()), &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongRentPayer);
}

#[test]
fn a_seat_is_closed_with_its_own_model() {
    // Given an empty seat, and another model
    let mut world = World::new();
    let model = world.default_model();
    let other = world.default_model();
    leave(&mut world, &model, 0);
    // When somebody closes it with that model
    let close = instruction::close_seat(model.oracles[0].address(), model.address);
    let outcome = world.send(swapped(close, &model.address, &other.address), &[]);
    // Then it is refused
    assert_refused(outcome, DriftShieldError::WrongModel);
}

#[test]
fn anyone_closes_an_empty_seat_and_the_oracle_gets_its_rent() {
    // Given an empty seat
    let mut world = World::new();
    let model = world.default_model();
    leave(&mut world, &model, 0);
    let oracle = model.oracles[0].address();
    let seat = address::seat(&model.address, &oracle);
    let (rent, before) = (world.lamports(&seat), world.lamports(&oracle));
    assert!(0 < rent);
    // When somebody closes it
    let sent = close(&mut world, &model, 0).unwrap();
    // Then it is gone, and its oracle got the rent
    assert_eq!(
        *sent.event(),
        Event::SeatClosed(events::SeatClosed {
            model: model.address,
            seat,
            seat_seq: 4,
            oracle,
        })
    );
    assert!(!world.exists(&seat));
    assert_eq!(world.lamports(&oracle), before + rent);
}

#[test]
fn a_seat_that_was_closed_is_taken_again_from_the_start() {
    // Given a seat that was closed
    let mut world = World::new();
    let model = world.default_model();
    leave(&mut world, &model, 0);
    close(&mut world, &model, 0).unwrap();
    // When its oracle bonds again
    world.bond(&model, 0, BOND).unwrap();
    // Then it holds that, and nothing of what was
    let seat = world.seat(&model.address, &model.oracles[0].address());
    assert_eq!((seat.bonded, seat.unbonding, seat.seq), (BOND, 0, 1));
    assert_eq!(world.model(&model.address).bonds[0], BOND);
}

#[test]
fn what_a_slash_left_without_security_may_go() {
    // Given three minimum bonds, all at risk, of which a ruling slashed every one
    let mut world = World::new();
    let spec = spec(&world);
    let model = world.model_with(spec, 3, terms().min_bond);
    let creator = world.wallet(0);
    let bettor = world.wallet(750 * TOKEN);
    let market_terms = market_terms(&world, &model);
    let market = world
        .create_market(&model, &creator, 1, market_terms)
        .unwrap();
    world.bet(&market, &bettor, 0, 750 * TOKEN).unwrap();
    let challenger = world.wallet(1_000 * TOKEN);
    world.submit_all(&model, 0, &DRIFTED);
    world.challenge(&model, 0, &challenger).unwrap();
    world.rule(&model, 0, &CALM).unwrap();
    assert_eq!(world.model(&model.address).security, 0);

    // When the oracles ask for what is left, then nothing that secures anything goes with it
    for oracle in &model.oracles {
        let unbond = instruction::request_unbond(oracle.address(), model.address, 500 * TOKEN);
        world.send(unbond, &[&oracle.key]).unwrap();
    }
}

#[test]
fn asking_a_bond_back_takes_no_seat() {
    // Given an oracle that left the list, bonded, and came back
    let mut world = World::new();
    let model = world.default_model();
    let owner = &model.owner;
    let update = |terms| instruction::update_model(owner.address(), model.address, terms);
    let [first, second, third] = &model.oracles[..] else {
        unreachable!("three oracles")
    };
    let all = model_terms(&model.oracles);
    let mut fewer = all.clone();
    fewer.oracles = vec![second.address(), third.address()];
    world.send(update(fewer), &[&owner.key]).unwrap();
    world.send(update(all), &[&owner.key]).unwrap();
    assert_eq!(world.model(&model.address).bonds[0], 0);

    // When it asks a part of its bond back, then its seat still does not count; bonding takes it
    let unbond = instruction::request_unbond(first.address(), model.address, 1);
    world.send(unbond, &[&first.key]).unwrap();
    assert_eq!(world.model(&model.address).bonds[0], 0);
    world.bond(&model, 0, 1).unwrap();
    assert_eq!(world.model(&model.address).bonds[0], 10_000 * TOKEN);
}

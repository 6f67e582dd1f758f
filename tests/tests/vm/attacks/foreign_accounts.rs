//! Accounts of others in the place of an account that an instruction loads or creates.

use driftshield_sdk::{
    Address, DriftShieldError, Instruction, ListingTerms, PAGE_WINDOWS, address, instruction,
};
use driftshield_tests::{insurance::*, world::*};

/// Sends `instruction` with an account of somebody else, and with an address at which nothing is, in
/// place of `own`. Asserts that both are refused with `wrong`.
#[track_caller]
fn others_are_refused(
    world: &mut World,
    instruction: &Instruction,
    signer: &Wallet,
    own: &Address,
    others: &Address,
    wrong: DriftShieldError,
) {
    assert!(world.exists(others) && !world.exists(&address::model(others, 1)));
    for foreign in [*others, address::model(others, 1)] {
        let swapped = swapped(instruction.clone(), own, &foreign);
        assert_refused(world.send(swapped, &[&signer.key]), wrong);
    }
    world.send(instruction.clone(), &[&signer.key]).unwrap();
}

#[test]
fn a_receipt_and_a_page_are_those_of_the_window() {
    // Given receipts of two windows on different pages, of which the first waits for submissions
    let mut world = World::new();
    let (model, other) = (world.default_model(), world.default_model());
    let first = PAGE_WINDOWS - 1;
    world.warp_to_end(&model, first);
    world.submit(&model, 1, first, &CALM).unwrap();
    let submit = |window| {
        let (oracle, counts) = (model.oracles[0].address(), CALM.to_vec());
        instruction::submit_receipt(oracle, model.address, window, counts, [1; 32], "".into())
    };
    world.submit(&other, 0, first, &CALM).unwrap();
    let (at, others) = (&model.address, &other.address);

    // Then neither a receipt nor a page of another model takes their places
    let page = (address::series(at, first), address::series(others, first));
    let receipt = (address::receipt(at, first), address::receipt(others, first));
    let mut without = world.clone();
    let wrong = DriftShieldError::WrongSeries;
    let oracle = &model.oracles[0];
    others_are_refused(
        &mut without,
        &submit(first),
        oracle,
        &page.0,
        &page.1,
        wrong,
    );
    let wrong = DriftShieldError::WrongReceipt;
    others_are_refused(
        &mut world,
        &submit(first),
        oracle,
        &receipt.0,
        &receipt.1,
        wrong,
    );

    // And neither those of another window of the model
    world.warp_to_end(&model, first + 1);
    let (next, old) = (address::receipt(at, first + 1), receipt.0);
    let mut without = world.clone();
    others_are_refused(&mut without, &submit(first + 1), oracle, &next, &old, wrong);
    let (next, old) = (address::series(at, first + 1), page.0);
    let wrong = DriftShieldError::WrongSeries;
    others_are_refused(&mut world, &submit(first + 1), oracle, &next, &old, wrong);
}

#[test]
fn a_seat_is_the_oracles() {
    let mut world = World::new();
    let model = world.default_model();
    let oracle = &model.oracles[0];
    world.mint_to(&oracle.tokens, TOKEN);
    let state = world.model(&model.address);
    let bond = instruction::bond(
        oracle.address(),
        model.address,
        &state,
        oracle.tokens,
        TOKEN,
    );
    let [own, others] = [0, 1].map(|i| address::seat(&model.address, &model.oracles[i].address()));
    let wrong = DriftShieldError::WrongSeat;
    others_are_refused(&mut world, &bond, oracle, &own, &others, wrong);
}

#[test]
fn a_listing_is_the_vaults_of_the_model() {
    // Given a vault that lists two models
    let mut scene = Insured::new();
    let (vault, first) = (scene.vault, scene.model.clone());
    let spec = share_spec(&scene.world);
    let second = scene.world.model_with(spec, 3, 20_000 * TOKEN);
    scene.model = second.clone();
    let lowest = scene.model().noise_floor;
    scene.list(TOKEN, lowest).unwrap();

    // Then the listing of one doesn't take the place of the other's
    let terms = ListingTerms {
        model_version: 1,
        cap: TOKEN,
        lowest_trigger: lowest,
        max_persistence: 1,
    };
    let manager = &scene.manager;
    let list = instruction::list_model(manager.address(), vault, second.address, terms);
    let own = address::exposure(&vault, &second.address);
    let others = address::exposure(&vault, &first.address);
    let wrong = DriftShieldError::WrongExposure;
    others_are_refused(&mut scene.world, &list, manager, &own, &others, wrong);
}

#[test]
fn a_request_is_the_owners_in_the_vault() {
    // Given requests of two providers
    let mut scene = Insured::new();
    let [one, other] = [(); 2].map(|()| {
        let provider = scene.world.wallet(10 * TOKEN);
        scene.deposit(&provider, 10 * TOKEN).unwrap();
        let shares = scene.shares(&provider);
        scene.request(&provider, shares / 2).unwrap();
        provider
    });

    // Then one doesn't take the place of the other
    let (vault, state) = (scene.vault, scene.vault());
    let shares = scene.shares(&one);
    let request = instruction::request_withdraw(one.address(), vault, &state, shares);
    let [own, others] = [&one, &other].map(|of| address::withdraw_request(&vault, &of.address()));
    let wrong = DriftShieldError::WrongRequest;
    others_are_refused(&mut scene.world, &request, &one, &own, &others, wrong);
}

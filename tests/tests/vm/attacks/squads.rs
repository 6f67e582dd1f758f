//! Findings of audits of Squads, a multisig, tried on this program.

use std::collections::BTreeMap;

use driftshield_sdk::{
    Account, ChallengePayee, DriftShieldError, FeePayee, MarketTerms, ModelTerms, PremiumPayee,
    address, instruction,
};
use driftshield_tests::{insurance::*, world::*};

use crate::{
    stakeholders::{Stakeholders, market_terms_on, raw_accounts},
    tampering::set_token_balance,
};

/// A copy of the world in which every token account of the program lacks one base unit, which no
/// instruction can cause.
fn with_missing_units(all: &Stakeholders) -> Stakeholders {
    let mut all = all.clone();
    for (account, tokens) in all.token_accounts() {
        set_token_balance(&mut all.insured.world, &account, tokens.saturating_sub(1));
    }
    all.insured.world.solvency_checks = false;
    all
}

#[test]
fn squads_tob_4_solvency_is_checked_after_payments_in() {
    // Given a proposed receipt, and token accounts that hold less than the program owes
    let mut all = Stakeholders::new();
    let window = all.insured.window;
    let model = all.insured.model.clone();
    all.insured
        .world
        .submit_all(&model, window, &share(CALM_DRIFT));
    let mut all = with_missing_units(&all);
    let (holder, winner, market) = (all.holder.clone(), all.winner.clone(), all.market);

    // When tokens are paid in, or a policy is cancelled, then the final check refuses it
    let scene = &mut all.insured;
    for outcome in [
        scene
            .world
            .challenge(&model, window, &holder, &share(2 * CALM_DRIFT)),
        scene.world.bet(&market, &winner, 1, TOKEN),
        scene.world.bond(&model, 0, TOKEN),
        scene.deposit(&holder, TOKEN),
        scene.buy(&holder, 3, scene.terms()),
        scene.cancel(&holder, 1),
    ] {
        assert_refused(outcome, DriftShieldError::Insolvent);
    }
}

#[test]
fn squads_tob_4_solvency_is_checked_after_payments_out() {
    // Given a settled market, a claimable policy, a dispute that the challenger has won, a due withdrawal
    // request and a due unbonding
    let mut all = Stakeholders::new();
    let (provider, holder, market) = (all.insured.provider(), all.holder.clone(), all.market);
    let model = all.insured.model.clone();
    let disputed = all.insured.window;
    all.insured
        .world
        .submit_all(&model, disputed, &share(90_000));
    all.insured
        .world
        .challenge(&model, disputed, &holder, &share(CALM_DRIFT))
        .unwrap();
    all.insured
        .world
        .rule(&model, disputed, &share(CALM_DRIFT))
        .unwrap();
    all.insured.window += 1;
    for oracle in 0..3 {
        let tokens = model.oracles[oracle].tokens;
        all.insured.world.mint_to(&tokens, 20_000 * TOKEN);
        all.insured
            .world
            .bond(&model, oracle, 20_000 * TOKEN)
            .unwrap();
    }
    all.measure_history();
    all.insured.request(&provider, CAPITAL).unwrap();
    let oracle = &model.oracles[0];
    let unbond = instruction::request_unbond(oracle.address(), model.address, 1);
    all.insured.world.send(unbond, &[&oracle.key]).unwrap();
    all.insured.measure(300_000);
    all.insured.world.settle(&market).unwrap();
    all.insured.examine(&holder, 1).unwrap();
    all.insured.world.pass(COOLDOWN);

    // When any of these is paid from token accounts that hold less than the program owes, then the final
    // check refuses it
    let (scene, world) = (&all.insured, &all.insured.world);
    let (vault, state, policy) = (scene.vault(), scene.model(), scene.policy(&holder, 1));
    let (market_state, receipt) = (
        world.market(&market),
        world.receipt(&model.address, disputed),
    );
    let (vault_address, winner, payee) = (
        scene.vault,
        all.winner.address(),
        ChallengePayee::Challenger,
    );
    for payment in [
        instruction::claim(winner, market, &market_state),
        instruction::collect_fees(market, &market_state, FeePayee::Creator),
        instruction::withdraw(provider.address(), vault_address, &vault),
        instruction::collect_manager_fees(vault_address, &vault, PremiumPayee::Manager),
        instruction::claim_policy(&policy, &vault),
        instruction::collect_challenge(model.address, &state, &receipt, payee),
        instruction::withdraw_bond(oracle.address(), model.address, &state),
    ] {
        let outcome = with_missing_units(&all)
            .insured
            .world
            .send(payment.clone(), &[]);
        assert_refused(outcome, DriftShieldError::Insolvent);
        all.clone().insured.world.send(payment, &[]).unwrap();
    }
}

#[test]
fn squads_certora_h01_later_accounts_do_not_affect_earlier_ones() {
    // Given a market, a vault and a policy, and many more that their owners create later with other ids
    let mut all = Stakeholders::new();
    let creator = all.creator.clone();
    let (manager, holder) = (all.insured.manager.clone(), all.holder.clone());
    let collateral = all.insured.world.collateral();
    let first = all.insured.window + 2;
    for id in [u64::MAX, 0, 2, 1 << 32] {
        let terms = market_terms_on(&all.insured.world, &all.insured.model, first, first);
        let world = &mut all.insured.world;
        world
            .create_market(&all.insured.model, &creator, id, terms)
            .unwrap();
        let (at, terms) = (manager.address(), vault_terms());
        let create = instruction::create_vault(at, id, &collateral, COOLDOWN, 0, terms);
        world.send(create, &[&manager.key]).unwrap();
        all.insured.buy(&holder, id, all.insured.terms()).unwrap();
    }
    for id in [u64::MAX, 0, 2, 1 << 32] {
        all.insured.cancel(&holder, id).unwrap();
    }

    // Then the first ones are still paid and closed as usual
    let end = all.redeem();
    assert!(
        end.iter()
            .any(|(name, tokens)| *name == "winner" && 1_000 * TOKEN < *tokens)
    );
}

#[test]
fn squads_os_adv_01_accounts_have_a_fixed_size_that_fits_the_largest_content() {
    // Given an account of each kind, and a model and a market with the most data that they can hold
    let mut all = Stakeholders::new();
    let sizes = |world: &World| -> BTreeMap<&'static str, Vec<usize>> {
        let mut sizes: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (_, account) in raw_accounts(world) {
            let name = Account::decode(&account.data).unwrap().kind().name();
            sizes.entry(name).or_default().push(account.data.len());
        }
        sizes.values_mut().for_each(Vec::dedup);
        sizes
    };
    let before = sizes(&all.insured.world);
    let owner = all.insured.world.wallet(0);
    let oracles: Vec<_> = (0..7).map(|_| all.insured.world.wallet(0)).collect();
    let spec = driftshield_sdk::MetricSpec {
        reference: vec![1_000_000; 16],
        metric: driftshield_sdk::Metric::Psi,
        ..spec(&all.insured.world)
    };
    let terms = ModelTerms {
        name: "n".repeat(32),
        uri: "u".repeat(128),
        ..model_terms(&oracles)
    };
    let (at, collateral) = (owner.address(), all.insured.world.collateral());
    let register = instruction::register_model(at, 1, &collateral, spec, terms);
    all.insured.world.send(register, &[&owner.key]).unwrap();
    let largest = TestModel {
        address: address::model(&at, 1),
        owner,
        oracles,
    };
    let terms = MarketTerms {
        thresholds: (0..7).map(|step| 200_000 + step).collect(),
        last_window: 366,
        question: "q".repeat(128),
        ..market_terms(&all.insured.world, &largest)
    };
    let creator = all.creator.clone();
    all.insured
        .world
        .create_market(&largest, &creator, 9, terms)
        .unwrap();
    let provider = all.insured.provider();
    all.insured.request(&provider, CAPITAL).unwrap();

    // When the sizes of all accounts are compared with those before
    let after = sizes(&all.insured.world);

    // Then all accounts of a kind have the same size, and it has not changed
    for (name, sizes) in &after {
        assert_eq!(sizes.len(), 1, "{name}: {sizes:?}");
        assert!(before.get(name).is_none_or(|before| before == sizes));
    }
    assert_eq!(after.len(), 11);
}

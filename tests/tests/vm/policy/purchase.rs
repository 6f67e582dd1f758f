//! Purchases of cover, and their refusals.

use driftshield_sdk::{
    DriftShieldError, PolicyTerms, Refusal, Rule, VaultTerms, address, instruction, pause,
};
use driftshield_tests::{insurance::*, world::*};
use solana_signer::Signer;

use super::{insured, measure_until_covered};
use crate::{admin::update_collateral, bonds::start_leaving, model::retire};

#[test]
fn a_just_in_time_deposit_does_not_raise_a_models_cap() {
    // Given a vault with a cap of a tenth of its capital on a model
    let mut scene = Insured::new();
    scene.list(1_000 * TOKEN, 20_000).unwrap();
    let attacker = scene.world.wallet(20 * CAPITAL);
    let accomplice = scene.world.wallet(CAPITAL);

    // When an attacker deposits nine times as much for a moment, and an accomplice buys as much
    // cover as possible
    scene.deposit(&attacker, 9 * CAPITAL).unwrap();
    let terms = PolicyTerms {
        cover: 1_000 * TOKEN,
        ..scene.terms()
    };
    scene.buy(&accomplice, 1, terms).unwrap();
    let more = PolicyTerms {
        cover: TOKEN,
        ..terms
    };
    let outcome = scene.buy(&accomplice, 2, more);
    assert_refused(outcome, DriftShieldError::ExposureFull);
    scene.leave(&attacker);

    // Then the remaining capital covers no more than the cap
    let exposure = scene.exposure();
    assert!(exposure.cover <= exposure.cap);
    assert_eq!(scene.vault().locked, 1_000 * TOKEN);
    assert!(CAPITAL <= scene.vault().assets);
}

#[test]
fn invalid_purchases_are_refused() {
    let mut scene = Insured::with(VaultTerms {
        max_cover: 50_000 * TOKEN,
        ..vault_terms()
    });
    let holder = scene.world.wallet(10 * CAPITAL);
    let good = scene.terms();
    let floor = scene.model().noise_floor;
    scene.list_up_to(100_000 * TOKEN, 30_000, 3).unwrap(); // tighter
    use DriftShieldError as Error;
    type Change<'a> = (&'a str, Error, &'a dyn Fn(&mut PolicyTerms));
    let refusals: [Change; 16] = [
        ("another version", Error::VersionMismatch, &|t| {
            t.model_version = 2
        }),
        (
            "trigger below the noise floor",
            Error::BelowNoiseFloor,
            &|t| t.trigger = floor - 1,
        ),
        (
            "trigger below the listing's lowest",
            Error::TriggerTooLow,
            &|t| t.trigger = 29_999,
        ),
        ("trigger at the last value", Error::TriggerReached, &|t| {
            t.trigger = CALM_DRIFT
        }),
        (
            "exhaustion below the trigger",
            Error::InvalidExhaustion,
            &|t| t.exhaustion = 99_999,
        ),
        ("persistence of zero", Error::InvalidPersistence, &|t| {
            t.persistence = 0
        }),
        ("persistence above four", Error::InvalidPersistence, &|t| {
            t.persistence = 5
        }),
        (
            "persistence above the listing's",
            Error::PersistenceTooLong,
            &|t| t.persistence = 4,
        ),
        (
            "fewer windows than the persistence",
            Error::InvalidPersistence,
            &|t| {
                t.persistence = 3;
                t.windows = 2;
            },
        ),
        ("first window has started", Error::WindowsBegan, &|t| {
            t.first_window = good.first_window - 1
        }),
        ("first window is too late", Error::WindowsTooLate, &|t| {
            t.first_window = good.first_window + 1
        }),
        ("windows overflow", Error::WindowOutOfRange, &|t| {
            t.windows = u64::MAX
        }),
        ("cover too small", Error::CoverOutOfLimits, &|t| {
            t.cover = TOKEN - 1
        }),
        ("cover too large", Error::CoverOutOfLimits, &|t| {
            t.cover = 50_000 * TOKEN + 1
        }),
        ("utilisation too high", Error::UtilisationTooHigh, &|t| {
            t.cover = 9_000 * TOKEN + 1
        }),
        ("premium too high", Error::PremiumTooHigh, &|t| {
            t.max_premium = 1
        }),
    ];
    for (name, error, change) in refusals {
        println!("{name}");
        let mut terms = good;
        change(&mut terms);
        assert_refused(scene.buy(&holder, 1, terms), error);
        assert_eq!(scene.quote(&terms).map(|_| ()), Err(error.into()));
    }
    let exact = scene.quote(&good).unwrap().price();
    let below = PolicyTerms {
        max_premium: exact - 1,
        ..good
    };
    assert_refused(scene.buy(&holder, 1, below), Error::PremiumTooHigh);
    scene
        .buy(
            &holder,
            1,
            PolicyTerms {
                max_premium: exact,
                ..good
            },
        )
        .unwrap();
}

#[test]
fn a_policy_ends_within_400_days_and_the_vaults_limits() {
    let limits = VaultTerms {
        min_duration_secs: 5 * DAY,
        max_duration_secs: 20 * DAY,
        ..vault_terms()
    };
    let mut scene = Insured::with(limits);
    let holder = scene.world.wallet(CAPITAL);
    for windows in [1, 30] {
        let terms = PolicyTerms {
            windows,
            ..scene.terms()
        };
        let outcome = scene.buy(&holder, 1, terms);
        assert_refused(outcome, DriftShieldError::DurationOutOfLimits);
    }
    let mut scene = Insured::with(VaultTerms {
        max_duration_secs: 1_000 * DAY,
        ..vault_terms()
    });
    let holder = scene.world.wallet(CAPITAL);
    let terms = PolicyTerms {
        windows: 400,
        ..scene.terms()
    };
    assert_refused(scene.buy(&holder, 1, terms), DriftShieldError::EndTooFar);
}

#[test]
fn a_model_needs_eight_receipts_and_a_recent_one() {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    // The newest receipt may be exactly as old as two windows and a dispute, and no older.
    let model = scene.model();
    let stale = model.window_end(model.last_window).unwrap() + 2 * DAY + model.dispute_secs();
    scene.world.warp_to(stale + 1);
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::StaleHistory);
    scene.world.warp_to(stale);
    scene.buy(&holder, 1, scene.terms()).unwrap();

    // A model with seven receipts is refused.
    let mut scene = Insured::empty(World::with(params(), insurance_terms()), vault_terms());
    let mut model = scene.model();
    model.final_count = 7;
    let mut vault = scene.vault();
    let now = scene.world.now();
    let exposure = scene.exposure();
    let quote = driftshield_sdk::quote(&mut vault, &exposure, &model, &scene.terms(), now);
    assert_eq!(
        quote.map(|_| ()),
        Err(Refusal {
            rule: Rule::TooLittleHistory,
            limit: 8
        })
    );
    // And so is a vault without capital.
    let holder = scene.world.wallet(CAPITAL);
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::UtilisationTooHigh);
}

#[test]
fn the_program_refuses_a_model_with_fewer_than_eight_receipts() {
    // Given a second model, without receipts
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let spec = share_spec(&scene.world);
    let young = scene.world.model_with(spec, 3, 20_000 * TOKEN);
    let measured = std::mem::replace(&mut scene.model, young);
    let window = std::mem::replace(&mut scene.window, 0);
    // When the vault lists it, then cover is refused without receipts and with seven, and sold with eight
    scene.list(TOKEN * 1_000, 20_000).unwrap();
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::TooLittleHistory);
    for _ in 0..7 {
        scene.measure(CALM_DRIFT);
    }
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::TooLittleHistory);
    scene.measure(CALM_DRIFT);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    assert!(window > 0 && scene.world.exists(&measured.address));
}

#[test]
fn an_unlisted_model_is_refused() {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    let listed = address::exposure(&scene.vault, &scene.model.address);
    let spec = share_spec(&scene.world);
    let other = scene.world.model_with(spec, 3, 20_000 * TOKEN);
    let buy = instruction::buy_policy(
        holder.address(),
        1,
        scene.vault,
        &scene.vault(),
        other.address,
        holder.tokens,
        scene.terms(),
    );
    let unlisted = address::exposure(&scene.vault, &other.address);
    let outcome = scene.world.send(buy.clone(), &[&holder.key]);
    assert_refused(outcome, DriftShieldError::ModelNotListed);
    // And so is a purchase with the listing of another model.
    let outcome = scene
        .world
        .send(swapped(buy, &unlisted, &listed), &[&holder.key]);
    assert_refused(outcome, DriftShieldError::ModelNotListed);
}

#[test]
fn insiders_cannot_buy_cover() {
    let mut scene = Insured::new();
    let terms = scene.terms();
    let insiders = [
        scene.model.owner.key.insecure_clone(),
        scene.model.oracles[0].key.insecure_clone(),
        scene.manager.key.insecure_clone(),
    ];
    for key in insiders {
        let tokens =
            address::token_account(&key.pubkey(), &scene.world.mint, scene.world.token_program);
        let insider = Wallet { key, tokens };
        let outcome = scene.buy(&insider, 1, terms);
        assert_refused(outcome, DriftShieldError::Insider);
    }
}

#[test]
fn cover_stays_within_the_security_limit() {
    // Given bonds that secure 15,000 tokens, and capital for more cover
    let mut scene = Insured::new();
    let rich = scene.world.wallet(10 * CAPITAL);
    scene.deposit(&rich, 10 * CAPITAL).unwrap();
    let holder = scene.world.wallet(10 * CAPITAL);
    let secured = scene.model().security * 3;
    let terms = PolicyTerms {
        cover: secured + 1,
        ..scene.terms()
    };
    let outcome = scene.buy(&holder, 1, terms);
    assert_refused(outcome, DriftShieldError::AboveSecurityLimit);
    let terms = PolicyTerms {
        cover: secured,
        ..scene.terms()
    };
    scene.buy(&holder, 1, terms).unwrap();
    // And bonds cannot be unbonded while the cover needs them.
    let oracle = &scene.model.oracles[0];
    let bonded = scene
        .world
        .seat(&scene.model.address, &oracle.address())
        .bonded;
    for oracle in 0..2 {
        let oracle = &scene.model.oracles[oracle];
        let unbond = instruction::request_unbond(oracle.address(), scene.model.address, bonded);
        let outcome = scene.world.send(unbond, &[&oracle.key.insecure_clone()]);
        if outcome.is_err() {
            assert_refused(outcome, DriftShieldError::SecurityNeeded);
            return;
        }
    }
    panic!("bonds that secure cover were unbonded");
}

#[test]
fn cover_above_the_security_limit_cannot_be_renewed() {
    // Given a policy, and two of three oracles that then start to leave
    let (mut scene, holder) = insured(|terms| terms);
    let model = scene.model.clone();
    for oracle in [0, 1] {
        start_leaving(&mut scene.world, &model, oracle).unwrap();
    }
    assert_eq!(scene.model().lasting_security, 0);

    // When the holder renews the policy, then it is refused
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::AboveSecurityLimit);
}

#[test]
fn purchases_stop_when_paused_disabled_or_retired() {
    let mut scene = Insured::new();
    let holder = scene.world.wallet(CAPITAL);
    scene.world.pause(pause::POLICIES);
    let outcome = scene.buy(&holder, 1, scene.terms());
    assert_refused(outcome, DriftShieldError::Paused);
    scene.world.pause(pause::ALL & !pause::POLICIES);
    scene.buy(&holder, 1, scene.terms()).unwrap();
    scene.world.pause(0);

    update_collateral(&mut scene.world, insurance_terms(), false);
    let outcome = scene.buy(&holder, 2, scene.terms());
    assert_refused(outcome, DriftShieldError::CollateralDisabled);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::CollateralDisabled);
    update_collateral(&mut scene.world, insurance_terms(), true);

    measure_until_covered(&mut scene, &holder);
    retire(&mut scene.world, &scene.model).unwrap();
    let outcome = scene.buy(&holder, 2, scene.terms());
    assert_refused(outcome, DriftShieldError::ModelRetired);
    let outcome = scene.renew(&holder, 1, true);
    assert_refused(outcome, DriftShieldError::ModelRetired);
    let outcome = scene.list(TOKEN, 20_000);
    assert_refused(outcome, DriftShieldError::ModelRetired);
    // Policies that are sold already still pay.
    scene.measure(300_000);
    scene.claim(&holder, 1).unwrap();
}

#[test]
fn a_covered_model_cannot_be_updated() {
    let (mut scene, holder) = insured(|terms| terms);
    let owner = scene.model.owner.key.insecure_clone();
    let terms = model_terms(&scene.model.oracles);
    let state = scene.model();
    let update = instruction::update_model(owner.pubkey(), scene.model.address, &state, terms);
    let outcome = scene.world.send(update.clone(), &[&owner]);
    assert_refused(outcome, DriftShieldError::ModelExposed);
    scene.cancel(&holder, 1).unwrap();
    scene.world.send(update, &[&owner]).unwrap();
    // The listing is still of the previous version.
    let terms = PolicyTerms {
        model_version: 2,
        ..scene.terms()
    };
    assert_refused(
        scene.buy(&holder, 2, terms),
        DriftShieldError::ListingOutdated,
    );
}

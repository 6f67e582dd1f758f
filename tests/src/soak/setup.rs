//! How every run begins: two models with a history, vaults that list them, and capital.

use driftshield_sdk::{
    Address, CollateralTerms, ConfigParams, ListingTerms, Metric, MetricSpec, ModelTerms,
    VaultTerms, address,
};
use rand::{SeedableRng, rngs::StdRng};

use super::{
    call::Call,
    choose::Chooser,
    run::{Driver, Step},
};
use crate::world::{DAY, HOUR};

const MINUTE: i64 = 60;
/// How long a vault's shares wait: longer than a window and its dispute.
pub const COOLDOWN: i64 = 3 * HOUR;

/// Short periods, so that a day sees whole lives of everything.
pub fn params() -> ConfigParams {
    ConfigParams {
        submit_secs: 30 * MINUTE,
        challenge_secs: 20 * MINUTE,
        ruling_secs: 30 * MINUTE,
        unbond_secs: 2 * HOUR,
        retention_secs: 521 * DAY,
        claim_grace_secs: HOUR,
        waiting_secs: 30 * MINUTE,
        bucket_secs: 6 * HOUR,
        min_window_secs: MINUTE,
        max_window_secs: DAY,
        max_spread_limit: 1_000_000,
        security_multiple: 3,
        protocol_fee_bps: 200,
        premium_fee_bps: 500,
    }
}

/// Of a token whose holders begin with `wealth`.
pub fn collateral_terms(wealth: u64) -> CollateralTerms {
    CollateralTerms {
        min_bet: wealth / 100_000_000,
        min_bond: wealth / 100,
        slash_amount: wealth / 100,
        challenge_bond: wealth / 10_000 + 1,
    }
}

pub fn vault_terms(max_utilisation_bps: u16) -> VaultTerms {
    VaultTerms {
        min_cover: 1,
        max_cover: u64::MAX,
        min_duration_secs: MINUTE,
        max_duration_secs: 400 * DAY,
        base_bps: 100,
        slope1_bps: 400,
        slope2_bps: 6_000,
        kink_bps: 8_000,
        risk_slope_bps: 1_000,
        max_utilisation_bps,
        cancel_fee_bps: 1_000,
        reserved: [0; 2],
    }
}

pub fn model_terms(oracles: Vec<Address>) -> ModelTerms {
    ModelTerms {
        quorum: (oracles.len() / 2 + 1) as u8,
        oracles,
        max_spread: 10_000,
        name: "soaked".into(),
        uri: "https://models.example/soaked".into(),
        metadata_hash: [1; 32],
        artifact_hash: [2; 32],
    }
}

pub fn spec(metric: Metric, genesis: i64, window_secs: i64) -> MetricSpec {
    MetricSpec {
        metric,
        reference: match metric {
            Metric::ErrorRate => vec![1_000_000, 0],
            _ => vec![10_000; 10],
        },
        min_samples: 1_000,
        spec_hash: [7; 32],
        genesis,
        window_secs,
    }
}

pub fn play(driver: &mut Driver) {
    let (admin, arbiter) = (driver.cast.address(0), driver.cast.address(2));
    let tokens = driver.cast.tokens;
    let mut calls = vec![
        Call::Initialize {
            who: admin,
            params: params(),
        },
        Call::UpdateConfig {
            who: admin,
            guardian: driver.cast.address(1),
            arbiter,
            params: params(),
        },
    ];
    for token in &tokens[..2] {
        calls.push(Call::RegisterCollateral {
            who: admin,
            mint: token.mint,
            program: token.program,
            terms: collateral_terms(token.wealth),
            accepts_freeze: false,
        });
    }
    call_all(driver, calls);

    let (owners, oracles) = (driver.cast.of("owner"), driver.cast.of("oracle"));
    let models = [
        (owners[0], Metric::ErrorRate, tokens[0], &oracles[..3]),
        (owners[1], Metric::Psi, tokens[1], &oracles[1..]),
    ];
    for (owner, metric, token, oracles) in models {
        let register = Call::RegisterModel {
            who: owner,
            id: 0,
            mint: token.mint,
            spec: spec(metric, driver.books.now + MINUTE, HOUR),
            terms: model_terms(oracles.to_vec()),
        };
        let model = address::model(&owner, 0);
        let bonds = oracles.iter().map(|oracle| Call::Bond {
            who: *oracle,
            model,
            source: driver.books.own_account(oracle, &token.mint),
            amount: 3 * collateral_terms(token.wealth).min_bond,
        });
        let calls = std::iter::once(register).chain(bonds).collect();
        call_all(driver, calls);
    }

    let managers = driver.cast.of("manager");
    let [first, second] = [address::model(&owners[0], 0), address::model(&owners[1], 0)];
    // The last two sell all of their capital for next to nothing, and are soon wiped out.
    let reckless = VaultTerms {
        base_bps: 0,
        slope1_bps: 0,
        slope2_bps: 0,
        risk_slope_bps: 0,
        ..vault_terms(10_000)
    };
    let [small, large] = [tokens[0].wealth, tokens[1].wealth];
    open_vault(
        driver,
        (managers[0], 0),
        first,
        vault_terms(9_000),
        small / 100,
    );
    open_vault(
        driver,
        (managers[1], 0),
        second,
        vault_terms(8_000),
        large / 100,
    );
    open_vault(driver, (managers[0], 1), first, reckless, small / 100_000);
    open_vault(driver, (managers[1], 1), second, reckless, large / 100_000);
    for _ in 0..8 {
        for model in [first, second] {
            measure(driver, &model);
        }
    }
}

/// A vault that lists a model, and somebody who provides `capital`.
fn open_vault(
    driver: &mut Driver,
    (manager, id): (Address, u64),
    model: Address,
    terms: VaultTerms,
    capital: u64,
) {
    let vault = address::vault(&manager, id);
    let listed = &driver.books.models[&model];
    let mint = listed.mint;
    let provider = driver.cast.of("provider")[id as usize];
    let calls = vec![
        Call::CreateVault {
            who: manager,
            id,
            mint,
            cooldown_secs: COOLDOWN,
            manager_fee_bps: 1_000,
            terms,
        },
        Call::ListModel {
            who: manager,
            vault,
            model,
            terms: ListingTerms {
                model_version: 1,
                cap: u64::MAX,
                lowest_trigger: listed.noise_floor,
            },
        },
        Call::OpenShares {
            who: provider,
            vault,
        },
        Call::Deposit {
            who: provider,
            vault,
            source: driver.books.own_account(&provider, &mint),
            destination: driver.books.share_account(&provider, &vault),
            amount: capital,
            min_shares: 0,
        },
    ];
    call_all(driver, calls);
}

/// The next window becomes Final, with little drift.
fn measure(driver: &mut Driver, model: &Address) {
    let mut dice = StdRng::seed_from_u64(0);
    let steps = Chooser::new(driver, &mut dice).measure_calmly(model);
    for step in steps {
        driver.step(step).expect("a model is measured");
    }
}

fn call_all(driver: &mut Driver, calls: Vec<Call>) {
    for call in calls {
        let name = call.name();
        let succeeded = driver.tally.succeeded();
        if let Err(violation) = driver.step(Step::Call(call)) {
            panic!("{name}: {}\n{}", violation.0, driver.tell());
        }
        assert!(succeeded < driver.tally.succeeded(), "{}", driver.tell());
    }
}

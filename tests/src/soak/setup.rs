//! The state that every run starts from: two models with a history, four vaults that list them, and
//! capital in each.

use driftshield_sdk::{Address, ListingTerms, Metric, VaultTerms, address};
use rand::{SeedableRng, rngs::StdRng};

use super::{
    call::Call,
    driver::Driver,
    generate::Generator,
    step::Step,
    terms::{COOLDOWN, MINUTE, collateral_terms, model_terms, params, spec, vault_terms},
};
use crate::world::{HOUR, Recorder};

/// Final windows of each model.
const HISTORY: usize = 8;

impl Driver {
    /// A driver at the start of a run.
    pub fn new() -> Self {
        Self::recorded(None)
    }

    /// Like [`Self::new`], with a recorder of all transactions.
    pub fn recorded(recorder: Option<Recorder>) -> Self {
        let mut driver = Self::uninitialized();
        driver.world.recorder = recorder;
        initialize(&mut driver);
        let models = register_models(&mut driver);
        open_vaults(&mut driver, models);
        for _ in 0..HISTORY {
            for model in models {
                measure(&mut driver, &model);
            }
        }
        driver
    }
}

impl Default for Driver {
    fn default() -> Self {
        Self::new()
    }
}

/// Initializes the program, and registers the first two tokens as collateral.
fn initialize(driver: &mut Driver) {
    let [admin, guardian, arbiter] = [0, 1, 2].map(|actor| driver.actors.address(actor));
    let mut calls = vec![
        Call::Initialize {
            signer: admin,
            params: params(),
        },
        Call::UpdateConfig {
            signer: admin,
            guardian,
            params: params(),
        },
        Call::ProposeArbiter {
            signer: admin,
            to: arbiter,
        },
        Call::AcceptArbiter { signer: arbiter },
    ];
    for token in &driver.actors.tokens[..2] {
        calls.push(Call::RegisterCollateral {
            signer: admin,
            mint: token.mint,
            program: token.program,
            terms: collateral_terms(token.wealth),
            accepts_freeze: false,
        });
    }
    call_all(driver, calls);
}

/// Registers a model in each collateral, and bonds its oracles.
fn register_models(driver: &mut Driver) -> [Address; 2] {
    let tokens = driver.actors.tokens;
    let (owners, oracles) = (
        driver.actors.with_role("owner"),
        driver.actors.with_role("oracle"),
    );
    let models = [
        (owners[0], Metric::ErrorRate, tokens[0], &oracles[..3]),
        (owners[1], Metric::Psi, tokens[1], &oracles[1..]),
    ];
    models.map(|(owner, metric, token, oracles)| {
        let register = Call::RegisterModel {
            signer: owner,
            id: 0,
            mint: token.mint,
            spec: spec(metric, driver.books.now + MINUTE, HOUR),
            terms: model_terms(oracles.to_vec()),
        };
        let model = address::model(&owner, 0);
        let bonds = oracles.iter().map(|oracle| Call::Bond {
            signer: *oracle,
            model,
            source: driver.books.own_account(oracle, &token.mint),
            amount: 3 * collateral_terms(token.wealth).min_bond / 2,
        });
        let calls = std::iter::once(register).chain(bonds).collect();
        call_all(driver, calls);
        model
    })
}

/// Opens two vaults on each model: a usual one, and one that sells all of its small capital as almost
/// free cover, so that it is soon wiped out.
fn open_vaults(driver: &mut Driver, [first, second]: [Address; 2]) {
    let managers = driver.actors.with_role("manager");
    let reckless = VaultTerms {
        base_bps: 0,
        slope1_bps: 0,
        slope2_bps: 0,
        risk_slope_bps: 0,
        ..vault_terms(10_000)
    };
    let (first_terms, second_terms) = (vault_terms(9_000), vault_terms(8_000));
    let [small, large] = [0, 1].map(|token| driver.actors.tokens[token].wealth);
    for (manager, id, model, terms, capital) in [
        (managers[0], 0, first, first_terms, small / 100),
        (managers[1], 0, second, second_terms, large / 100),
        (managers[0], 1, first, reckless, small / 100_000),
        (managers[1], 1, second, reckless, large / 100_000),
    ] {
        open_vault(driver, (manager, id), model, terms, capital);
    }
}

/// Creates a vault that lists a model, and deposits `capital`.
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
    let provider = driver.actors.with_role("provider")[id as usize];
    let calls = vec![
        Call::CreateVault {
            signer: manager,
            id,
            mint,
            cooldown_secs: COOLDOWN,
            manager_fee_bps: 1_000,
            terms,
        },
        Call::ListModel {
            signer: manager,
            vault,
            model,
            terms: ListingTerms {
                model_version: 1,
                cap: u64::MAX,
                lowest_trigger: listed.noise_floor,
                max_persistence: 2,
            },
        },
        Call::OpenShares {
            signer: provider,
            vault,
        },
        Call::Deposit {
            signer: provider,
            vault,
            source: driver.books.own_account(&provider, &mint),
            destination: driver.books.share_account(&provider, &vault),
            amount: capital,
            min_shares: 0,
        },
    ];
    call_all(driver, calls);
}

/// Makes the model's next window Final, with little drift.
fn measure(driver: &mut Driver, model: &Address) {
    let mut rng = StdRng::seed_from_u64(0);
    let steps = Generator::new(driver, &mut rng).calm_measurement(model);
    for step in steps {
        driver.step(step).expect("no violation");
    }
}

fn call_all(driver: &mut Driver, calls: Vec<Call>) {
    for call in calls {
        let name = call.name();
        let succeeded = driver.tally.succeeded();
        if let Err(violation) = driver.step(Step::Call(call)) {
            panic!("{name}: {}\n{}", violation.0, driver.transcript());
        }
        assert!(
            succeeded < driver.tally.succeeded(),
            "{}",
            driver.transcript()
        );
    }
}

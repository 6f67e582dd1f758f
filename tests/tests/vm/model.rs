//! Registration, updates and retirement of models.

mod registration;
mod retirement;
mod terms;
mod update;

use driftshield_sdk::{MetricSpec, ModelTerms, instruction};
use driftshield_tests::world::*;
use solana_signer::Signer;

/// Registers a model of a new owner.
fn register(world: &mut World, spec: MetricSpec, terms: ModelTerms) -> Outcome {
    let owner = world.wallet(0);
    let register =
        instruction::register_model(owner.address(), 1, &world.collateral(), spec, terms);
    world.send(register, &[&owner.key])
}

fn update(world: &mut World, model: &TestModel, terms: ModelTerms) -> Outcome {
    let state = world.model(&model.address);
    let owner = model.owner.address();
    let update = instruction::update_model(owner, model.address, &state, terms);
    world.send(update, &[&model.owner.key])
}

pub(crate) fn retire(world: &mut World, model: &TestModel) -> Outcome {
    let retire = instruction::retire_model(model.owner.address(), model.address);
    world.send(retire, &[&model.owner.key])
}

/// Terms with `count` oracles whose keys nobody has.
fn terms_of(count: usize, quorum: u8) -> ModelTerms {
    let oracles = (0..count).map(|i| key(&format!("oracle {i}")).pubkey());
    ModelTerms {
        oracles: oracles.collect(),
        quorum,
        ..model_terms(&[])
    }
}

/// An account's text without its zero padding.
fn without_end_zeros(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| byte != 0);
    &text[..end.map_or(0, |end| end + 1)]
}

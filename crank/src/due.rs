//! Derives the due actions from a snapshot: pure functions without I/O.
//!
//! Each condition is checked by the program's own methods, called on copies of the accounts.

mod action;
mod markets;
mod policies;
mod receipts;
mod seats;
mod vaults;

pub use action::{Action, ActionKey, Step};

use crate::snapshot::{ModelSnapshot, Snapshot};

/// All due actions, most urgent first.
pub fn actions(snapshot: &Snapshot) -> Vec<Action> {
    let model_rules = [
        receipts::submissions,
        receipts::finalizations,
        markets::actions,
        policies::beginnings,
        policies::examinations,
        policies::claims,
        policies::renewals,
        policies::expirations,
        receipts::credit_collections,
        seats::bond_withdrawals,
        seats::penalty_payments,
        seats::reward_collections,
        vaults::exposure_closures,
        seat_and_page_closures,
    ];
    let model_actions = model_rules.iter().flat_map(|rule| {
        snapshot
            .models
            .iter()
            .flat_map(|model| rule(snapshot, model))
    });
    let vaults = snapshot.vaults.iter();
    let vault_actions = vaults.flat_map(|vault| vaults::actions(snapshot, vault));
    model_actions.chain(vault_actions).collect()
}

fn seat_and_page_closures(snapshot: &Snapshot, model: &ModelSnapshot) -> Vec<Action> {
    let mut actions = seats::closures(model);
    actions.extend(receipts::page_closures(snapshot, model));
    actions
}

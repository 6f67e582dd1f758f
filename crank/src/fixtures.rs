//! Accounts and snapshots for unit tests.

pub mod insurance;

use std::collections::BTreeMap;

use anchor_lang::{Address, bytemuck::Zeroable};
use driftshield_sdk::{Entry, Model, PAGE_WINDOWS, Receipt, ReceiptState, Series};

use crate::{
    due::{self, Step},
    snapshot::{ModelSnapshot, Snapshot, Submission},
};

/// An account of the program with all fields zero.
pub fn zeroed<T: Zeroable>() -> T {
    T::zeroed()
}

/// An address that repeats `byte`.
pub fn key(byte: u8) -> Address {
    Address::new_from_array([byte; 32])
}

/// Argument of [`key`] for the fee payer, the first of the model's oracles.
const ORACLE: u8 = 1;

/// A model with windows of 10 s from unix time 100, and submit, challenge and ruling periods of
/// 20 s. It has three oracles, all bonded, and a quorum of two.
pub fn model() -> Model {
    let mut model: Model = zeroed();
    model.genesis = 100;
    model.window_secs = 10;
    model.submit_secs = 20;
    model.challenge_secs = 20;
    model.ruling_secs = 20;
    model.retention_secs = 1_000;
    model.pot.epoch_windows = 4;
    model.min_bond = 5;
    model.oracle_count = 3;
    model.quorum = 2;
    for index in 0..3 {
        model.oracles[index] = key(index as u8 + 1);
        model.set_bond(index, 5, 0);
    }
    model
}

/// A snapshot of [`model`] at key 9, with counts of the first 100 windows and no receipts.
pub fn snapshot(now: i64) -> Snapshot {
    let mut model = ModelSnapshot::new(key(9), model(), None);
    model.known_until = 1_000;
    model.submissions = (0..100).map(|window| (window, submission())).collect();
    Snapshot {
        now,
        payer: key(ORACLE),
        models: vec![model],
        paused: 0,
        collaterals: BTreeMap::new(),
        vaults: vec![],
        token_accounts: BTreeMap::new(),
    }
}

fn submission() -> Submission {
    Submission {
        counts: vec![1, 2],
        evidence_hash: [3; 32],
        evidence_uri: "http://e".into(),
    }
}

/// Sets the entry of `window` in the model's series.
pub fn set_entry(model: &mut ModelSnapshot, window: u64, entry: Entry) {
    let page = Series::page_of(window);
    let series = model.series.entry(page).or_insert_with(|| {
        let mut series: Series = zeroed();
        (series.model, series.page) = (model.address, page);
        series
    });
    series.entries[(window % PAGE_WINDOWS) as usize] = entry.to_word();
}

/// A receipt of the snapshot's model. `submitted` is the bit set of oracles that have submitted.
pub fn receipt(window: u64, state: ReceiptState, since: i64, submitted: u8) -> Receipt {
    let mut receipt: Receipt = zeroed();
    receipt.model = key(9);
    receipt.window = window;
    receipt.state = state.into();
    receipt.since = since;
    receipt.submitted = submitted;
    receipt
}

/// Steps of the due actions, in order.
pub fn steps(snapshot: &Snapshot) -> Vec<Step> {
    let actions = due::actions(snapshot);
    actions.iter().map(|action| action.key.step).collect()
}

//! A recording whose trades are all of a few models.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use anyhow::ensure;

use crate::ingest::recording::{RecordedTransaction, Recording};

/// Leaves out the trades of all models but the `count` with the most trades. Returns the addresses of the markets
/// of these models, too.
///
/// A trade changes accounts of one model and its markets, so the accounts of the others are as they would be
/// without it. Other transactions are left out with the trades: those of the insurance vault.
pub fn only_hot_models(
    recording: Recording,
    count: usize,
) -> anyhow::Result<(Recording, Vec<String>)> {
    let Recording {
        summary,
        mut transactions,
    } = recording;
    let trades = transactions.split_off(summary.busy_from as usize);
    let mut model_of: HashMap<String, String> = HashMap::new();
    let mut trades_of: BTreeMap<String, usize> = BTreeMap::new();
    for trade in &trades {
        let (markets, models) = (changed(trade, "Market"), changed(trade, "Model"));
        for model in models {
            *trades_of.entry(model.clone()).or_default() += 1;
            let markets = markets.iter().cloned();
            model_of.extend(markets.map(|market| (market, model.clone())));
        }
    }
    ensure!(
        count <= trades_of.len(),
        "the recording trades fewer models"
    );
    let mut models: Vec<_> = trades_of.into_iter().collect();
    models.sort_by_key(|(_, trades)| Reverse(*trades));
    let hot: BTreeSet<_> = models
        .into_iter()
        .take(count)
        .map(|(model, _)| model)
        .collect();
    let is_hot = |trade: &RecordedTransaction| {
        let markets = changed(trade, "Market");
        let of_markets = markets.iter().filter_map(|market| model_of.get(market));
        let mut models = changed(trade, "Model");
        models.extend(of_markets.cloned());
        !models.is_empty() && models.iter().all(|model| hot.contains(model))
    };
    transactions.extend(trades.into_iter().filter(is_hot));
    let markets = model_of
        .into_iter()
        .filter(|(_, model)| hot.contains(model));
    let markets: BTreeSet<_> = markets.map(|(market, _)| market).collect();
    let recording = Recording {
        summary,
        transactions,
    };
    Ok((recording, markets.into_iter().collect()))
}

/// The accounts of a kind that a trade's events change.
fn changed(trade: &RecordedTransaction, kind: &str) -> Vec<String> {
    let changes = trade.decoded_events().flat_map(|event| event.changes());
    let of_kind = changes.filter(|change| change.kind.name() == kind);
    of_kind.map(|change| change.address.to_string()).collect()
}

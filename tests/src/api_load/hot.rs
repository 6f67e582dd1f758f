//! A recording whose trades are all of a few markets.

use std::collections::HashMap;

use anyhow::ensure;

use crate::ingest::recording::{RecordedTransaction, Recording};

/// Leaves out the trades of all markets but the `count` with the most trades. Trades have one event each. Returns
/// the addresses of these markets, too.
///
/// A trade changes accounts of its own market alone, so the others are as they would be without it.
pub fn only_hot_markets(
    recording: Recording,
    count: usize,
) -> anyhow::Result<(Recording, Vec<String>)> {
    let Recording {
        summary,
        mut transactions,
    } = recording;
    let trades = transactions.split_off(summary.busy_from as usize);
    let mut trades_of: HashMap<String, usize> = HashMap::new();
    for market in trades.iter().filter_map(market_of) {
        *trades_of.entry(market).or_default() += 1;
    }
    let mut markets: Vec<_> = trades_of.into_iter().collect();
    markets.sort_unstable_by(|(one, trades), (other, others)| (others, one).cmp(&(trades, other)));
    markets.truncate(count);
    let markets: Vec<_> = markets.into_iter().map(|(market, _)| market).collect();
    ensure!(markets.len() == count, "the recording trades fewer markets");
    let is_hot = |trade: &RecordedTransaction| {
        market_of(trade).is_some_and(|market| markets.contains(&market))
    };
    transactions.extend(trades.into_iter().filter(is_hot));
    Ok((
        Recording {
            summary,
            transactions,
        },
        markets,
    ))
}

/// The market of a trade.
fn market_of(trade: &RecordedTransaction) -> Option<String> {
    let mut events = trade.decoded_events();
    let event = events.next().filter(|_| events.next().is_none())?;
    let changes = event.changes().into_iter();
    let mut markets = changes.filter(|change| change.kind.name() == "Market");
    markets.next().map(|market| market.address.to_string())
}

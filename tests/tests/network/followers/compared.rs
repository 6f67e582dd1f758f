//! Compares what clients got with the database.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::PgConnection;

use super::{Api, client::Follower, view::View};

/// Asserts that what the clients have is what the database has.
pub async fn compare(followers: &[Follower], database: &mut PgConnection, api: &Api) {
    let (mut channels, mut events) = (0, 0);
    for follower in followers {
        for (channel, view) in &follower.views {
            if !view.is_live && !follower.is_wanted(channel) {
                continue;
            }
            compare_events(channel, view, database).await;
            compare_state(channel, view, api).await;
            channels += 1;
            events += view.events.len();
        }
    }
    let sum = |count: fn(&Follower) -> u64| followers.iter().map(count).sum::<u64>();
    let (resumptions, resets) = (sum(|each| each.resumptions), sum(|each| each.resets));
    println!("{channels} channels, {events} events, {resumptions} resumptions, {resets} resets");
    assert!(
        followers.len() < channels && 100 < events,
        "{channels} {events}"
    );
    assert!(0 < resumptions && 0 < resets, "{resumptions} {resets}");
}

/// The events since the snapshot that were not undone.
async fn compare_events(channel: &str, view: &View, database: &mut PgConnection) {
    let due: Vec<(i64, i64)> = sqlx::query_as(
        "select seq, event_id from chain.feed announced
         where kind = 'event' and $1 < seq
           and case $2
             when 'events' then true
             when 'markets' then body ->> 'name' in (
               'AskSet', 'BetPlaced', 'Claimed', 'FeesCollected', 'MarketCancelled', 'MarketClosed',
               'MarketCreated', 'MarketSettled', 'PositionBought')
             else $2 = any(channels)
           end
           and not exists (
             select from chain.feed rollback
             where kind = 'rollback' and announced.seq < seq and (body ->> 'to_slot')::bigint < announced.slot)
         order by seq",
    )
    .bind(view.base)
    .bind(channel)
    .fetch_all(database)
    .await
    .unwrap();
    let id = |event: &Value| event["id"].as_str().unwrap().parse::<i64>().unwrap();
    let got: Vec<_> = view
        .events
        .iter()
        .map(|(seq, event)| (*seq, id(event)))
        .collect();
    let due_set: BTreeSet<_> = due.iter().collect();
    let got_set: BTreeSet<_> = got.iter().collect();
    let missed: Vec<_> = due_set.difference(&got_set).collect();
    let surplus: Vec<_> = got_set.difference(&due_set).collect();
    assert!(
        missed.is_empty() && surplus.is_empty(),
        "{channel} since {}: missed {missed:?}, surplus {surplus:?}",
        view.base
    );
}

/// The state as of the last event, as far as messages have it.
async fn compare_state(channel: &str, view: &View, api: &Api) {
    let (kind, key) = channel.split_once(':').unwrap_or((channel, ""));
    let path = match kind {
        "market" => format!("/api/v1/markets/{key}"),
        "model" => format!("/api/v1/models/{key}"),
        "vault" => format!("/api/v1/insurance/vaults/{key}"),
        "policy" => format!("/api/v1/insurance/policies/{key}"),
        _ => return,
    };
    if view.data.is_null() && view.events.is_empty() {
        return;
    }
    let now = api.get(&path).await;
    // The count of events: that of the snapshot, or the number of the last event.
    let mut numbers = view.events.values().filter_map(|event| {
        let accounts = event["accounts"].as_array()?;
        let own = accounts.iter().find(|account| account["account"] == key)?;
        Some(own["number"].clone())
    });
    let count = numbers
        .next_back()
        .unwrap_or_else(|| view.data["event_count"].clone());
    assert_eq!(count, now["event_count"], "{channel}");
    if kind == "market" {
        let odds = view.odds.get(key);
        let total = odds.map_or(&view.data["total"], |odds| &odds["total"]);
        if !total.is_null() {
            assert_eq!(*total, now["total"], "{channel}");
        }
    }
    // Without an event, nothing has changed.
    if view.events.is_empty() {
        assert_eq!(view.data, now, "{channel} since {}", view.base);
    }
}

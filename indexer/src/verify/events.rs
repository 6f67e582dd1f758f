//! Comparison of events: sequence, derived rows and account closes.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use driftshield_sdk::Event;
use futures::TryStreamExt;
use sqlx::types::Json;

use super::comparison::{Comparison, read_cursor};
use crate::{
    bulk::MAX_STATEMENT_ROWS,
    events::{rows::EventRows, slot_event::SlotEvent},
    slot::{EmittedEvent, closes::closed_account},
};

/// Number of events compared at a time.
const PAGE_ROWS: i64 = MAX_STATEMENT_ROWS as i64;

#[derive(sqlx::FromRow)]
struct MirroredEvent {
    seq: i64,
    slot: i64,
    signature: String,
    transaction_index: i64,
    instruction_index: i32,
    event_index: i32,
    data: Vec<u8>,
    block_time: Option<DateTime<Utc>>,
    /// Whether `chain.slot` has the event's slot with the same block time.
    has_slot: bool,
}

/// Position of an event on the chain.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct EventPosition {
    slot: i64,
    transaction_index: i64,
    instruction_index: i32,
    event_index: i32,
}

impl MirroredEvent {
    fn position(&self) -> EventPosition {
        EventPosition {
            slot: self.slot,
            transaction_index: self.transaction_index,
            instruction_index: self.instruction_index,
            event_index: self.event_index,
        }
    }

    fn into_slot_event(self) -> SlotEvent {
        SlotEvent {
            slot: self.slot,
            block_time: self.block_time,
            emitted: EmittedEvent {
                signature: self.signature,
                transaction_index: self.transaction_index,
                instruction_index: self.instruction_index,
                event_index: self.event_index,
                event: Event::decode(&self.data).ok(),
                data: self.data,
            },
        }
    }
}

/// Progress of the scan over all events, in order.
#[derive(Default)]
struct EventScan {
    last_seq: i64,
    last_position: EventPosition,
    /// For each account, the slot in which its last event closed the account; `None` if that event
    /// did not close the account.
    closes: HashMap<String, Option<i64>>,
}

impl EventScan {
    /// Advances to the next event. Returns the errors in its sequence number, position and slot.
    fn advance(&mut self, event: &MirroredEvent) -> Vec<String> {
        let position = event.position();
        let (last_seq, last_position) = (self.last_seq, self.last_position);
        (self.last_seq, self.last_position) = (event.seq, position);
        let mut errors = vec![];
        if event.seq != last_seq + 1 {
            errors.push(format!("follows event {last_seq}"));
        }
        if position <= last_position {
            errors.push(format!("comes before event {last_seq} on the chain"));
        }
        if !event.has_slot {
            let slot = event.slot;
            errors.push(format!(
                "chain.slot has no slot {slot} with the event's block time"
            ));
        }
        errors
    }

    fn record_closes(&mut self, event: &Event, slot: i64) {
        for (account, _) in event.account_seqs() {
            self.closes.insert(account.to_string(), None);
        }
        if let Some(account) = closed_account(event) {
            self.closes.insert(account, Some(slot));
        }
    }
}

/// Compares every event with the previous event and with its slot, every derived row with the row
/// derived again from the event's bytes, and every closed account with its last event.
pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let first_pools = first_pools(comparison).await?;
    let mut scan = EventScan::default();
    let mut rows = EventRows::default();
    loop {
        let first_seq = scan.last_seq + 1;
        let page = read_page(comparison, first_seq).await?;
        if page.is_empty() {
            break;
        }
        comparison.report.events += page.len();
        for event in page {
            let seq = event.seq;
            for error in scan.advance(&event) {
                comparison.add_difference(format!("event {seq}: {error}"));
            }
            if let Some((market, pools)) = first_pools.get(&seq) {
                rows.pools.track(market.clone(), pools);
            }
            let event = event.into_slot_event();
            if let Some(decoded) = &event.emitted.event {
                scan.record_closes(decoded, event.slot);
            }
            rows.add(seq, &event);
        }
        compare_rows(comparison, &rows, first_seq, scan.last_seq).await?;
        rows = EventRows::new(rows.pools);
    }
    let last_seq = scan.last_seq;
    let cursor_seq = read_cursor(comparison.connection).await?.seq;
    if cursor_seq != last_seq {
        comparison.add_difference(format!(
            "event {last_seq}: is the last event, but the cursor's seq is {cursor_seq}"
        ));
    }
    compare_closes(comparison, &scan.closes).await
}

/// Reads a page of events, starting with sequence number `first_seq`.
async fn read_page(
    comparison: &mut Comparison<'_>,
    first_seq: i64,
) -> anyhow::Result<Vec<MirroredEvent>> {
    Ok(sqlx::query_as(
        "select seq, event.slot, signature, transaction_index, instruction_index,
           event_index, data, event.block_time,
           event.block_time is not distinct from slot.block_time
             and slot.slot is not null as has_slot
         from chain.event left join chain.slot on slot.slot = event.slot
         where $1 <= seq order by seq limit $2",
    )
    .bind(first_seq)
    .bind(PAGE_ROWS)
    .fetch_all(&mut *comparison.connection)
    .await?)
}

/// Reads the market and pools of the first row in `chain.odds` of each market, by the row's `seq`.
/// The pools of a market that is older than the mirror cannot be derived, so they are trusted.
async fn first_pools(
    comparison: &mut Comparison<'_>,
) -> anyhow::Result<HashMap<i64, (String, Vec<String>)>> {
    let first: Vec<(i64, String, Vec<String>)> = sqlx::query_as(
        "select distinct on (market) seq, market, pools::text[]
         from chain.odds order by market, seq",
    )
    .fetch_all(&mut *comparison.connection)
    .await?;
    Ok(first
        .into_iter()
        .map(|(seq, market, pools)| (seq, (market, pools)))
        .collect())
}

/// Compares `chain.event` and the tables derived from events with the expected rows of the events
/// `first_seq..=last_seq`.
async fn compare_rows(
    comparison: &mut Comparison<'_>,
    expected: &EventRows,
    first_seq: i64,
    last_seq: i64,
) -> anyhow::Result<()> {
    for (table, rows) in expected.tables() {
        let key = match table {
            "event_account" => "account, seq",
            _ => "seq",
        };
        let sql = format!(
            "select seq, expected is not null, mirrored is not null,
               array(select key from jsonb_each(expected) field
                     where mirrored -> field.key is distinct from field.value order by key)
             from (select {key}, to_jsonb(row) as expected
                   from jsonb_populate_recordset(null::chain.{table}, $1) row) expected
             full join (select {key}, to_jsonb(row) as mirrored
                        from chain.{table} row where seq between $2 and $3) mirrored
               using ({key})
             where expected is distinct from mirrored"
        );
        let differing: Vec<(i64, bool, bool, Vec<String>)> = sqlx::query_as(&sql)
            .bind(Json(rows))
            .bind(first_seq)
            .bind(last_seq)
            .fetch_all(&mut *comparison.connection)
            .await?;
        for (seq, is_expected, is_mirrored, columns) in differing {
            let columns = columns.join(", ");
            comparison.add_difference(match (is_expected, is_mirrored) {
                (true, true) => format!("event {seq}: columns of chain.{table} differ: {columns}"),
                (true, false) => format!("event {seq}: is not in chain.{table}"),
                _ => format!("event {seq}: has an unexpected row in chain.{table}"),
            });
        }
    }
    Ok(())
}

/// Checks that the last event of every closed account closed it, in the same slot.
async fn compare_closes(
    comparison: &mut Comparison<'_>,
    closes: &HashMap<String, Option<i64>>,
) -> anyhow::Result<()> {
    let mut differences = vec![];
    let mut mirrored = sqlx::query_as::<_, (String, i64)>(
        "select address, closed_slot from chain.account
         where closed_slot is not null and kind is not null",
    )
    .fetch(&mut *comparison.connection);
    while let Some((address, slot)) = mirrored.try_next().await? {
        if closes.get(&address) != Some(&Some(slot)) {
            differences.push(format!(
                "account {address}: is closed in slot {slot}, but its last event did not close it \
                 in that slot"
            ));
        }
    }
    drop(mirrored);
    comparison.report.differences.extend(differences);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: i64, slot: i64, transaction_index: i64, has_slot: bool) -> MirroredEvent {
        MirroredEvent {
            seq,
            slot,
            signature: String::new(),
            transaction_index,
            instruction_index: 0,
            event_index: 0,
            data: vec![],
            block_time: None,
            has_slot,
        }
    }

    #[test]
    fn events_are_consecutive_and_in_the_order_of_the_chain() {
        let mut scan = EventScan::default();
        for (event, errors) in [
            (event(1, 7, 3, true), vec![]),
            (event(2, 8, 0, true), vec![]),
            (event(4, 8, 1, true), vec!["follows event 2"]),
            (
                event(5, 8, 0, true),
                vec!["comes before event 4 on the chain"],
            ),
            (
                event(6, 9, 0, false),
                vec!["chain.slot has no slot 9 with the event's block time"],
            ),
        ] {
            assert_eq!(scan.advance(&event), errors);
        }
    }
}

//! Statement of a wallet as a table, for taxes.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use sqlx::{FromRow, PgConnection};

use crate::{bytes::Key, event_id::EventId, mirror::Snapshot, problem::Problem};

use super::transactions::{Movement, PartyRow, WalletEvent, Withdrawals, select, with_movements};

/// Number of events of a wallet that a statement can have.
const MAX_EVENTS: usize = 20_000;
/// Number of events that are read at once.
const CHUNK: i64 = 1_000;

/// First line of a statement.
pub const HEADER: &str =
    "time,slot,signature,event_id,kind,account,mint,amount_in,amount_out,fee,realised_profit";

/// Writes the statement of `wallet`: its movements in blocks from `from` on and before `until`, oldest first.
///
/// # Errors
///
/// If the wallet has more events in that time than a statement can have.
pub async fn write(
    snapshot: &mut Snapshot,
    wallet: &Key,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<String, Problem> {
    let db = &mut snapshot.tx;
    let (mut after, end) = (first_at(db, from).await?, first_at(db, until).await?);
    let mut statement = format!("{HEADER}\r\n");
    let mut read = 0;
    let mut withdrawals = Withdrawals::default();
    loop {
        let mut sql = select(wallet);
        sql.push(" and p.event_id >= ").push_bind(after);
        sql.push(" and p.event_id < ").push_bind(end);
        sql.push(" order by p.event_id limit ").push_bind(CHUNK);
        let rows: Vec<PartyRow> = sql.build_query_as().fetch_all(&mut **db).await?;
        read += rows.len();
        if MAX_EVENTS < read {
            return Err(Problem::InvalidValue(format!(
                "the wallet has more than {MAX_EVENTS} events from {} until {}; give a shorter time",
                rfc3339(from),
                rfc3339(until),
            )));
        }
        let Some(last) = rows.last() else {
            return Ok(statement);
        };
        after = EventId(last.event.id.0 + 1);
        for event in with_movements(db, wallet, rows, &mut withdrawals).await? {
            for movement in &event.movements {
                push_row(&mut statement, &event, movement);
            }
        }
    }
}

fn push_row(statement: &mut String, event: &WalletEvent, movement: &Movement) {
    let event_row = &event.event;
    let fields = [
        event_row.time.map(rfc3339).unwrap_or_default(),
        event_row.slot.to_string(),
        event_row.signature.to_string(),
        event_row.id.to_string(),
        movement.kind.name(),
        movement.account.to_string(),
        movement
            .mint
            .map(|mint| mint.to_string())
            .unwrap_or_default(),
        movement.incoming.scaled.clone(),
        movement.outgoing.scaled.clone(),
        movement.fee.scaled.clone(),
        movement
            .profit
            .as_ref()
            .map(|profit| profit.scaled.clone())
            .unwrap_or_default(),
    ];
    push_line(statement, &fields);
}

/// Appends a line of comma-separated values (RFC 4180).
fn push_line(statement: &mut String, fields: &[String]) {
    for (index, field) in fields.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _ = if field.contains(['"', ',', '\r', '\n']) {
            write!(statement, "{comma}\"{}\"", field.replace('"', "\"\""))
        } else {
            write!(statement, "{comma}{field}")
        };
    }
    statement.push_str("\r\n");
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[derive(FromRow)]
struct EventTime {
    id: EventId,
    block_time: DateTime<Utc>,
}

const FIRST_FROM: &str = "select id, block_time from chain.event
    where $1 <= id and block_time is not null order by id limit 1";
const LAST_UNTIL: &str = "select id, block_time from chain.event
    where id <= $1 and block_time is not null order by id desc limit 1";

/// Id before which all events are of blocks before `time`, and from which on all are of later ones: block times
/// ascend with ids. Found by bisection, with about 60 reads of one row each.
async fn first_at(db: &mut PgConnection, time: DateTime<Utc>) -> Result<EventId, sqlx::Error> {
    let Some(newest) = event(db, LAST_UNTIL, EventId(i64::MAX)).await? else {
        return Ok(EventId(0));
    };
    if newest.block_time < time {
        return Ok(EventId(newest.id.0 + 1));
    }
    let (mut low, mut high) = (0, newest.id.0);
    // All events below `low` are earlier, and the first one from `high` on isn't.
    while low < high {
        let middle = low + (high - low) / 2;
        match event(db, FIRST_FROM, EventId(middle)).await? {
            Some(event) if event.block_time < time => low = event.id.0 + 1,
            _ => high = middle,
        }
    }
    Ok(EventId(low))
}

async fn event(
    db: &mut PgConnection,
    sql: &'static str,
    id: EventId,
) -> Result<Option<EventTime>, sqlx::Error> {
    sqlx::query_as(sql).bind(id).fetch_optional(db).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_a_reader_needs_it() {
        let mut line = String::new();
        let fields = ["plain", "", "a,b", "say \"no\"", "two\nlines"].map(str::to_owned);
        push_line(&mut line, &fields);
        assert_eq!(line, "plain,,\"a,b\",\"say \"\"no\"\"\",\"two\nlines\"\r\n");
    }

    #[test]
    fn a_time_has_no_fraction() {
        let time = DateTime::from_timestamp(1_700_000_000, 5_000).unwrap();
        assert_eq!(rfc3339(time), "2023-11-14T22:13:20Z");
    }
}

//! Comparison of the feed, which tells clients of events, with the events and with the cursor.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use super::comparison::{Comparison, base58};

/// Number of records compared at a time.
const PAGE_ROWS: i64 = 2_000;

/// Checks that the feed has no hole, ends at the cursor, and announces every event once, as it is.
pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let (count, first, last, cursor_seq): (i64, Option<i64>, Option<i64>, i64) = sqlx::query_as(
        "select count(*), min(feed.seq), max(feed.seq), (select seq from chain.cursor)
         from chain.feed",
    )
    .fetch_one(&mut *comparison.connection)
    .await?;
    let (first, last) = (first.unwrap_or(cursor_seq + 1), last.unwrap_or(cursor_seq));
    if last != cursor_seq || count != last + 1 - first {
        comparison.add_difference(format!(
            "feed: has {count} records from {first} to {last}, but the cursor's seq is {cursor_seq}"
        ));
    }
    let wrong: Vec<(i64, i64)> = sqlx::query_as(ANNOUNCED)
        .fetch_all(&mut *comparison.connection)
        .await?;
    for (event, count) in wrong {
        comparison.add_difference(format!("event {event}: is announced {count} times"));
    }
    let wrong: Vec<(i64, String)> = sqlx::query_as(RECORDS)
        .fetch_all(&mut *comparison.connection)
        .await?;
    for (seq, column) in wrong {
        comparison.add_difference(format!(
            "feed {seq}: columns of chain.feed differ: {column}"
        ));
    }
    compare_events(comparison).await
}

/// Events that are announced more than once, or not at all, and announcements of events that the mirror doesn't
/// have. Records are removed after a day, and past slots aren't announced: an event must be announced if its slot
/// is after those of the older half of the records. One that is decoded late is announced late, so that an old
/// slot says nothing. Events that can't be decoded have a dead letter. Events before the first one may be dropped.
const ANNOUNCED: &str = "
    with announced as (
      select event_id, count(*) as count from chain.feed announced
      where kind = 'event' and event_id is not null
        and not exists (select from chain.feed rollback
          where rollback.kind = 'rollback' and announced.seq < rollback.seq
            and (rollback.body ->> 'to_slot')::bigint < announced.slot)
      group by event_id
    ), horizon as (
      select max(slot) as slot from chain.feed
      where seq <= (select (min(seq) + max(seq)) / 2 from chain.feed)
    )
    select coalesce(event_id, id), coalesce(count, 0)
    from announced full join chain.event on id = event_id
    where case when event_id is null then name is not null and id >> 31 > (select slot from horizon)
      when id is null then (select min(id) from chain.event) <= event_id
      else count <> 1 end";

/// Records whose columns contradict each other, the records before or the cursor. A record of an event has no event
/// if a later one announces it again. A source can know of fewer slots than the one that sent slots which were undone.
const RECORDS: &str = "
    select seq, rule.name
    from (select *, lag(epoch) over (order by seq) as before from chain.feed) feed, lateral (values
      ('epoch', coalesce(before <= epoch, true) and epoch <= (select cursor.epoch from chain.cursor)),
      ('kind', case kind when 'event' then body ? 'name' when 'rollback' then body ? 'to_slot'
        when 'gap' then body ? 'state' else body = '{}' end),
      ('slot', (slot <= (select tip_slot from chain.cursor) or exists (
          select from chain.feed rollback
          where rollback.kind = 'rollback' and feed.seq < rollback.seq
            and (rollback.body ->> 'to_slot')::bigint < feed.slot)) and case
        when kind = 'event' then coalesce(event_id >> 31 = slot, true)
        when kind = 'rollback' then slot = (body ->> 'to_slot')::bigint
        when kind = 'gap' and body ->> 'state' = 'open' then slot = (body ->> 'from_slot')::bigint - 1
        when kind = 'gap' and body ->> 'state' = 'lost' then slot = (body ->> 'to_slot')::bigint
        else true end),
      ('event_id', kind = 'event' or event_id is null),
      ('channels', kind = 'event' or channels = '{}'),
      ('body', case when kind = 'gap' then body ->> 'state' in ('open', 'filled', 'lost')
          and (body ->> 'from_slot')::bigint <= (body ->> 'to_slot')::bigint
        when kind = 'rollback' then (body ->> 'to_slot')::bigint <= slot else true end)
    ) rule (name, is_right) where not is_right";

/// A record of an event, with the event and the accounts and wallets that it concerns.
#[derive(sqlx::FromRow)]
struct Announced {
    seq: i64,
    slot: i64,
    channels: Vec<String>,
    body: Json<Value>,
    /// `None` if the mirror doesn't have the event.
    due: Option<Json<Value>>,
    wallets: Vec<Vec<u8>>,
    kinds: Vec<String>,
    accounts: Vec<Vec<u8>>,
}

const EVENTS: &str = "
    select seq, feed.slot, channels, feed.body,
      case when event.id is not null then jsonb_build_object('name', name, 'body', event.body) end as due,
      array(select wallet from chain.event_party party where party.event_id = feed.event_id) as wallets,
      coalesce(kinds, '{}') as kinds, coalesce(accounts, '{}') as accounts
    from (
      select * from chain.feed where $1 < seq and kind = 'event' and event_id is not null
      order by seq limit $2) feed
    left join chain.event on event.id = feed.event_id
    left join lateral (
      select array_agg(lower(account.kind)) as kinds, array_agg(account.address) as accounts
      from chain.event_account changed join chain.account on account.address = changed.account and is_current
      where changed.event_id = feed.event_id and account.kind in ('Model', 'Market', 'Vault', 'Policy')) concerned on true
    order by seq";

/// Which records tell of slots that were undone. Another event can have the place, and so the id, of an event
/// that was undone.
struct Undone {
    /// The `seq` of each rollback, ascending, with the lowest slot that it or a later one went back to.
    lowest: Vec<(i64, i64)>,
}

impl Undone {
    async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let rollbacks = sqlx::query_as(
            "select seq, min((body ->> 'to_slot')::bigint) over (order by seq desc)
             from chain.feed where kind = 'rollback' order by seq",
        );
        let lowest = rollbacks.fetch_all(connection).await?;
        Ok(Self { lowest })
    }

    fn has(&self, seq: i64, slot: i64) -> bool {
        let next = self.lowest.partition_point(|rollback| rollback.0 <= seq);
        let lowest = self.lowest.get(next);
        lowest.is_some_and(|(_, to_slot)| *to_slot < slot)
    }
}

/// Compares the records with their events: the fields, and the channels on which clients hear of them.
async fn compare_events(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let undone = Undone::read(&mut *comparison.connection).await?;
    let mut after = 0;
    loop {
        let page: Vec<Announced> = sqlx::query_as(EVENTS)
            .bind(after)
            .bind(PAGE_ROWS)
            .fetch_all(&mut *comparison.connection)
            .await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = last.seq;
        for record in page {
            let Some(Json(body)) = record.due else {
                continue;
            };
            if undone.has(record.seq, record.slot) {
                continue;
            }
            let wallets = record.wallets.iter();
            let wallets = wallets.map(|wallet| format!("wallet:{}", base58(wallet)));
            let accounts = record.kinds.iter().zip(&record.accounts);
            let accounts = accounts.map(|(kind, account)| format!("{kind}:{}", base58(account)));
            let due: BTreeSet<_> = wallets.chain(accounts).collect();
            let due: Vec<_> = due.into_iter().collect();
            let checks = [
                ("channels", record.channels == due),
                ("body", record.body.0 == body),
            ];
            for (column, _) in checks.into_iter().filter(|(_, is_right)| !is_right) {
                comparison.add_difference(format!(
                    "feed {}: columns of chain.feed differ: {column}",
                    record.seq
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_undone_by_any_later_rollback_to_a_slot_before_its_own() {
        // Rollbacks to the slots 40, 20 and 30
        let undone = Undone {
            lowest: vec![(10, 20), (20, 20), (30, 30)],
        };
        for (seq, slot, is_undone) in [
            (9, 20, false),
            (9, 21, true),
            (11, 21, true),
            (21, 30, false),
            (21, 31, true),
            (31, 99, false),
        ] {
            assert_eq!(undone.has(seq, slot), is_undone, "{seq} of slot {slot}");
        }
    }
}

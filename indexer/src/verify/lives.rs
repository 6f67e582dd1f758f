//! Comparison of the rows of account types with the lives' bytes and events.
//!
//! The expected rows are derived from the JSON forms of accounts and events by rules of their own, not
//! by the code that writes the rows. Lives are read page by page, and of their events only those that say
//! something, one after the other.
//!
//! A life that began before the mirror's first event, or whose first events were dropped, may have facts that
//! no event says any more: only what the events say is compared then.

mod columns;
mod rules;
mod said;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use driftshield_sdk::{Account, AccountKind, fields, json};
use futures::TryStreamExt;
use serde_json::{Map, Value, json};
use sqlx::types::Json;

use super::comparison::{Comparison, Expected, base58, key_bytes};
use crate::{
    event_id::EventId,
    kinds::{DECODER_VERSION, table},
};
use columns::{add_derived, add_unsaid, to_postgres};
use said::{NOTED, Said};

/// Number of lives compared at a time.
const PAGE_ROWS: i64 = 1_000;
/// Write versions of the end of a life: seen in the slot, or not found by an RPC node.
const CLOSED: i64 = i64::MAX - 1;
const ABSENT: i64 = i64::MAX;

/// A row's columns.
type Columns = Map<String, Value>;

/// A life in `chain.account`.
#[derive(sqlx::FromRow)]
struct MirroredLife {
    address: Vec<u8>,
    life: i64,
    /// The life after it at the address.
    next: Option<i64>,
    kind: Option<String>,
    slot: i64,
    write_version: i64,
    closed_slot: Option<i64>,
    data: Vec<u8>,
    is_exact: bool,
    has_lamports: bool,
    facts: Json<Columns>,
    decoder_version: i32,
    /// Whether the mirror has the event that began the life, and with it all later ones.
    is_whole: bool,
    /// Whether slots of the life are lost.
    has_loss: bool,
    /// Time of the event that began the life.
    began_at: Option<DateTime<Utc>>,
    /// Time of the slot that the life is named after, if the mirror has the slot.
    first_time: Option<Json<Value>>,
    /// Time of the slot of the close, if the mirror has the slot.
    closed_time: Option<Json<Value>>,
}

const LIVES: &str = "
    select address, life, next, kind, account.slot, write_version, closed_slot, account.data, is_exact,
      0 < lamports as has_lamports, facts, decoder_version, began.id is not null as is_whole,
      exists (select from chain.gap where state = 'lost' and life >> 31 <= to_slot) as has_loss,
      began.block_time as began_at,
      (select to_jsonb(array[block_time]) from chain.slot where slot.slot = life >> 31) as first_time,
      (select to_jsonb(array[block_time]) from chain.slot where slot.slot = closed_slot) as closed_time
    from (
      select *, (select min(later.life) from chain.account later
        where later.address = account.address and account.life < later.life) as next
      from chain.account where (address, life) > ($1, $2)
      order by address, life limit $3) account
    left join chain.event began on began.id = life
    order by address, life";

/// An event of a life of the page.
#[derive(sqlx::FromRow)]
struct LifeEvent {
    /// Place of the life in the page, from 1.
    place: i64,
    id: i64,
    /// Decimal.
    number: String,
    block_time: Option<DateTime<Utc>>,
    data: Vec<u8>,
}

/// Events after the bytes, and those that say how the life went.
const EVENTS: &str = "
    select place, event.id, number::text, block_time, data
    from unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
      with ordinality life (address, life, next, kind, after, place)
    join chain.event_account on account = address and life <= event_id and (next is null or event_id < next)
    join chain.event on event.id = event_id
    where (after is not null and after::numeric < number)
      or (kind, name) in (select * from unnest($6::text[], $7::text[]))
    order by place, event.id";

/// Where a row begins, before the events of the life.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    /// Bytes that show the final state: those of an open account.
    Final,
    /// Bytes from the chain, with the events after them.
    Exact,
    /// Bytes that are put together from events and from earlier bytes, which contain the events.
    Folded,
    /// Nothing: the mirror never had bytes, and has all events.
    Nothing,
}

/// A life with what the comparison knows about it.
struct Compared {
    life: MirroredLife,
    base: Base,
    address: String,
    kind: Option<AccountKind>,
    /// Fields of the account; `None` if the bytes can't be decoded.
    row: Option<Columns>,
    seq: u64,
    said: Said,
}

/// Compares all lives.
pub async fn compare(comparison: &mut Comparison<'_>) -> anyhow::Result<()> {
    let mints = read_mints(comparison).await?;
    let mut after = (vec![], i64::MIN);
    loop {
        let page: Vec<MirroredLife> = sqlx::query_as(LIVES)
            .bind(&after.0)
            .bind(after.1)
            .bind(PAGE_ROWS)
            .fetch_all(&mut *comparison.connection)
            .await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = (last.address.clone(), last.life);
        let mut page: Vec<_> = page.into_iter().map(Compared::new).collect();
        apply_events(comparison, &mut page).await?;
        compare_page(comparison, page, &mints).await?;
    }
}

/// Decimals and token program of a mint, and the event that registered it.
type Mints = BTreeMap<String, (i64, Value, Value)>;

async fn read_mints(comparison: &mut Comparison<'_>) -> Result<Mints, sqlx::Error> {
    let registered: Vec<(i64, Json<Columns>)> =
        sqlx::query_as("select id, body from chain.event where name = 'CollateralRegistered'")
            .fetch_all(&mut *comparison.connection)
            .await?;
    let mints = registered.into_iter().filter_map(|(id, Json(body))| {
        let mint = body.get("mint")?.as_str()?.to_owned();
        Some((
            mint,
            (id, body["decimals"].clone(), body["token_program"].clone()),
        ))
    });
    Ok(mints.collect())
}

impl Compared {
    fn new(life: MirroredLife) -> Self {
        let base = match (life.closed_slot, life.is_exact, life.has_lamports) {
            (None, ..) => Base::Final,
            (Some(_), true, _) => Base::Exact,
            (Some(_), false, false) if life.is_whole => Base::Nothing,
            (Some(_), false, _) => Base::Folded,
        };
        let account = Account::decode(&life.data).ok();
        let kind = life.kind.as_deref().and_then(AccountKind::from_name);
        let row = match (base, kind) {
            (Base::Nothing, Some(kind)) => json::account(&Account::zeroed(kind).encode()),
            _ => json::account(&life.data),
        };
        Self {
            base,
            address: base58(&life.address),
            kind,
            row: row.ok().map(|decoded| decoded.fields),
            seq: account.map_or(0, |account| account.seq()),
            said: Said::default(),
            life,
        }
    }

    /// Number after which the events are folded in.
    fn folded_after(&self) -> Option<String> {
        match self.base {
            Base::Final => None,
            Base::Exact => Some(self.seq.to_string()),
            Base::Folded | Base::Nothing => Some("0".to_owned()),
        }
    }

    fn apply(&mut self, event: &LifeEvent) {
        let number = event.number.parse().unwrap_or(0);
        self.said.last_number = self.said.last_number.max(Some(number));
        let Ok(decoded) = json::event(&event.data) else {
            return;
        };
        self.said
            .note(&self.address, event.id, event.block_time, &decoded);
        let is_later = match self.base {
            Base::Final => false,
            Base::Exact => self.seq < number,
            Base::Folded | Base::Nothing => true,
        };
        if let (true, Some(row)) = (is_later, &mut self.row) {
            let counts = self.base != Base::Folded;
            rules::apply(row, &self.address, &decoded, counts);
        }
    }

    /// Columns of `chain.account` that differ.
    fn differing_columns(&self) -> Vec<String> {
        let life = &self.life;
        let mut differing = vec![];
        let mut check = |is_right: bool, column: &str| {
            if !is_right {
                differing.push(column.to_owned());
            }
        };
        let named = life.data.first_chunk::<8>();
        let named = named.and_then(|discriminator| json::account_name(discriminator));
        check(named.is_none() || life.kind.as_deref() == named, "kind");
        check(
            (0..=DECODER_VERSION).contains(&life.decoder_version),
            "decoder_version",
        );
        // Every account has lamports.
        check(!life.is_exact || life.has_lamports, "is_exact");
        let closed = self.said.closed.map(|(slot, _)| slot);
        let is_unexplained = closed.is_none() && life.is_whole && !life.has_loss;
        check(
            match closed {
                Some(slot) => life.closed_slot == Some(slot),
                None => life.closed_slot.is_none() || self.kind.is_none() || !is_unexplained,
            },
            "closed_slot",
        );
        if let Some(slot) = life.closed_slot {
            check(life.slot == slot, "slot");
            check(
                [CLOSED, ABSENT].contains(&life.write_version),
                "write_version",
            );
        }
        differing.extend(self.differing_facts());
        differing
    }

    fn differing_facts(&self) -> Vec<String> {
        let (life, Json(facts)) = (&self.life, &self.life.facts);
        let fact = |name: &str| facts.get(name).unwrap_or(&Value::Null);
        let mut due = self.said.facts.clone();
        if !life.is_whole {
            // Earlier payments may be missing.
            due.remove("payout");
        }
        let mut differing: Vec<_> = due
            .iter()
            .filter(|(name, value)| fact(name) != *value)
            .map(|(name, _)| name.as_str())
            .collect();
        let names = ["end", "settled", "payout", "destination", "refund"];
        let unsaid = names
            .iter()
            .filter(|name| life.is_whole && !due.contains_key(**name));
        differing.extend(unsaid.filter(|name| !fact(name).is_null()));
        if !self
            .began_at()
            .is_none_or(|due| due.contains(fact("began_at")))
        {
            differing.push("began_at");
        }
        if !self
            .ended_at()
            .is_none_or(|due| due.contains(fact("ended_at")))
        {
            differing.push("ended_at");
        }
        differing
            .into_iter()
            .map(|name| format!("facts.{name}"))
            .collect()
    }

    /// Possible times of the beginning; `None` if the mirror no longer has what says it.
    fn began_at(&self) -> Option<Vec<Value>> {
        let life = &self.life;
        if life.life == 0 {
            return Some(vec![Value::Null]);
        }
        if life.is_whole {
            return Some(vec![json!(life.began_at)]);
        }
        // It began with a write without an event, or with an answer of an RPC node.
        let time = time_of(life.first_time.as_ref()?);
        Some(vec![time, Value::Null])
    }

    /// Possible times of the end; `None` if the mirror no longer has what says it.
    fn ended_at(&self) -> Option<Vec<Value>> {
        let life = &self.life;
        if let Some((_, at)) = self.said.closed {
            return Some(vec![json!(at)]);
        }
        if life.closed_slot.is_none() || life.write_version == ABSENT {
            return Some(vec![Value::Null]);
        }
        Some(vec![time_of(life.closed_time.as_ref()?)])
    }

    /// The row that the life must have. `None` if its bytes can't be decoded.
    fn into_row(self, mints: &Mints) -> Option<Value> {
        let Self {
            life,
            kind,
            row,
            said,
            address,
            base,
            seq,
        } = self;
        let (kind, mut row) = (kind?, row?);
        if base == Base::Nothing {
            add_unsaid(&mut row, kind, &life, mints);
        }
        for field in fields::of_kind(kind) {
            if let Some(value) = row.get_mut(field.name) {
                to_postgres(value, field.ty);
            }
        }
        if let (true, Some(last)) = (life.closed_slot.is_some(), said.last_number) {
            row.insert("seq".into(), last.max(seq).to_string().into());
        }
        add_derived(&mut row, kind, &life);
        row.insert("address".into(), key_bytes(&address).into());
        row.insert("life".into(), life.life.into());
        let began_slot = (life.life != 0).then(|| EventId::from_i64(life.life).slot());
        row.insert("began_slot".into(), began_slot.into());
        for time in ["began_at", "ended_at"] {
            let time_of_fact = life.facts.get(time).cloned();
            row.insert(time.into(), time_of_fact.unwrap_or_default());
        }
        Some(Value::Object(row))
    }
}

/// The time in a list of one, as facts have it.
fn time_of(Json(time): &Json<Value>) -> Value {
    let time: Option<DateTime<Utc>> = serde_json::from_value(time[0].clone()).ok();
    json!(time)
}

/// Reads the events of the page's lives, one after the other.
async fn apply_events(
    comparison: &mut Comparison<'_>,
    page: &mut [Compared],
) -> Result<(), sqlx::Error> {
    let lives = || page.iter();
    let addresses: Vec<_> = lives()
        .map(|compared| compared.life.address.clone())
        .collect();
    let names: Vec<_> = lives().map(|compared| compared.life.life).collect();
    let nexts: Vec<_> = lives().map(|compared| compared.life.next).collect();
    let kinds: Vec<_> = lives().map(|compared| compared.life.kind.clone()).collect();
    let after: Vec<_> = lives().map(Compared::folded_after).collect();
    let (noted_kinds, noted): (Vec<_>, Vec<_>) = NOTED.iter().copied().unzip();
    let mut events = sqlx::query_as::<_, LifeEvent>(EVENTS)
        .bind(addresses)
        .bind(names)
        .bind(nexts)
        .bind(kinds)
        .bind(after)
        .bind(noted_kinds)
        .bind(noted)
        .fetch(&mut *comparison.connection);
    while let Some(event) = events.try_next().await? {
        let place = usize::try_from(event.place - 1).unwrap_or(usize::MAX);
        if let Some(compared) = page.get_mut(place) {
            compared.apply(&event);
        }
    }
    Ok(())
}

async fn compare_page(
    comparison: &mut Comparison<'_>,
    page: Vec<Compared>,
    mints: &Mints,
) -> anyhow::Result<()> {
    let mut rows: BTreeMap<AccountKind, Vec<Value>> = BTreeMap::new();
    for compared in page {
        let (address, columns) = (compared.address.clone(), compared.differing_columns());
        if !columns.is_empty() {
            let columns = columns.join(", ");
            comparison.add_difference(format!(
                "account {address}: columns of chain.account differ: {columns}"
            ));
        }
        let kind = compared.kind;
        if let (Some(kind), Some(row)) = (kind, compared.into_row(mints)) {
            rows.entry(kind).or_default().push(row);
        }
    }
    for (kind, rows) in rows {
        let table = table(kind);
        let expected = Expected {
            table: &table,
            key: "address, life",
            rows: &rows,
            range: None,
            only: "",
        };
        for (key, _, exists, columns) in comparison.differing(&expected).await? {
            let address = key.0["key"][0].as_str().unwrap_or_default();
            let address = const_hex::decode(address.trim_start_matches("\\x")).unwrap_or_default();
            let address = base58(&address);
            comparison.add_difference(if exists {
                format!(
                    "account {address}: columns of {table} differ: {}",
                    columns.join(", ")
                )
            } else {
                format!("account {address}: is not in {table}")
            });
        }
    }
    Ok(())
}

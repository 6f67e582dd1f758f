//! Rows of `chain.account` and of the tables of the account types.

use std::collections::BTreeMap;

use driftshield_sdk::{
    AccountKind,
    fields::{self, FieldValue},
};
use heck::ToSnakeCase;
use serde::Deserialize;

use crate::{
    copy::{CopyRow, CopyRows},
    event_id::EventId,
    lives::{ChangedLife, End, Life, Settled},
    ranks,
};

/// Version of the decoder. A higher version decodes again what an earlier one could not.
pub const DECODER_VERSION: i32 = 1;

/// Table of all lives with their bytes.
pub const ACCOUNT_TABLE: &str = "chain.account";
/// Table of the asks of open positions.
pub const ASK_TABLE: &str = "chain.ask";
/// Columns of `chain.ask`, in the order of [`push_ask`].
const ASK_COLUMNS: [&str; 8] = [
    "address",
    "life",
    "outcome",
    "market",
    "reports",
    "price",
    "amount",
    "valid_until",
];
/// Columns of `chain.account`, in the order of [`push_account`].
const ACCOUNT_COLUMNS: [&str; 12] = [
    "address",
    "life",
    "is_current",
    "kind",
    "slot",
    "write_version",
    "closed_slot",
    "lamports",
    "data",
    "is_exact",
    "facts",
    "decoder_version",
];

/// Columns that the tables of all account types have, in the order of [`push_life`].
const LIFE_COLUMNS: [&str; 9] = [
    "address",
    "life",
    "is_current",
    "is_stale",
    "slot",
    "began_slot",
    "began_at",
    "ended_slot",
    "ended_at",
];

/// Rows of lives, each with the address and life that it replaces.
pub struct KeyedRows {
    pub table: String,
    /// The rows, for the temporary table beside `table`.
    pub rows: CopyRows,
    /// Moves the rows of the temporary table to `table`.
    pub replace: String,
    pub addresses: Vec<Vec<u8>>,
    pub lives: Vec<i64>,
}

/// Rows of changed lives, which replace the rows with the same address and life.
pub struct LifeRows {
    pub accounts: KeyedRows,
    pub by_kind: BTreeMap<AccountKind, KeyedRows>,
    /// Asks of the open positions among the lives.
    pub asks: CopyRows,
    /// Lives whose bytes this version cannot decode: their earlier row, if any, stays.
    pub stale: Vec<Life>,
}

impl KeyedRows {
    fn new(table: String, columns: &[String]) -> Self {
        let rows = CopyRows::new(&staging(&table), columns);
        Self {
            replace: replace(&table, columns),
            table,
            rows,
            addresses: vec![],
            lives: vec![],
        }
    }

    fn row(&mut self, life: &Life) -> CopyRow<'_> {
        self.addresses.push(life.address.to_bytes().to_vec());
        self.lives.push(life.life);
        self.rows.row()
    }
}

impl LifeRows {
    pub fn new(changed: Vec<ChangedLife>) -> Self {
        let columns = ACCOUNT_COLUMNS.map(str::to_owned);
        let mut rows = Self {
            accounts: KeyedRows::new(ACCOUNT_TABLE.to_owned(), &columns),
            by_kind: BTreeMap::new(),
            asks: CopyRows::new(ASK_TABLE, &ASK_COLUMNS.map(str::to_owned)),
            stale: vec![],
        };
        for changed in changed {
            rows.add(changed);
        }
        rows
    }

    fn add(&mut self, changed: ChangedLife) {
        let ChangedLife { life, state } = changed;
        push_account(&mut self.accounts.row(&life), &life);
        let decoded = state.and_then(|state| fields::decode(&state).ok());
        let Some((kind, values)) = decoded else {
            self.stale.push(life);
            return;
        };
        let rows = self
            .by_kind
            .entry(kind)
            .or_insert_with(|| KeyedRows::new(table(kind), &columns(kind)));
        let mut row = rows.row(&life);
        let fields = Fields {
            kind,
            values: &values,
        };
        push_life(&mut row, &life);
        push_derived(&mut row, &life, &fields);
        for value in &values {
            row.field(value);
        }
        if kind == AccountKind::Position && life.closed_slot.is_none() {
            self.add_asks(&life, &fields);
        }
    }

    fn add_asks(&mut self, position: &Life, fields: &Fields<'_>) {
        let FieldValue::Json(asks) = fields.get("asks") else {
            unreachable!("asks are a list of structs");
        };
        let asks: Vec<Ask> = serde_json::from_value(asks.clone()).expect("asks have these fields");
        for (outcome, ask) in (0..).zip(asks).filter(|(_, ask)| ask.amount != "0") {
            push_ask(
                &mut self.asks.row(),
                position,
                fields.get("market"),
                outcome,
                &ask,
            );
        }
    }
}

/// An ask in a position: 64-bit numbers are decimal strings.
#[derive(Deserialize)]
struct Ask {
    amount: String,
    valid_until: String,
    price: i64,
    reports: i64,
}

/// Decoded fields of an account.
struct Fields<'a> {
    kind: AccountKind,
    values: &'a [FieldValue],
}

impl Fields<'_> {
    fn get(&self, name: &str) -> &FieldValue {
        let mut fields = fields::of_kind(self.kind).zip(self.values);
        let found = fields.find(|(field, _)| field.name == name);
        found.expect("the type has the field").1
    }

    fn text(&self, name: &str) -> String {
        match self.get(name) {
            FieldValue::Text(text) => text.clone(),
            other => unreachable!("{name} is a text, not {other:?}"),
        }
    }

    fn u64(&self, name: &str) -> u64 {
        match self.get(name) {
            FieldValue::U64(number) => *number,
            other => unreachable!("{name} is a number, not {other:?}"),
        }
    }
}

/// Qualified and quoted name of the table of an account type.
pub fn table(kind: AccountKind) -> String {
    format!("chain.\"{}\"", kind.name().to_snake_case())
}

/// Name of the temporary table that has the columns of `table`, through which rows reach it.
fn staging(table: &str) -> String {
    table.replacen("chain.", "pg_temp.", 1)
}

/// Creates the temporary tables of a connection. They are empty after each transaction.
pub fn create_staging() -> String {
    let create = |table: String| {
        let staging = staging(&table);
        format!("create temporary table {staging} (like {table}) on commit delete rows;")
    };
    tables_of(AccountKind::ALL.iter().copied())
        .map(create)
        .collect()
}

/// The statement that moves rows from the temporary table to `table`. It updates existing rows in place,
/// because none of their indexed columns changes as a rule: Postgres then writes to no index.
fn replace(table: &str, columns: &[String]) -> String {
    let quoted: Vec<_> = columns.iter().map(|name| format!("\"{name}\"")).collect();
    let given: Vec<_> = quoted
        .iter()
        .map(|name| format!("excluded.{name}"))
        .collect();
    let (quoted, given) = (quoted.join(", "), given.join(", "));
    // Only one row of an address may be current: the one that no longer is goes first.
    format!(
        "with given as (delete from {} returning *)
         insert into {table} ({quoted}) select {quoted} from given order by is_current
         on conflict (address, life) do update set ({quoted}) = ({given})",
        staging(table)
    )
}

/// The tables that have rows of lives.
pub fn all_tables() -> impl Iterator<Item = String> {
    let derived = std::iter::once(ASK_TABLE).chain(ranks::tables());
    tables_of(AccountKind::ALL.iter().copied()).chain(derived.map(str::to_owned))
}

/// The tables that have rows of lives of these types.
pub fn tables_of(kinds: impl IntoIterator<Item = AccountKind>) -> impl Iterator<Item = String> {
    std::iter::once(ACCOUNT_TABLE.to_owned()).chain(kinds.into_iter().map(table))
}

/// Columns of the table of an account type, in the order in which rows have them.
pub fn columns(kind: AccountKind) -> Vec<String> {
    let fields = fields::of_kind(kind).map(|field| field.name);
    let common = LIFE_COLUMNS
        .into_iter()
        .chain(derived_columns(kind).iter().copied());
    common.chain(fields).map(str::to_owned).collect()
}

fn push_account(row: &mut CopyRow<'_>, life: &Life) {
    row.key(&life.address);
    row.i64(life.life);
    row.bool(life.is_current);
    row.optional(life.kind, |row, kind| row.text(kind.name()));
    row.i64(life.slot);
    row.i64(life.write_version);
    row.optional(life.closed_slot, CopyRow::i64);
    row.number(life.lamports);
    row.bytes(&life.data);
    row.bool(life.is_exact);
    row.json(&life.facts);
    row.i32(DECODER_VERSION);
}

fn push_ask(row: &mut CopyRow<'_>, position: &Life, market: &FieldValue, outcome: i16, ask: &Ask) {
    row.key(&position.address);
    row.i64(position.life);
    row.i16(outcome);
    row.field(market);
    row.i64(ask.reports);
    row.i64(ask.price);
    row.number(
        ask.amount
            .parse::<u64>()
            .expect("an amount in decimal digits"),
    );
    row.i64(ask.valid_until.parse().expect("a time in decimal digits"));
}

fn push_life(row: &mut CopyRow<'_>, life: &Life) {
    let began_slot = (life.life != 0).then(|| EventId::from_i64(life.life).slot());
    row.key(&life.address);
    row.i64(life.life);
    row.bool(life.is_current);
    row.bool(false);
    row.i64(life.slot);
    row.optional(began_slot, CopyRow::i64);
    row.optional(life.facts.began_at, CopyRow::time);
    row.optional(life.closed_slot, CopyRow::i64);
    row.optional(life.facts.ended_at, CopyRow::time);
}

/// Columns that are derived from facts and fields, in the order of [`push_derived`].
fn derived_columns(kind: AccountKind) -> &'static [&'static str] {
    match kind {
        AccountKind::Market => &["status", "settled_slot", "settled_at", "settled_by"],
        AccountKind::Position => &["status", "payout", "destination"],
        AccountKind::Receipt => &["status", "settled_slot", "settled_at"],
        AccountKind::Policy => &["status", "refund"],
        AccountKind::WithdrawRequest => &["status", "payout", "settled_at"],
        AccountKind::Config
        | AccountKind::Collateral
        | AccountKind::Model
        | AccountKind::Seat
        | AccountKind::Series
        | AccountKind::Vault
        | AccountKind::Exposure => &[],
    }
}

fn push_derived(row: &mut CopyRow<'_>, life: &Life, fields: &Fields<'_>) {
    let facts = &life.facts;
    if let Some(status) = status(life, fields) {
        row.text(&status);
    }
    match fields.kind {
        AccountKind::Market => {
            push_settled(row, facts.settled);
            row.optional(facts.settled, |row, settled| row.i64(settled.id));
        }
        AccountKind::Position => {
            row.optional(facts.payout, CopyRow::number);
            row.optional(facts.destination.as_ref(), CopyRow::key);
        }
        AccountKind::Receipt => push_settled(row, facts.settled),
        AccountKind::Policy => row.optional(facts.refund, CopyRow::number),
        AccountKind::WithdrawRequest => {
            row.number(facts.payout.unwrap_or(0));
            row.optional(facts.settled.and_then(|settled| settled.at), CopyRow::time);
        }
        AccountKind::Config
        | AccountKind::Collateral
        | AccountKind::Model
        | AccountKind::Seat
        | AccountKind::Series
        | AccountKind::Vault
        | AccountKind::Exposure => {}
    }
}

fn push_settled(row: &mut CopyRow<'_>, settled: Option<Settled>) {
    let slot = settled.map(|settled| EventId::from_i64(settled.id).slot());
    row.optional(slot, CopyRow::i64);
    row.optional(settled.and_then(|settled| settled.at), CopyRow::time);
}

/// State of an account in one word; `None` for a type without one.
fn status(life: &Life, fields: &Fields<'_>) -> Option<String> {
    let end = life.facts.end.map(End::name);
    let end = |otherwise: &str| end.unwrap_or(otherwise).to_owned();
    Some(match fields.kind {
        AccountKind::Market => end(&fields.text("state")),
        AccountKind::Position => end("open"),
        AccountKind::Receipt => fields.text("state"),
        AccountKind::Policy if fields.u64("last_window") < fields.u64("first_window") => {
            end("pending")
        }
        AccountKind::Policy => end("open"),
        AccountKind::WithdrawRequest if life.closed_slot.is_some() => end("paid"),
        AccountKind::WithdrawRequest if fields.u64("shares") != 0 => end("lapsed"),
        AccountKind::WithdrawRequest => end("open"),
        _ => return None,
    })
}

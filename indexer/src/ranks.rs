//! Ranks: the values by which lists of accounts are sorted, with what these lists filter by.
//!
//! Current ranks follow from the rows of the accounts. Replaced ones are kept for a while, with the `seq`
//! of the feed at which they were replaced: the pages of a list show the order of one `seq`.

use driftshield_sdk::AccountKind;
use sqlx::PgConnection;

use crate::{kinds, lives::ChangedLife, sql::built};

/// Table of the ranks of one type of account. The table of the same name with `_past` has the replaced
/// ranks.
struct Ranks {
    kind: AccountKind,
    table: &'static str,
    /// Columns by which lists filter, each with its value in a row of the account's table (alias `m`).
    filters: &'static [(&'static str, &'static str)],
    /// Value by which lists are sorted.
    rank: &'static str,
}

const ALL: [Ranks; 2] = [
    Ranks {
        kind: AccountKind::Market,
        table: "chain.market_volume",
        filters: &[
            ("model", "m.model"),
            ("creator", "m.creator"),
            ("status", "m.status"),
            ("close_ts", "m.close_ts"),
        ],
        rank: "m.total / power(10::numeric, m.decimals)",
    },
    Ranks {
        kind: AccountKind::Vault,
        table: "chain.vault_assets",
        filters: &[
            ("manager", "m.manager"),
            ("mint", "m.mint"),
            ("is_closed", "m.ended_slot is not null"),
        ],
        rank: "case when m.ended_slot is null
                 then m.assets / power(10::numeric, m.decimals) else 0 end",
    },
];

/// The tables of current ranks.
pub fn tables() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|ranks| ranks.table)
}

/// Lives that have ranks: addresses and lives, in the order of [`ALL`].
pub struct Keys([(Vec<Vec<u8>>, Vec<i64>); ALL.len()]);

impl Keys {
    pub fn of(changed: &[ChangedLife]) -> Self {
        Self(ALL.map(|ranks| {
            let lives = changed.iter().map(|changed| &changed.life);
            lives
                .filter(|life| life.kind == Some(ranks.kind))
                .map(|life| (life.address.to_bytes().to_vec(), life.life))
                .unzip()
        }))
    }
}

/// Updates the ranks of the lives, as of `seq`.
pub async fn store(
    connection: &mut PgConnection,
    keys: &Keys,
    seq: i64,
) -> Result<(), sqlx::Error> {
    for (ranks, (addresses, lives)) in ALL.iter().zip(&keys.0) {
        if addresses.is_empty() {
            continue;
        }
        let join = "join unnest($2::bytea[], $3::bigint[]) as changed (address, life)
            on m.address = changed.address and m.life = changed.life";
        sqlx::query(built(ranks.update(join)))
            .bind(seq)
            .bind(addresses)
            .bind(lives)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Updates the ranks of all accounts, as of `seq`.
pub async fn store_all(connection: &mut PgConnection, seq: i64) -> Result<(), sqlx::Error> {
    for ranks in &ALL {
        sqlx::query(built(ranks.update("")))
            .bind(seq)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Removes at most `limit` ranks of each type that were replaced at `seq` or before. Returns how many it has
/// removed of the type with the most.
pub async fn remove_past(
    connection: &mut PgConnection,
    seq: i64,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let mut most = 0;
    for table in tables() {
        let sql = format!(
            "delete from {table}_past where ctid in (
               select ctid from {table}_past where valid_to <= $1 order by valid_to limit $2)"
        );
        let delete = sqlx::query(built(sql)).bind(seq).bind(limit);
        most = most.max(delete.execute(&mut *connection).await?.rows_affected());
    }
    Ok(most)
}

impl Ranks {
    /// Statement that updates the ranks that differ from the accounts. `join` limits the accounts (alias
    /// `m`), and `$1` is the `seq`.
    fn update(&self, join: &str) -> String {
        let Self { table, rank, .. } = self;
        let accounts = kinds::table(self.kind);
        let list = |item: &dyn Fn(&str, &str) -> String| {
            let items = self.filters.iter().map(|(name, value)| item(name, value));
            items.collect::<Vec<_>>().join(", ")
        };
        let names = list(&|name, _| name.to_owned());
        let values = list(&|name, value| format!("{value} as {name}"));
        let of = |row: &str| list(&|name, _| format!("{row}.{name}"));
        let (known, given, changed) = (of("known"), of("given"), of("changed"));
        let excluded = of("excluded");
        format!(
            "with given as (
               select m.address, m.life, {values}, {rank} as rank from {accounts} m {join}
             ), changed as (
               select given.* from given
               left join {table} known on (known.address, known.life) = (given.address, given.life)
               where ({known}, known.rank) is distinct from ({given}, given.rank)
             ), replaced as (
               insert into {table}_past (address, life, {names}, rank, valid_from, valid_to)
               select known.address, known.life, {known}, known.rank, known.valid_from, $1
               from {table} known
               join changed on (known.address, known.life) = (changed.address, changed.life)
               where known.valid_from < $1
             )
             insert into {table} (address, life, {names}, rank, valid_from)
             select address, life, {changed}, rank, $1 from changed
             on conflict (address, life) do update
               set ({names}, rank, valid_from) = ({excluded}, excluded.rank, excluded.valid_from)"
        )
    }
}

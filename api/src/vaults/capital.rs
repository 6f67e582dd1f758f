//! Balances of a vault: current ones, and those after each event that reports them.

use chrono::{DateTime, Utc};
use driftshield_sdk::math;
use serde::Serialize;
use sqlx::{FromRow, QueryBuilder};
use utoipa::ToSchema;

use crate::{
    event_id::EventId,
    lives::{LifeFilter, LifeRange},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::Problem,
    rows::{Token, select_by_row},
    values::{Scaled, U64, ratio, scaled},
};

use super::Vault;

/// Balances of a vault. A share has three more decimals than the vault's token.
#[derive(Serialize, ToSchema)]
pub struct Capital {
    /// Earned capital.
    pub assets: Scaled,
    /// Part of `assets` that is requested for withdrawal. The shares own the rest.
    pub leaving: Scaled,
    /// Capital by which cover is priced.
    pub seasoned: Scaled,
    /// Cover of open policies that is neither paid out nor set aside, and the pending losses.
    pub locked: Scaled,
    /// Payments to policies, and premiums set aside, that the capital has not borne yet: part of
    /// `assets` and of `locked`. A deposit bears its part of them.
    pub pending_losses: Scaled,
    /// `locked` divided by `assets`, with up to six decimal places; null if there are no assets.
    #[schema(example = "0.25")]
    pub utilisation: Option<String>,
    /// Part of the premiums that has not streamed to the vault yet.
    pub unearned: Scaled,
    /// Premiums of terms that are on probation.
    pub held: Scaled,
    /// Premiums of windows without a value, which policies return when they end.
    pub set_aside: Scaled,
    /// Number of shares.
    pub shares: Scaled,
    /// Part of `shares` whose value purchases keep free, because their withdrawal could not be paid.
    pub reserved_shares: Scaled,
    /// Price of a share in tokens before the pending losses, with up to nine decimal places, rounded
    /// down.
    #[schema(example = "1.023")]
    pub share_price: String,
    /// Credit of the treasury that is not collected yet: the protocol's part of premiums, premiums of
    /// capital that was leaving, and assets that no share owns.
    pub protocol_credit: Scaled,
    /// Manager's part of premiums that is not collected yet.
    pub manager_credit: Scaled,
}

/// Columns that `chain.vault` and `chain.capital` have.
#[derive(FromRow)]
pub struct CapitalColumns {
    assets: U64,
    leaving: U64,
    seasoned: U64,
    locked: U64,
    pending_losses: U64,
    unearned: U64,
    held: U64,
    set_aside: U64,
    shares: U64,
    reserved_shares: U64,
    protocol_credit: U64,
    manager_credit: U64,
}

impl Capital {
    /// `number` replaces the numbers of a closed vault by 0.
    pub fn new(columns: CapitalColumns, token: Token, number: impl Fn(U64) -> U64) -> Self {
        let tokens = |raw| token.amount(number(raw));
        let (assets, locked) = (tokens(columns.assets), tokens(columns.locked));
        let leaving = tokens(columns.leaving);
        let staying = assets.raw.0.saturating_sub(leaving.raw.0);
        let shares = token.shares(number(columns.shares));
        Self {
            utilisation: ratio(locked.raw.0, assets.raw.0),
            share_price: share_price(staying, shares.raw.0),
            assets,
            leaving,
            seasoned: tokens(columns.seasoned),
            locked,
            pending_losses: tokens(columns.pending_losses),
            unearned: tokens(columns.unearned),
            held: tokens(columns.held),
            set_aside: tokens(columns.set_aside),
            shares,
            reserved_shares: token.shares(number(columns.reserved_shares)),
            protocol_credit: tokens(columns.protocol_credit),
            manager_credit: tokens(columns.manager_credit),
        }
    }
}

/// Price of a whole share in whole tokens, by the program's formula: with up to nine decimal
/// places, rounded down.
fn share_price(assets: u64, shares: u64) -> String {
    const PLACES: u8 = 9;
    let unit = 10_u128.pow((math::SHARE_DECIMALS + PLACES).into());
    let assets = u128::from(assets) + u128::from(math::VIRTUAL_ASSETS);
    let shares = u128::from(shares) + u128::from(math::VIRTUAL_SHARES);
    // `assets * unit` is below 2¹⁰⁵, so it fits a u128.
    scaled(assets * unit / shares, PLACES)
}

/// Balances of a vault right after an event.
#[derive(Serialize, ToSchema)]
#[schema(as = PastCapital)]
pub struct CapitalPoint {
    /// Id of the event.
    event: EventId,
    slot: i64,
    time: Option<DateTime<Utc>>,
    #[serde(flatten)]
    capital: Capital,
}

/// Row of `chain.capital`.
#[derive(FromRow)]
struct CapitalRow {
    event_id: EventId,
    block_time: Option<DateTime<Utc>>,
    #[sqlx(flatten)]
    capital: CapitalColumns,
    #[sqlx(flatten)]
    token: Token,
}

select_by_row!(CapitalPoint, CapitalRow);

impl From<CapitalRow> for CapitalPoint {
    fn from(row: CapitalRow) -> Self {
        Self {
            event: row.event_id,
            slot: row.event_id.slot(),
            time: row.block_time,
            capital: Capital::new(row.capital, row.token, |number| number),
        }
    }
}

/// Balances of a vault after each event that reports them, newest first.
pub async fn history(
    snapshot: &mut Snapshot,
    vault: &Vault,
    query: &ListQuery<LifeFilter>,
) -> Result<Page<CapitalPoint>, Problem> {
    let range = LifeRange::read(&mut snapshot.tx, "vault", &vault.key, vault.life).await?;
    let mut sql = QueryBuilder::new("select h.*, ");
    sql.push_bind(i16::from(vault.decimals))
        .push("::smallint as decimals from chain.capital h where h.vault = ")
        .push_bind(vault.key);
    range.push(&mut sql, "h.event_id");
    let order = Order::descending(&["h.event_id"]);
    query
        .pager(("capital", vault.key, vault.life), snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, order, |point: &CapitalPoint| {
            point.event
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_price_matches_the_program() {
        // A vault without shares, a vault whose assets have doubled, and a vault without assets.
        assert_eq!(share_price(0, 0), "1");
        assert_eq!(share_price(1_999_999, 999_999_000), "2");
        assert_eq!(share_price(0, 999_999_000), "0.000001");
        let share = 1_000_000_000; // one share, if the token has six decimals
        let worth = math::assets_for(share, 5 * share, 7_000_000);
        let price: f64 = share_price(7_000_000, 5 * share).parse().unwrap();
        assert_eq!((price * 1e6).floor(), worth as f64);
    }

    #[test]
    fn the_largest_vault_has_a_price() {
        assert_eq!(share_price(u64::MAX, 0), "18446744073709551616");
        assert_eq!(share_price(0, u64::MAX), "0");
    }
}

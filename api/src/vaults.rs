//! Vaults: the capital behind policies, at what price it is lent, and what it earned.

use chrono::{DateTime, Utc};
use driftshield_sdk::math;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    events::HistoryQuery,
    models::LIFE,
    page::{self, Limit, List, Order, Page},
    problem::{Problem, ProblemBody},
    read::{InPath, InQuery, MinSlot, Read, Reply, Turn},
    values::{Columns, Key, Scaled, U64, from_text, ratio, scaled},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(history))
        .routes(routes!(exposures))
}

/// Capital that backs policies. Amounts are in its mint; its money is as of `accrued_at`.
#[derive(Serialize, ToSchema)]
pub struct Vault {
    pub key: String,
    pub manager: String,
    /// Number that the manager gave it.
    pub id: U64,
    pub mint: String,
    pub decimals: u8,
    /// Holds capital, premiums and credits.
    pub tokens: String,
    pub share_mint: String,
    /// Holds the shares that are asked back.
    pub escrow: String,
    #[serde(flatten)]
    pub capital: Capital,
    /// Until when premium has streamed to it: after that it streams on, second by second.
    pub accrued_at: Option<DateTime<Utc>>,
    pub terms: Terms,
    /// In force from `terms_at` on, also where `terms` doesn't show it yet; null where none are
    /// announced.
    pub next_terms: Option<Terms>,
    pub terms_at: Option<DateTime<Utc>>,
    /// How long shares that are asked back stay in escrow.
    pub cooldown_secs: i64,
    /// How long before its first covered window a policy is bought at least.
    pub waiting_secs: i64,
    /// How long a policy can be claimed after its last receipt.
    pub claim_grace_secs: i64,
    /// Premium streams to the end of one of these.
    pub bucket_secs: i64,
    /// The protocol's part of a premium.
    pub protocol_fee_bps: i32,
    /// The manager's part of a premium.
    pub manager_fee_bps: i32,
    /// Open policies.
    pub policies: U64,
    /// Models that are listed.
    pub exposures: U64,
    /// Open withdraw requests.
    pub requests: U64,
    /// How often its manager has listed a model, or changed on what terms: a deposit names it.
    pub listings: i64,
    /// Number of events that spoke of it.
    pub event_count: U64,
    pub created_at: Option<DateTime<Utc>>,
    /// Null where the history doesn't reach back so far.
    pub created_slot: Option<i64>,
    /// Whether the account is gone from the chain.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// The slot that this state is from.
    pub slot: i64,
    #[serde(skip)]
    sort_key: String,
}

/// The money of a vault. Shares have three decimals more than the mint.
#[derive(Serialize, ToSchema)]
pub struct Capital {
    /// Earned capital: what the shares are worth together.
    pub assets: Scaled,
    /// Cover of open policies, less what they were paid.
    pub locked: Scaled,
    /// `locked` by `assets`, to six places; null where there are no assets.
    #[schema(example = "0.25")]
    pub utilisation: Option<String>,
    /// Premium that has not streamed yet.
    pub unearned: Scaled,
    pub shares: Scaled,
    /// Shares that are asked back.
    pub escrowed: Scaled,
    /// Tokens for a share, to nine places.
    #[schema(example = "1.023")]
    pub share_price: String,
    /// Not collected yet.
    pub protocol_credit: Scaled,
    pub manager_credit: Scaled,
}

impl Capital {
    /// Of a row, whose amounts `amount` gives by name.
    fn of(
        row: &Columns,
        amount: impl Fn(&str) -> Result<U64, sqlx::Error>,
    ) -> Result<Self, sqlx::Error> {
        let tokens = |name| amount(name).map(|U64(raw)| Scaled::new(raw, row.decimals));
        let shares = |name| amount(name).map(|raw| self::shares(raw, row.decimals));
        let (assets, locked) = (tokens("assets")?, tokens("locked")?);
        let all_shares = shares("shares")?;
        Ok(Self {
            utilisation: ratio(locked.raw.0, assets.raw.0),
            share_price: share_price(assets.raw.0, all_shares.raw.0),
            assets,
            locked,
            unearned: tokens("unearned")?,
            shares: all_shares,
            escrowed: shares("escrowed")?,
            protocol_credit: tokens("protocol_credit")?,
            manager_credit: tokens("manager_credit")?,
        })
    }
}

/// Shares of a vault whose mint has `decimals`.
pub fn shares(U64(raw): U64, decimals: u8) -> Scaled {
    Scaled::new(raw, decimals.saturating_add(math::SHARE_DECIMALS))
}

/// What the program takes a whole share for, in whole tokens.
fn share_price(assets: u64, shares: u64) -> String {
    const PLACES: u8 = 9;
    let unit = 10_u128.pow((math::SHARE_DECIMALS + PLACES).into());
    let assets = u128::from(assets) + u128::from(math::VIRTUAL_ASSETS);
    let shares = u128::from(shares) + u128::from(math::VIRTUAL_SHARES);
    scaled(assets * unit / shares, PLACES) // below 2¹⁰⁵
}

/// How a vault prices cover, and how much of it it sells. Rates are annual.
#[derive(Serialize, ToSchema)]
#[schema(as = VaultTerms)]
pub struct Terms {
    pub min_cover: Scaled,
    pub max_cover: Scaled,
    /// From a purchase to the end of the last window.
    pub min_duration_secs: i64,
    pub max_duration_secs: i64,
    /// Charged whatever the utilisation and the drift.
    pub base_bps: u16,
    /// Charged at the kink; in proportion below it.
    pub slope1_bps: u16,
    /// Charged beside `slope1_bps` at full utilisation; in proportion above the kink.
    pub slope2_bps: u16,
    /// Utilisation at which the slope changes.
    pub kink_bps: u16,
    /// Charged where the model has drifted to the trigger; in proportion below it.
    pub risk_slope_bps: u16,
    /// How much of the capital may be locked.
    pub max_utilisation_bps: u16,
    /// Part of what a cancelled policy would get back that it doesn't.
    pub cancel_fee_bps: u16,
}

/// As the mirror holds them.
#[derive(Deserialize)]
struct MirroredTerms {
    min_cover: U64,
    max_cover: U64,
    #[serde(deserialize_with = "from_text")]
    min_duration_secs: i64,
    #[serde(deserialize_with = "from_text")]
    max_duration_secs: i64,
    base_bps: u16,
    slope1_bps: u16,
    slope2_bps: u16,
    kink_bps: u16,
    risk_slope_bps: u16,
    max_utilisation_bps: u16,
    cancel_fee_bps: u16,
}

impl Terms {
    fn of(row: &Columns, name: &str) -> Result<Self, sqlx::Error> {
        let terms: MirroredTerms = row.nested(name)?;
        Ok(Self {
            min_cover: Scaled::new(terms.min_cover.0, row.decimals),
            max_cover: Scaled::new(terms.max_cover.0, row.decimals),
            min_duration_secs: terms.min_duration_secs,
            max_duration_secs: terms.max_duration_secs,
            base_bps: terms.base_bps,
            slope1_bps: terms.slope1_bps,
            slope2_bps: terms.slope2_bps,
            kink_bps: terms.kink_bps,
            risk_slope_bps: terms.risk_slope_bps,
            max_utilisation_bps: terms.max_utilisation_bps,
            cancel_fee_bps: terms.cancel_fee_bps,
        })
    }
}

impl FromRow<'_, PgRow> for Vault {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let vault = Columns::new(row)?;
        let terms_at: i64 = vault.get("terms_at")?;
        let is_announced = terms_at != 0;
        Ok(Self {
            key: vault.get("address")?,
            manager: vault.get("manager")?,
            id: vault.get("id")?,
            mint: vault.get("mint")?,
            decimals: vault.decimals,
            tokens: vault.get("tokens")?,
            share_mint: vault.get("share_mint")?,
            escrow: vault.get("escrow")?,
            capital: Capital::of(&vault, |name| vault.left(name))?,
            accrued_at: vault.time("accrued_at")?,
            terms: Terms::of(&vault, "terms")?,
            next_terms: is_announced
                .then(|| Terms::of(&vault, "next_terms"))
                .transpose()?,
            terms_at: is_announced
                .then(|| vault.time("terms_at"))
                .transpose()?
                .flatten(),
            cooldown_secs: vault.get("cooldown_secs")?,
            waiting_secs: vault.get("waiting_secs")?,
            claim_grace_secs: vault.get("claim_grace_secs")?,
            bucket_secs: vault.get("bucket_secs")?,
            protocol_fee_bps: vault.get("protocol_fee_bps")?,
            manager_fee_bps: vault.get("manager_fee_bps")?,
            policies: vault.left("policies")?,
            exposures: vault.left("exposures")?,
            requests: vault.left("requests")?,
            listings: vault.get("listings")?,
            event_count: vault.get("seq")?,
            created_at: vault.time("created_at")?,
            created_slot: vault.get("created_slot")?,
            closed: vault.closed()?,
            closed_slot: vault.get("closed_slot")?,
            slot: vault.get("slot")?,
            sort_key: vault.get("sort_text")?,
        })
    }
}

/// Vaults as `m`.
fn select(sort_key: &str) -> String {
    format!(
        "select m.*, m.sort_key::text as sort_text from (
           select m.*, coalesce(life.seq, 0) as created_seq, life.slot as created_slot,
                  ({sort_key})::numeric as sort_key
           from chain.vault m {LIFE}
         ) m where true"
    )
}

const NEWEST: &str = "coalesce(life.seq, 0)";

/// The capital by the time of an event, in whole tokens. Where the history doesn't tell it, as it
/// is now.
fn assets(as_of: i64) -> String {
    format!(
        "coalesce(
           (select h.assets from chain.capital h
            where h.vault = m.address and h.seq <= {as_of}
            order by h.seq desc limit 1),
           case when life.seq is null then m.assets else 0 end
         ) / power(10::numeric, m.decimals)"
    )
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    manager: Option<Key>,
    /// Only those that list this model.
    model: Option<Key>,
    mint: Option<Key>,
    /// Whether they are gone from the chain.
    closed: Option<bool>,
    #[serde(default)]
    #[param(inline, value_type = Option<Sort>)]
    sort: Sort,
    /// Where the last page ended.
    #[serde(serialize_with = "page::unnamed")]
    cursor: Option<String>,
    #[serde(serialize_with = "page::unnamed", default)]
    #[param(value_type = Option<Limit>)]
    limit: Limit,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = VaultSort)]
enum Sort {
    /// The newest first.
    #[default]
    Newest,
    /// Most capital first, as of the first page's `seq`: a deposit between two pages moves nothing.
    Assets,
}

/// Vaults. Rows are as they are now; sorted by capital, their order is that of the first page.
#[utoipa::path(
    get,
    path = "/insurance/vaults",
    tag = "insurance",
    params(ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Vault>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    InQuery(query): InQuery<ListQuery>,
    _turn: Turn,
    mut read: Read,
) -> Result<Reply<Page<Vault>>, Problem> {
    let list = List::new("vaults", &query);
    // With the event as of which the list is sorted.
    let end: Option<(page::End, i64)> = list.key(query.cursor.as_deref())?;
    let as_of = end.as_ref().map_or(read.seq(), |(_, as_of)| *as_of);
    let mut sql = QueryBuilder::new(match query.sort {
        Sort::Newest => select(NEWEST),
        Sort::Assets => select(&assets(as_of)),
    });
    if query.sort == Sort::Assets {
        sql.push(" and m.created_seq <= ").push_bind(as_of);
    }
    if let Some(manager) = &query.manager {
        sql.push(" and m.manager = ").push_bind(manager.as_str());
    }
    if let Some(model) = &query.model {
        sql.push(
            " and exists (select from chain.exposure x
                where x.vault = m.address and x.closed_slot is null and x.model = ",
        )
        .push_bind(model.as_str())
        .push(")");
    }
    if let Some(mint) = &query.mint {
        sql.push(" and m.mint = ").push_bind(mint.as_str());
    }
    if let Some(closed) = query.closed {
        sql.push(" and (m.closed_slot is not null) = ")
            .push_bind(closed);
    }
    page::push_after(
        &mut sql,
        end.map(|(end, _)| end),
        Order::Descending,
        query.limit,
    );
    let vaults: Vec<Vault> = sql.build_query_as().fetch_all(&mut *read.tx).await?;
    let page = Page::new(vaults, query.limit, &list, |vault| {
        ((vault.sort_key.clone(), vault.key.clone()), as_of)
    });
    read.reply(page).await
}

/// The vault at an address.
pub async fn find(db: &mut PgConnection, key: &Key) -> Result<Option<Vault>, sqlx::Error> {
    sqlx::query_as(&format!("{} and m.address = $1", select(NEWEST)))
        .bind(key.as_str())
        .fetch_optional(db)
        .await
}

async fn require(db: &mut PgConnection, key: &Key) -> Result<Vault, Problem> {
    find(db, key)
        .await?
        .ok_or_else(|| Problem::missing("vault", key))
}

/// One vault.
#[utoipa::path(
    get,
    path = "/insurance/vaults/{vault}",
    tag = "insurance",
    params(("vault" = Key, Path, description = "Its address"), MinSlot),
    responses(
        (status = 200, body = Vault),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(key): InPath<Key>, mut read: Read) -> Result<Reply<Vault>, Problem> {
    let vault = require(&mut read.tx, &key).await?;
    read.reply(vault).await
}

/// The money of a vault after an event.
#[derive(Serialize, ToSchema)]
struct PastCapital {
    /// Of the event.
    seq: i64,
    slot: i64,
    time: Option<DateTime<Utc>>,
    #[serde(flatten)]
    capital: Capital,
}

impl FromRow<'_, PgRow> for PastCapital {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        Ok(Self {
            seq: columns.get("seq")?,
            slot: columns.get("slot")?,
            time: columns.get("block_time")?,
            capital: Capital::of(&columns, |name| columns.get(name))?,
        })
    }
}

/// Capital and share price of a vault after each event that moved them, the newest first.
#[utoipa::path(
    get,
    path = "/insurance/vaults/{vault}/history",
    tag = "insurance",
    params(("vault" = Key, Path, description = "Its address"), HistoryQuery, MinSlot),
    responses(
        (status = 200, body = Page<PastCapital>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn history(
    InPath(key): InPath<Key>,
    InQuery(query): InQuery<HistoryQuery>,
    mut read: Read,
) -> Result<Reply<Page<PastCapital>>, Problem> {
    require(&mut read.tx, &key).await?;
    let list = List::new("capital", &key);
    let before = list.key(query.cursor.as_deref())?;
    let past: Vec<PastCapital> = sqlx::query_as(
        "select h.*, m.decimals
         from chain.capital h join chain.vault m on m.address = h.vault
         where h.vault = $1 and h.seq < $2
         order by h.seq desc limit $3",
    )
    .bind(key.as_str())
    .bind(before.unwrap_or(i64::MAX))
    .bind(query.limit.rows())
    .fetch_all(&mut *read.tx)
    .await?;
    let page = Page::new(past, query.limit, &list, |past| past.seq);
    read.reply(page).await
}

/// That a vault covers a model. Amounts are in the vault's mint.
#[derive(Serialize, ToSchema)]
struct Exposure {
    key: String,
    vault: String,
    model: String,
    /// The only version of the model that is covered.
    model_version: i64,
    /// `cover` may reach it; 0 where nothing is sold any more.
    cap: Scaled,
    /// No trigger lies under it.
    lowest_trigger: Scaled,
    /// Cover of open policies, less what they were paid.
    cover: Scaled,
    /// Open policies.
    policies: U64,
    listed_at: Option<DateTime<Utc>>,
    /// No cover is sold earlier.
    active_at: Option<DateTime<Utc>>,
    /// Number of events that spoke of it.
    event_count: U64,
    /// Whether the account is gone from the chain.
    closed: bool,
    closed_slot: Option<i64>,
    /// The slot that this state is from.
    slot: i64,
}

impl FromRow<'_, PgRow> for Exposure {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let exposure = Columns::new(row)?;
        Ok(Self {
            key: exposure.get("address")?,
            vault: exposure.get("vault")?,
            model: exposure.get("model")?,
            model_version: exposure.get("model_version")?,
            cap: exposure.amount_left("cap")?,
            lowest_trigger: exposure.drift("lowest_trigger")?,
            cover: exposure.amount_left("cover")?,
            policies: exposure.left("policies")?,
            listed_at: exposure.time("listed_at")?,
            active_at: exposure.time("active_at")?,
            event_count: exposure.get("seq")?,
            closed: exposure.closed()?,
            closed_slot: exposure.get("closed_slot")?,
            slot: exposure.get("slot")?,
        })
    }
}

/// The models that a vault covers or covered, by address.
#[utoipa::path(
    get,
    path = "/insurance/vaults/{vault}/exposures",
    tag = "insurance",
    params(("vault" = Key, Path, description = "Its address"), HistoryQuery, MinSlot),
    responses(
        (status = 200, body = Page<Exposure>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn exposures(
    InPath(key): InPath<Key>,
    InQuery(query): InQuery<HistoryQuery>,
    mut read: Read,
) -> Result<Reply<Page<Exposure>>, Problem> {
    require(&mut read.tx, &key).await?;
    let list = List::new("exposures", &key);
    let after: Option<String> = list.key(query.cursor.as_deref())?;
    let exposures: Vec<Exposure> = sqlx::query_as(
        "select x.*, m.decimals
         from chain.exposure x join chain.vault m on m.address = x.vault
         where x.vault = $1 and $2 < x.address
         order by x.address limit $3",
    )
    .bind(key.as_str())
    .bind(after.unwrap_or_default())
    .bind(query.limit.rows())
    .fetch_all(&mut *read.tx)
    .await?;
    let page = Page::new(exposures, query.limit, &list, |exposure| {
        exposure.key.clone()
    });
    read.reply(page).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_costs_what_the_program_takes_for_it() {
        // Nobody has any yet, a vault doubled, and one was wiped out.
        assert_eq!(share_price(0, 0), "1");
        assert_eq!(share_price(1_999_999, 999_999_000), "2");
        assert_eq!(share_price(0, 999_999_000), "0.000001");
        let share = 1_000_000_000; // of a mint of six decimals
        let worth = math::assets_for(share, 5 * share, 7_000_000);
        let price: f64 = share_price(7_000_000, 5 * share).parse().unwrap();
        assert_eq!((price * 1e6).floor(), worth as f64);
    }

    #[test]
    fn the_largest_vault_has_a_price() {
        assert_eq!(share_price(u64::MAX, 0), "18446744073709551616");
        assert_eq!(share_price(0, u64::MAX), "0");
    }

    #[test]
    fn terms_are_read_as_the_mirror_holds_them() {
        let terms: MirroredTerms = serde_json::from_str(
            r#"{"min_cover":"1","max_cover":"18446744073709551615","min_duration_secs":"1",
                "max_duration_secs":"34560000","base_bps":100,"slope1_bps":200,"slope2_bps":3000,
                "kink_bps":8000,"risk_slope_bps":500,"max_utilisation_bps":9000,"cancel_fee_bps":0}"#,
        )
        .unwrap();
        assert_eq!(terms.max_cover, U64(u64::MAX));
        assert_eq!(terms.max_duration_secs, 34_560_000);
    }
}

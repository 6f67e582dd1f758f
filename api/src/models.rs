//! Models: metric, oracles and statistics.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    columns::{Columns, none_if_unset},
    events::{self, Event},
    extract::{ExpensiveQueryPermit, InPath, MinSlot},
    markets::{self, Market, MarketFilter},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    receipts::{self, Receipt, ReceiptFilter},
    reply::Reply,
    series::{self, Window},
    sql::{CREATED_SEQ, JOIN_CREATION, push_equals},
    state::AppState,
    values::{Key, Scaled, U64},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(receipts))
        .routes(routes!(windows))
        .routes(routes!(markets))
        .routes(routes!(history))
}

/// Machine-learning model whose drift is measured. Amounts are in the model's bond mint.
#[derive(Serialize, ToSchema)]
pub struct Model {
    /// Address of the model's account.
    pub key: String,
    pub owner: String,
    /// Number chosen by the owner.
    pub id: U64,
    pub name: String,
    /// URI of the metadata document.
    pub uri: String,
    /// SHA-256 of the document at `uri`; null if not set.
    pub metadata_hash: Option<String>,
    /// Hash of the model artifact; null if not set.
    pub artifact_hash: Option<String>,
    /// SHA-256 of the metric-spec document.
    pub spec_hash: String,
    /// Head of the hash chain of receipts.
    pub chain: String,
    #[schema(example = "active")]
    pub status: String,
    /// Version, incremented by each update of the model.
    pub version: i64,
    /// Metric that measures drift.
    #[schema(example = "psi")]
    pub metric: String,
    /// Reference row counts by bin.
    pub reference: Vec<i64>,
    pub oracles: Vec<Oracle>,
    /// Minimum number of submissions from which a value is proposed.
    pub quorum: i16,
    /// Start of window 0.
    pub genesis: Option<DateTime<Utc>>,
    /// Length of a window.
    pub window_secs: i64,
    /// Minimum number of rows from which a value is computed. Counts with fewer rows are thin.
    pub min_samples: U64,
    /// Lowest allowed threshold of a market, and lowest allowed trigger of a policy.
    pub noise_floor: Scaled,
    /// Maximum distance from the median, or from a ruling, at which a submission agrees with it.
    pub max_spread: Scaled,
    pub bond_mint: String,
    /// Decimals of the bond mint.
    pub decimals: u8,
    /// Token account that holds the bonds.
    pub bond_vault: String,
    /// Key that rules on disputes.
    pub arbiter: String,
    /// Bond from which an oracle's seat counts. A slash ends that only below half of it.
    pub min_bond: Scaled,
    /// Amount that an oracle loses if a ruling proves its submission wrong; its whole bond if that
    /// is less.
    pub slash_amount: Scaled,
    /// Bond that a challenger puts up.
    pub challenge_bond: Scaled,
    /// Amount that an oracle loses for each window for which it owed a submission and was silent.
    pub absence_penalty: Scaled,
    /// Submit period, from the end of a window.
    pub submit_secs: i64,
    /// Challenge period of a proposed receipt.
    pub challenge_secs: i64,
    /// Ruling period of a challenged receipt.
    pub ruling_secs: i64,
    /// Period in which the admin may return slashes of a ruling.
    pub appeal_secs: i64,
    /// Waiting time of a bond withdrawal.
    pub unbond_secs: i64,
    /// Notice of a seat that leaves.
    pub leave_secs: i64,
    /// Time without counting after which the oracle of a seat can be replaced while the model is
    /// exposed.
    pub replace_secs: i64,
    /// Number of oracles replaced since `exposure` was last 0.
    pub replaced: i16,
    /// Minimum time for which a page of the series is kept, from the end of its last window.
    pub retention_secs: i64,
    /// Amount that the bond vault owes: bonds, challenge bonds, credits and rewards that are not
    /// collected, and the pot.
    pub held: Scaled,
    /// Pay of the oracles that no receipt has taken yet.
    pub pot: Pot,
    /// Half of what the oracles lose who move the median; 0 if fewer than a quorum of seats count.
    pub security: Scaled,
    /// Security without the seats that are leaving.
    pub lasting_security: Scaled,
    /// Maximum of stakes and cover together, as a multiple of `lasting_security`.
    pub security_multiple: i64,
    /// Number of submissions, challenges and rulings so far, to pass to `set_ask` and
    /// `buy_position`.
    pub reports: i64,
    /// Rent of secured stakes and cover, in basis points a year.
    pub security_rent_bps: u16,
    /// Part of the maximum that stakes may reach, in basis points.
    pub market_budget_bps: u16,
    /// Part of the maximum that cover may reach, in basis points.
    pub cover_budget_bps: u16,
    /// Unsettled stakes.
    pub market_risk: Scaled,
    /// Cover of open policies.
    pub cover_risk: Scaled,
    /// Number of unsettled markets with a bet, and of open policies.
    pub exposure: U64,
    /// Number of receipts that are not settled, or hold what a ruling slashed.
    pub open_receipts: U64,
    /// Number of final receipts of this version.
    pub final_count: U64,
    /// Latest window of this version with a final receipt; null if there is none.
    pub last: Option<WindowValue>,
    /// Latest window of this version that was proposed or ruled to have a value, and was not ruled
    /// thin since; null if there is none. While no receipt is final, also null if that window is 0
    /// and its drift is 0.
    pub latest: Option<WindowValue>,
    /// Largest final value of this version; null if there is none.
    pub max_value: Option<Scaled>,
    /// Exponentially weighted moving average of this version's final values; null if there is none.
    pub ewma: Option<Scaled>,
    /// Number of events that reference the model.
    pub event_count: U64,
    /// Time of the registration; null if the registration is older than the mirror's history.
    pub created_at: Option<DateTime<Utc>>,
    pub created_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
    #[serde(skip)]
    created_seq: i64,
}

/// Oracle of a model.
#[derive(Serialize, ToSchema)]
pub struct Oracle {
    pub oracle: String,
    /// Bond, without the part that is unbonding and without `penalty`.
    pub bond: Scaled,
    /// Whether the oracle's seat counts.
    pub counts: bool,
    /// When the oracle was listed. It submits for windows that begin from then on.
    pub listed_at: Option<DateTime<Utc>>,
    /// From when the bond may go whatever is at risk; null unless the seat is leaving.
    pub leave_at: Option<DateTime<Utc>>,
    /// Reward that is not collected yet.
    pub reward: Scaled,
    /// Penalties for silence that `bond` has lost and the seat has not paid yet.
    pub penalty: Scaled,
}

/// A model's record of an oracle, as the mirror stores it.
#[derive(Deserialize)]
struct Tenure {
    counts: u8,
    listed_at: String,
    leave_at: String,
}

impl Oracle {
    fn new(oracle: String, bond: Scaled, reward: Scaled, penalty: Scaled, tenure: &Tenure) -> Self {
        let time = |secs: &String| DateTime::from_timestamp(secs.parse().ok()?, 0);
        Self {
            oracle,
            bond,
            reward,
            penalty,
            counts: tenure.counts != 0,
            listed_at: time(&tenure.listed_at),
            leave_at: time(&tenure.leave_at).filter(|time| time.timestamp() != 0),
        }
    }
}

/// Pay of a model's oracles, as of the latest event that changed it.
#[derive(Serialize, ToSchema)]
pub struct Pot {
    /// Amount for the windows of later epochs.
    pub waiting: Scaled,
    /// Amount that was released to windows, and that no oracle has earned.
    pub unearned: Scaled,
    /// Time until which `waiting` was paid; null if nothing was ever paid.
    pub until: Option<DateTime<Utc>>,
}

/// JSON form of the pot in the mirror: u64 and i64 as decimal strings.
#[derive(Deserialize)]
struct MirroredPot {
    waiting: U64,
    unearned: U64,
    #[serde(deserialize_with = "crate::values::from_decimal_string")]
    until: i64,
}

impl Pot {
    fn from_columns(columns: &Columns) -> Result<Self, sqlx::Error> {
        let pot: MirroredPot = columns.nested("pot")?;
        let until = (pot.until != 0).then(|| DateTime::from_timestamp(pot.until, 0));
        Ok(Self {
            waiting: Scaled::new(pot.waiting.0, columns.decimals),
            unearned: Scaled::new(pot.unearned.0, columns.decimals),
            until: until.flatten(),
        })
    }
}

/// Drift measured in a window.
#[derive(Serialize, ToSchema)]
pub struct WindowValue {
    pub window: U64,
    pub value: Scaled,
}

impl FromRow<'_, PgRow> for Model {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let oracle_count = columns.count("oracle_count")?;
        let oracles: Vec<String> = columns.get("oracles")?;
        let bonds = columns.amounts("bonds", oracle_count)?;
        let tenures: Vec<Tenure> = columns.nested("tenures")?;
        let rewards = columns.amounts("rewards", oracle_count)?;
        let penalties = columns.amounts("penalties", oracle_count)?;
        let reference: Vec<i64> = columns.get("reference")?;
        let has_final = columns.get::<U64>("final_count")? != U64(0);
        let window_value = |window, value| {
            let window_value = WindowValue {
                window: columns.get(window)?,
                value: columns.drift(value)?,
            };
            let is_set = window_value.window != U64(0) || window_value.value.raw != U64(0);
            Ok::<_, sqlx::Error>((has_final || is_set).then_some(window_value))
        };
        let final_drift = |name| Ok::<_, sqlx::Error>(has_final.then_some(columns.drift(name)?));
        Ok(Self {
            key: columns.get("address")?,
            owner: columns.get("owner")?,
            id: columns.get("id")?,
            name: columns.get("name")?,
            uri: columns.get("uri")?,
            metadata_hash: none_if_unset(columns.get("metadata_hash")?),
            artifact_hash: none_if_unset(columns.get("artifact_hash")?),
            spec_hash: columns.get("spec_hash")?,
            chain: columns.get("chain")?,
            status: columns.get("status")?,
            version: columns.get("version")?,
            metric: columns.get("metric")?,
            reference: reference.into_iter().take(columns.count("bins")?).collect(),
            oracles: std::iter::zip(oracles, bonds)
                .zip(std::iter::zip(rewards, penalties))
                .zip(&tenures)
                .map(|(((oracle, bond), (reward, penalty)), tenure)| {
                    Oracle::new(oracle, bond, reward, penalty, tenure)
                })
                .collect(),
            quorum: columns.get("quorum")?,
            genesis: columns.time("genesis")?,
            window_secs: columns.get("window_secs")?,
            min_samples: columns.get("min_samples")?,
            noise_floor: columns.drift("noise_floor")?,
            max_spread: columns.drift("max_spread")?,
            bond_mint: columns.get("bond_mint")?,
            decimals: columns.decimals,
            bond_vault: columns.get("bond_vault")?,
            arbiter: columns.get("arbiter")?,
            min_bond: columns.amount("min_bond")?,
            slash_amount: columns.amount("slash_amount")?,
            challenge_bond: columns.amount("challenge_bond")?,
            absence_penalty: columns.amount("absence_penalty")?,
            submit_secs: columns.get("submit_secs")?,
            challenge_secs: columns.get("challenge_secs")?,
            ruling_secs: columns.get("ruling_secs")?,
            appeal_secs: columns.get("appeal_secs")?,
            unbond_secs: columns.get("unbond_secs")?,
            leave_secs: columns.get("leave_secs")?,
            replace_secs: columns.get("replace_secs")?,
            replaced: columns.get("replaced")?,
            retention_secs: columns.get("retention_secs")?,
            held: columns.amount("held")?,
            pot: Pot::from_columns(&columns)?,
            security: columns.amount("security")?,
            lasting_security: columns.amount("lasting_security")?,
            security_multiple: columns.get("security_multiple")?,
            reports: columns.get("reports")?,
            security_rent_bps: columns.basis_points("security_rent_bps")?,
            market_budget_bps: columns.basis_points("market_budget_bps")?,
            cover_budget_bps: columns.basis_points("cover_budget_bps")?,
            market_risk: columns.amount("market_risk")?,
            cover_risk: columns.amount("cover_risk")?,
            exposure: columns.get("exposure")?,
            open_receipts: columns.get("open_receipts")?,
            final_count: columns.get("final_count")?,
            last: has_final
                .then_some(window_value("last_window", "last_value")?)
                .flatten(),
            latest: window_value("latest_window", "latest")?,
            max_value: final_drift("max_value")?,
            ewma: final_drift("ewma")?,
            event_count: columns.get("seq")?,
            created_at: columns.get("created_at")?,
            created_slot: columns.get("created_slot")?,
            slot: columns.get("slot")?,
            created_seq: columns.get("created_seq")?,
        })
    }
}

fn select() -> String {
    format!(
        "select m.*, c.decimals, {CREATED_SEQ} as created_seq,
                creation.slot as created_slot, creation.block_time as created_at
         from chain.model m join chain.collateral c on c.mint = m.bond_mint {JOIN_CREATION}
         where true"
    )
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ModelFilter {
    owner: Option<Key>,
    #[param(inline)]
    metric: Option<DriftMetric>,
    #[param(inline)]
    status: Option<ModelStatus>,
    /// Part of the name, case-insensitive.
    text: Option<String>,
}

#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum DriftMetric {
    Psi,
    JensenShannon,
    KolmogorovSmirnov,
    TotalVariation,
    ErrorRate,
}

#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum ModelStatus {
    Active,
    Retired,
}

/// Models, newest first.
#[utoipa::path(
    get,
    path = "/models",
    tag = "models",
    params(ListQuery<ModelFilter>, MinSlot),
    responses(
        (status = 200, body = Page<Model>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    query: ListQuery<ModelFilter>,
    _permit: ExpensiveQueryPermit,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Model>>, Problem> {
    let filter = &query.filter;
    let mut sql = QueryBuilder::new(select());
    push_equals(&mut sql, "m.owner", filter.owner.as_ref().map(Key::as_str));
    push_equals(&mut sql, "m.metric", filter.metric);
    push_equals(&mut sql, "m.status", filter.status);
    if let Some(text) = &filter.text {
        sql.push(" and strpos(lower(m.name), lower(")
            .push_bind(text)
            .push(")) > 0");
    }
    let order = Order::descending(&[CREATED_SEQ, "m.address"]);
    let page = query
        .pager("models")
        .fetch(&mut snapshot.tx, sql, order, |model: &Model| {
            (model.created_seq, model.key.clone())
        })
        .await?;
    snapshot.reply(page).await
}

/// Reads the model at an address.
pub async fn find(db: &mut PgConnection, key: &Key) -> Result<Option<Model>, sqlx::Error> {
    sqlx::query_as(&format!("{} and m.address = $1", select()))
        .bind(key.as_str())
        .fetch_optional(db)
        .await
}

async fn require(db: &mut PgConnection, key: &Key) -> Result<Model, Problem> {
    find(db, key)
        .await?
        .ok_or_else(|| Problem::not_found("model", key))
}

/// The model at an address.
#[utoipa::path(
    get,
    path = "/models/{model}",
    tag = "models",
    params(("model" = Key, Path, description = "Address of the model"), MinSlot),
    responses(
        (status = 200, body = Model),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(key): InPath<Key>, mut snapshot: Snapshot) -> Result<Reply<Model>, Problem> {
    let model = require(&mut snapshot.tx, &key).await?;
    snapshot.reply(model).await
}

/// Receipts of a model, latest window first.
#[utoipa::path(
    get,
    path = "/models/{model}/receipts",
    tag = "models",
    params(
        ("model" = Key, Path, description = "Address of the model"),
        ListQuery<ReceiptFilter>,
        MinSlot
    ),
    responses(
        (status = 200, body = Page<Receipt>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn receipts(
    InPath(key): InPath<Key>,
    query: ListQuery<ReceiptFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Receipt>>, Problem> {
    require(&mut snapshot.tx, &key).await?;
    let page = receipts::of_model(&mut snapshot.tx, &key, &query).await?;
    snapshot.reply(page).await
}

/// Windows of a model with a submission, latest first. The list comes from the model's series on
/// chain, so it is complete even if the mirror is younger than the model.
#[utoipa::path(
    get,
    path = "/models/{model}/windows",
    tag = "models",
    params(("model" = Key, Path, description = "Address of the model"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Window>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn windows(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Window>>, Problem> {
    require(&mut snapshot.tx, &key).await?;
    let page = series::of_model(&mut snapshot.tx, &key, &query).await?;
    snapshot.reply(page).await
}

/// Markets on a model, newest first.
#[utoipa::path(
    get,
    path = "/models/{model}/markets",
    tag = "models",
    params(("model" = Key, Path, description = "Address of the model"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Market>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn markets(
    InPath(key): InPath<Key>,
    query: ListQuery,
    _permit: ExpensiveQueryPermit,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Market>>, Problem> {
    require(&mut snapshot.tx, &key).await?;
    let query = ListQuery {
        filter: MarketFilter::of_model(key),
        paging: query.paging,
    };
    let page = markets::page(&mut snapshot, &query).await?;
    snapshot.reply(page).await
}

/// Events of a model, newest first.
#[utoipa::path(
    get,
    path = "/models/{model}/history",
    tag = "models",
    params(("model" = Key, Path, description = "Address of the model"), ListQuery, MinSlot),
    responses(
        (status = 200, body = Page<Event>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn history(
    InPath(key): InPath<Key>,
    query: ListQuery,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Event>>, Problem> {
    require(&mut snapshot.tx, &key).await?;
    let page = events::of_account(&mut snapshot.tx, &key, &query).await?;
    snapshot.reply(page).await
}

//! Policies: cover on a model, with its payouts and its end.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    columns::Columns,
    event_id::EventId,
    extract::{ExpensiveQueryPermit, InPath, InQuery, MinSlot},
    lives::{LifeFilter, LifeRange, join_life},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    sql::{each_value, push_equals, refuse_if},
    state::AppState,
    values::{Scaled, U64, from_decimal_string},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
}

/// Cover on a model. Amounts are in the vault's mint.
#[derive(Serialize, ToSchema)]
pub struct Policy {
    /// Address of the policy's account.
    pub key: Key,
    /// Event that created the account: each time that a policy is created at the address, it has
    /// another `life`. The item with the highest one is current. 0 if the mirror does not have the
    /// event.
    pub life: EventId,
    pub vault: Key,
    pub model: Key,
    /// Version of the model when the policy was bought.
    pub model_version: i64,
    pub holder: Key,
    /// Number chosen by the holder.
    pub id: U64,
    pub mint: Key,
    /// Decimals of the mint.
    pub decimals: u8,
    pub state: PolicyState,
    /// Maximum sum of all payouts.
    pub cover: Scaled,
    /// Sum of all payouts.
    pub paid: Scaled,
    /// What the policy owes for its highest run: what a claim pays now. 0 once the policy has ended.
    pub due: Scaled,
    /// What the vault has set aside for the policy: `due`, or the premium of windows without a value less
    /// what has been paid if that is more. The policy pays it when it ends. 0 once it has.
    pub set_aside: Scaled,
    /// Highest drift that a run has kept, as far as windows have been examined; null if no run has
    /// reached the trigger.
    pub peak: Option<Scaled>,
    /// First window that has not been examined.
    pub examined_until: U64,
    /// Refunded premium; null until the policy ends.
    pub refund: Option<Scaled>,
    /// Drift from which the policy pays.
    pub trigger: Scaled,
    /// Drift from which the policy pays all of its cover.
    pub exhaustion: Scaled,
    /// Number of consecutive windows in which drift has to reach the trigger.
    pub persistence: i16,
    /// First covered window.
    pub first_window: U64,
    /// Last covered window of the terms that have begun; before `first_window` until one has.
    pub last_window: U64,
    /// Start of the first covered window.
    pub covered_from: Option<DateTime<Utc>>,
    /// End of the last covered window, or of the last one of the term on probation.
    pub covered_until: Option<DateTime<Utc>>,
    /// Time from which the policy can be ended by anyone, if it is paid what it owes.
    pub expires_at: Option<DateTime<Utc>>,
    /// Number of windows in a term.
    pub windows: U64,
    /// Sum of the premiums of all terms that have begun.
    pub premium: Scaled,
    /// Term that has begun last; null until one has.
    pub term: Option<PolicyTerm>,
    /// Term on probation; null if there is none.
    pub pending: Option<PendingTerm>,
    /// Whether anyone may renew the policy at the holder's expense.
    pub auto_renew: bool,
    /// Maximum premium of a renewal.
    pub max_premium: Scaled,
    /// Part of the unused premium that the vault keeps if the policy is cancelled.
    pub cancel_fee_bps: i32,
    /// Number of events that reference the policy.
    pub event_count: U64,
    /// Time of the purchase; null if the purchase is older than the mirror's history.
    pub created_at: Option<DateTime<Utc>>,
    pub created_slot: Option<i64>,
    /// Time at which the whole cover was paid, or the policy was cancelled, expired or void; null
    /// before.
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_slot: Option<i64>,
    /// Whether the account is closed on chain, that is, whether the policy has ended. If so, `state`,
    /// `paid` and `refund` are final.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
    /// Whether the account has newer content that this version cannot decode.
    pub stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum PolicyState {
    /// The policy's first term is on probation.
    Pending,
    /// The policy has begun and has not ended.
    Open,
    /// The whole cover was paid.
    Paid,
    /// The holder cancelled the policy.
    Cancelled,
    /// The policy expired before its whole cover was paid.
    Expired,
    /// The policy never began: drift reached its trigger on probation, or nothing was measured.
    Void,
}

/// One premium of a policy: the part that streams to the vault, and the time that it pays for.
#[derive(Serialize, ToSchema)]
pub struct PolicyTerm {
    /// Premium without the protocol's and the manager's part.
    pub streamed: Scaled,
    /// Beginning of the paid time: the purchase, or the end of the term before.
    pub start: Option<DateTime<Utc>>,
    /// End of the last window that the premium pays for.
    pub end: Option<DateTime<Utc>>,
}

/// A term on probation. The vault holds its premium.
#[derive(Serialize, ToSchema)]
pub struct PendingTerm {
    pub premium: Scaled,
    /// Beginning of the paid time: the purchase, or the end of the term before.
    pub start: Option<DateTime<Utc>>,
    /// End of the last window that the premium pays for.
    pub end: Option<DateTime<Utc>>,
    /// First window of the probation. Its last one is the policy's `last_window`.
    pub from_window: U64,
}

/// JSON form of a pending term in the mirror.
#[derive(Deserialize)]
struct MirroredPending {
    premium: U64,
    #[serde(deserialize_with = "from_decimal_string")]
    start: i64,
    #[serde(deserialize_with = "from_decimal_string")]
    end: i64,
    from_window: U64,
}

impl PendingTerm {
    /// `None` if no term is on probation: `premium` is 0.
    fn from_column(row: &Columns) -> Result<Option<Self>, sqlx::Error> {
        let term: MirroredPending = row.nested("pending")?;
        Ok((term.premium.0 != 0).then(|| Self {
            premium: Scaled::new(term.premium.0, row.decimals),
            start: DateTime::from_timestamp(term.start, 0),
            end: DateTime::from_timestamp(term.end, 0),
            from_window: term.from_window,
        }))
    }
}

/// JSON form of a term in the mirror: u64 and i64 as decimal strings.
#[derive(Deserialize)]
struct MirroredTerm {
    part: U64,
    #[serde(deserialize_with = "from_decimal_string")]
    start: i64,
    #[serde(deserialize_with = "from_decimal_string")]
    end: i64,
}

impl PolicyTerm {
    /// `None` if the term is unset: `end` is 0.
    fn from_column(row: &Columns, name: &str) -> Result<Option<Self>, sqlx::Error> {
        let term: MirroredTerm = row.nested(name)?;
        Ok((term.end != 0).then(|| Self {
            streamed: Scaled::new(term.part.0, row.decimals),
            start: DateTime::from_timestamp(term.start, 0),
            end: DateTime::from_timestamp(term.end, 0),
        }))
    }
}

impl FromRow<'_, PgRow> for Policy {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let state: PolicyState = columns.get("status")?;
        let (first_window, last_window): (U64, U64) =
            (columns.get("first_window")?, columns.get("last_window")?);
        let (windows, pending): (U64, _) =
            (columns.get("windows")?, PendingTerm::from_column(&columns)?);
        let waiting = if pending.is_some() { windows.0 } else { 0 };
        let end_window = last_window.0.checked_add(1);
        let end_window = end_window.and_then(|end| end.checked_add(waiting));
        let covered_until = columns.window_start(end_window)?;
        let claimable = TimeDelta::try_seconds(columns.get("claimable_secs")?);
        let term = PolicyTerm::from_column(&columns, "term")?;
        let is_open = matches!(state, PolicyState::Pending | PolicyState::Open);
        let (cover, paid) = (columns.amount("cover")?, columns.amount("paid")?);
        let (worth, unmeasured): (U64, U64) = (columns.get("worth")?, columns.get("unmeasured")?);
        let unpaid = |booked: u64| {
            let left = booked.saturating_sub(paid.raw.0);
            Scaled::new(if is_open { left } else { 0 }, columns.decimals)
        };
        let (due, set_aside) = (unpaid(worth.0), unpaid(worth.0.max(unmeasured.0)));
        let peak = columns.drift("peak")?;
        let refund: Option<U64> = columns.get("refund")?;
        Ok(Self {
            key: columns.get("address")?,
            life: columns.get("life")?,
            vault: columns.get("vault")?,
            model: columns.get("model")?,
            model_version: columns.get("model_version")?,
            holder: columns.get("holder")?,
            id: columns.get("id")?,
            mint: columns.get("mint")?,
            decimals: columns.decimals,
            state,
            cover,
            paid,
            due,
            set_aside,
            peak: (0 < peak.raw.0).then_some(peak),
            examined_until: columns.get("examined_until")?,
            refund: refund.map(|U64(raw)| Scaled::new(raw, columns.decimals)),
            trigger: columns.drift("trigger")?,
            exhaustion: columns.drift("exhaustion")?,
            persistence: columns.get("persistence")?,
            first_window,
            last_window,
            covered_from: columns.window_start(Some(first_window.0))?,
            covered_until,
            expires_at: covered_until
                .zip(claimable)
                .and_then(|(end, claimable)| end.checked_add_signed(claimable)),
            windows,
            premium: columns.amount("premium")?,
            term,
            pending,
            auto_renew: columns.get("auto_renew")?,
            max_premium: columns.amount("max_premium")?,
            cancel_fee_bps: columns.get("cancel_fee_bps")?,
            event_count: columns.get("seq")?,
            created_at: columns.get("began_at")?,
            created_slot: columns.get("began_slot")?,
            ended_at: columns.get("ended_at")?,
            ended_slot: columns.get("ended_slot")?,
            closed: columns.is_closed()?,
            closed_slot: columns.get("ended_slot")?,
            slot: columns.get("slot")?,
            stale: columns.get("is_stale")?,
        })
    }
}

/// Selects policies (alias `m`) with their vaults and models.
fn select() -> String {
    format!(
        "select m.*, v.mint, v.decimals, k.genesis, k.window_secs,
                k.submit_secs + k.challenge_secs + k.ruling_secs + m.claim_grace_secs
                  as claimable_secs
         from chain.policy m {}
         join chain.model k on k.address = m.model and k.is_current
         where ",
        join_life("vault", "v", "m.vault", "m.life")
    )
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PolicyFilter {
    holder: Option<Key>,
    vault: Option<Key>,
    /// Not together with `holder`.
    model: Option<Key>,
    #[param(inline)]
    state: Option<PolicyState>,
}

/// Policies, newest first, those that have ended included: one item for each time that a policy was
/// created at an address.
#[utoipa::path(
    get,
    path = "/insurance/policies",
    tag = "insurance",
    params(ListQuery<PolicyFilter>, MinSlot),
    responses(
        (status = 200, body = Page<Policy>),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn list(
    query: ListQuery<PolicyFilter>,
    _permit: ExpensiveQueryPermit,
    mut snapshot: Snapshot,
) -> Result<Reply<Page<Policy>>, Problem> {
    let filter = &query.filter;
    refuse_if(
        filter.holder.is_some() && filter.model.is_some(),
        "give `holder` or `model`, not both",
    )?;
    let select = |sql: &mut QueryBuilder<Postgres>, part: &str| {
        sql.push(select()).push(part);
        push_equals(sql, "m.holder", filter.holder);
        push_equals(sql, "m.vault", filter.vault);
        push_equals(sql, "m.model", filter.model);
        push_equals(sql, "m.status", filter.state);
    };
    let parts = each_value::<PolicyState>("m.status", filter.state.is_some());
    let order = Order::descending(&["m.life", "m.address"]);
    let key = |policy: &Policy| (policy.life, policy.key);
    let page = query
        .pager("policies", snapshot.epoch())
        .fetch_merged(&mut snapshot.tx, "m", &parts, select, order, key)
        .await?;
    snapshot.reply(page).await
}

/// Policy with its payouts.
#[derive(Serialize, ToSchema)]
pub struct PolicyWithPayouts {
    #[serde(flatten)]
    policy: Policy,
    /// Payouts, oldest first.
    payouts: Vec<PolicyPayout>,
}

/// Payout for the highest run of consecutive windows in which drift had reached the trigger by then.
#[derive(Serialize, ToSchema)]
struct PolicyPayout {
    amount: Scaled,
    /// First window of the run.
    first_window: U64,
    /// Lowest drift of the run.
    value: Scaled,
    /// Token account that received the payout.
    destination: Key,
    /// Id of the event.
    event: EventId,
    slot: i64,
    time: Option<DateTime<Utc>>,
}

impl FromRow<'_, PgRow> for PolicyPayout {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let event: EventId = columns.get("event_id")?;
        Ok(Self {
            amount: columns.amount("amount")?,
            first_window: columns.get("first_window")?,
            value: columns.drift("value")?,
            destination: columns.get("destination")?,
            event,
            slot: event.slot(),
            time: columns.get("block_time")?,
        })
    }
}

/// Reads the policy at an address.
pub async fn find(
    db: &mut PgConnection,
    key: &Key,
    life: LifeFilter,
) -> Result<Option<PolicyWithPayouts>, sqlx::Error> {
    let mut sql = QueryBuilder::new(select() + "true");
    life.push(&mut sql, key);
    let policy: Option<Policy> = sql.build_query_as().fetch_optional(&mut *db).await?;
    let Some(policy) = policy else {
        return Ok(None);
    };
    let range = LifeRange::read(&mut *db, "policy", key, policy.life).await?;
    // There is at most one payout per window, so the list is short and needs no paging.
    let mut sql = QueryBuilder::new("select p.*, ");
    sql.push_bind(i16::from(policy.decimals))
        .push("::smallint as decimals from chain.policy_payout p where p.policy = ")
        .push_bind(*key);
    range.push(&mut sql, "p.event_id");
    sql.push(" order by p.event_id");
    let payouts = sql.build_query_as().fetch_all(db).await?;
    Ok(Some(PolicyWithPayouts { policy, payouts }))
}

/// The policy at an address, with its payouts.
#[utoipa::path(
    get,
    path = "/insurance/policies/{policy}",
    tag = "insurance",
    params(("policy" = Key, Path, description = "Address of the policy"), LifeFilter, MinSlot),
    responses(
        (status = 200, body = PolicyWithPayouts),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(
    InPath(key): InPath<Key>,
    InQuery(life): InQuery<LifeFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<PolicyWithPayouts>, Problem> {
    let policy = find(&mut snapshot.tx, &key, life)
        .await?
        .ok_or_else(|| Problem::not_found("policy", life.name(&key)))?;
    snapshot.reply(policy).await
}

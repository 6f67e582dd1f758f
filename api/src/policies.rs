//! Policies: cover on a model, its payouts, and its end.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    columns::Columns,
    extract::{ExpensiveQueryPermit, InPath, MinSlot},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    sql::{CREATED_SEQ, JOIN_CREATION, push_equals},
    state::AppState,
    values::{Key, Scaled, U64, from_decimal_string},
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
    pub key: String,
    pub vault: String,
    pub model: String,
    /// Version of the model when the policy was bought.
    pub model_version: i64,
    pub holder: String,
    /// Number chosen by the holder.
    pub id: U64,
    pub mint: String,
    /// Decimals of the mint.
    pub decimals: u8,
    pub state: PolicyState,
    /// Maximum of all payouts together.
    pub cover: Scaled,
    /// Sum of all payouts.
    pub paid: Scaled,
    /// Refunded premium; null unless the policy was cancelled.
    pub refund: Option<Scaled>,
    /// Drift from which the policy pays.
    pub trigger: Scaled,
    /// Drift from which the policy pays all of its cover.
    pub exhaustion: Scaled,
    /// Number of consecutive windows in which drift has to reach the trigger.
    pub persistence: i16,
    /// First covered window.
    pub first_window: U64,
    /// Last covered window.
    pub last_window: U64,
    /// Start of the first covered window.
    pub covered_from: Option<DateTime<Utc>>,
    /// End of the last covered window.
    pub covered_until: Option<DateTime<Utc>>,
    /// Time from which the policy can no longer be claimed.
    pub expires_at: Option<DateTime<Utc>>,
    /// Number of windows in a term.
    pub windows: U64,
    /// Sum of all premiums paid.
    pub premium: Scaled,
    /// Term of the latest purchase or renewal.
    pub term: PolicyTerm,
    /// Term before `term`; null if the policy was never renewed.
    pub previous_term: Option<PolicyTerm>,
    /// Whether anyone may renew the policy at the holder's expense.
    pub auto_renew: bool,
    /// Maximum premium of a renewal.
    pub max_premium: Scaled,
    /// Part of a cancellation's refund that the vault keeps.
    pub cancel_fee_bps: i32,
    /// Number of events that reference the policy.
    pub event_count: U64,
    /// Time of the purchase; null if it is older than the mirror's history.
    pub created_at: Option<DateTime<Utc>>,
    pub created_slot: Option<i64>,
    /// Time at which the policy was paid in full, cancelled or expired; null before.
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_slot: Option<i64>,
    /// Whether the account is closed on chain. If so, `state`, `paid` and `refund` are final, and
    /// the other fields are from before the closure.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
    /// Sequence number of the purchase; 0 if it is older than the mirror's history.
    #[serde(skip)]
    created_seq: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum PolicyState {
    /// The policy can be claimed.
    Open,
    /// All cover was paid.
    Paid,
    /// The holder cancelled the policy.
    Cancelled,
    /// The policy ended with cover left.
    Expired,
}

/// Vault's part of a premium, and the time over which it streams to the vault.
#[derive(Serialize, ToSchema)]
pub struct PolicyTerm {
    pub streamed: Scaled,
    pub start: Option<DateTime<Utc>>,
    /// End of the last window that the premium pays for.
    pub end: Option<DateTime<Utc>>,
}

/// A term as the mirror holds it.
#[derive(Deserialize)]
struct MirroredTerm {
    part: U64,
    #[serde(deserialize_with = "from_decimal_string")]
    start: i64,
    #[serde(deserialize_with = "from_decimal_string")]
    end: i64,
}

impl PolicyTerm {
    /// `None` if the term is unset: all zeros.
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
        let policy = Columns::new(row)?;
        let state: PolicyState = policy.get("final_state")?;
        let (first_window, last_window): (U64, U64) =
            (policy.get("first_window")?, policy.get("last_window")?);
        let covered_until = policy.window_start(last_window.0.checked_add(1))?;
        let claimable = TimeDelta::try_seconds(policy.get("claimable_secs")?);
        let term = PolicyTerm::from_column(&policy, "term")?;
        Ok(Self {
            key: policy.get("address")?,
            vault: policy.get("vault")?,
            model: policy.get("model")?,
            model_version: policy.get("model_version")?,
            holder: policy.get("holder")?,
            id: policy.get("id")?,
            mint: policy.get("mint")?,
            decimals: policy.decimals,
            state,
            cover: policy.amount("cover")?,
            paid: policy.amount("final_paid")?,
            refund: (state == PolicyState::Cancelled)
                .then(|| policy.amount("refund"))
                .transpose()?,
            trigger: policy.drift("trigger")?,
            exhaustion: policy.drift("exhaustion")?,
            persistence: policy.get("persistence")?,
            first_window,
            last_window,
            covered_from: policy.window_start(Some(first_window.0))?,
            covered_until,
            expires_at: covered_until
                .zip(claimable)
                .and_then(|(end, claimable)| end.checked_add_signed(claimable)),
            windows: policy.get("windows")?,
            premium: policy.amount("premium")?,
            term: term.ok_or_else(|| sqlx::Error::ColumnNotFound("term".to_owned()))?,
            previous_term: PolicyTerm::from_column(&policy, "previous_term")?,
            auto_renew: policy.get("auto_renew")?,
            max_premium: policy.amount("max_premium")?,
            cancel_fee_bps: policy.get("cancel_fee_bps")?,
            event_count: policy.get("seq")?,
            created_at: policy.get("created_at")?,
            created_slot: policy.get("created_slot")?,
            ended_at: policy.get("ended_at")?,
            ended_slot: policy.get("ended_slot")?,
            closed: policy.is_closed()?,
            closed_slot: policy.get("closed_slot")?,
            slot: policy.get("slot")?,
            created_seq: policy.get("created_seq")?,
        })
    }
}

/// Query for policies as `m`, each with its end. The end is taken from the event: if an account is
/// paid in full and closed in the same slot, the mirror never sees it as paid.
fn select() -> String {
    format!(
        "select m.* from (
           select m.*, v.mint, v.decimals, k.genesis, k.window_secs,
                  k.submit_secs + k.challenge_secs + k.ruling_secs + m.claim_grace_secs
                    as claimable_secs,
                  {CREATED_SEQ} as created_seq,
                  creation.slot as created_slot, creation.block_time as created_at,
                  e.slot as ended_slot, e.block_time as ended_at, e.refund,
                  coalesce(e.state, 'open') as final_state,
                  coalesce(e.paid, m.paid) as final_paid
           from chain.policy m
           join chain.vault v on v.address = m.vault
           join chain.model k on k.address = m.model {JOIN_CREATION}
           left join lateral (
             select * from chain.policy_end e
             where e.policy = m.address and e.seq >= {CREATED_SEQ}
             order by e.seq desc limit 1) e on true
         ) m where true"
    )
}

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PolicyFilter {
    holder: Option<Key>,
    vault: Option<Key>,
    model: Option<Key>,
    #[param(inline)]
    state: Option<PolicyState>,
}

/// Policies, newest first.
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
    let mut sql = QueryBuilder::new(select());
    for (column, key) in [
        ("m.holder", &filter.holder),
        ("m.vault", &filter.vault),
        ("m.model", &filter.model),
    ] {
        push_equals(&mut sql, column, key.as_ref().map(Key::as_str));
    }
    push_equals(&mut sql, "m.final_state", filter.state);
    let order = Order::descending(&["m.created_seq", "m.address"]);
    let page = query
        .pager("policies")
        .fetch(&mut snapshot.tx, sql, order, |policy: &Policy| {
            (policy.created_seq, policy.key.clone())
        })
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

/// Payout for a run of consecutive windows in which drift reached the trigger.
#[derive(Serialize, ToSchema)]
struct PolicyPayout {
    amount: Scaled,
    /// First window of the run.
    first_window: U64,
    /// Lowest drift of the run.
    value: Scaled,
    /// Token account that received the payout.
    destination: String,
    /// Sequence number of the event.
    seq: i64,
    slot: i64,
    time: Option<DateTime<Utc>>,
}

impl FromRow<'_, PgRow> for PolicyPayout {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let payout = Columns::new(row)?;
        Ok(Self {
            amount: payout.amount("amount")?,
            first_window: payout.get("first_window")?,
            value: payout.drift("value")?,
            destination: payout.get("destination")?,
            seq: payout.get("seq")?,
            slot: payout.get("slot")?,
            time: payout.get("block_time")?,
        })
    }
}

/// Reads the latest policy at an address. The address of a closed policy can be used again.
pub async fn find(
    db: &mut PgConnection,
    key: &Key,
) -> Result<Option<PolicyWithPayouts>, sqlx::Error> {
    let policy: Option<Policy> = sqlx::query_as(&format!("{} and m.address = $1", select()))
        .bind(key.as_str())
        .fetch_optional(&mut *db)
        .await?;
    let Some(policy) = policy else {
        return Ok(None);
    };
    // There is at most one payout per window, so the list is short and needs no paging.
    let payouts = sqlx::query_as(
        "select p.*, v.decimals
         from chain.policy_payout p join chain.vault v on v.address = p.vault
         where p.policy = $1 and $2 <= p.seq
         order by p.seq",
    )
    .bind(key.as_str())
    .bind(policy.created_seq)
    .fetch_all(db)
    .await?;
    Ok(Some(PolicyWithPayouts { policy, payouts }))
}

/// The policy at an address, with its payouts.
#[utoipa::path(
    get,
    path = "/insurance/policies/{policy}",
    tag = "insurance",
    params(("policy" = Key, Path, description = "Address of the policy"), MinSlot),
    responses(
        (status = 200, body = PolicyWithPayouts),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(
    InPath(key): InPath<Key>,
    mut snapshot: Snapshot,
) -> Result<Reply<PolicyWithPayouts>, Problem> {
    let policy = find(&mut snapshot.tx, &key)
        .await?
        .ok_or_else(|| Problem::not_found("policy", &key))?;
    snapshot.reply(policy).await
}

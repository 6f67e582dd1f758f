//! Policies: cover on a model, with its payouts and its end.

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
    /// Time at which the whole cover was paid, or the policy was cancelled or expired; null before.
    pub ended_at: Option<DateTime<Utc>>,
    pub ended_slot: Option<i64>,
    /// Whether the account is closed on chain. If so, `state`, `paid`, `refund`, `ended_at` and
    /// `ended_slot` are final, `closed_slot` and `slot` are those of the closure, and the other
    /// fields are from before the closure.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
    /// Mirror-wide `seq` of the purchase; 0 if the mirror does not have that event.
    #[serde(skip)]
    created_seq: i64,
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
        let state: PolicyState = columns.get("final_state")?;
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
        let (cover, paid) = (columns.amount("cover")?, columns.amount("final_paid")?);
        let (worth, unmeasured): (U64, U64) = (columns.get("worth")?, columns.get("unmeasured")?);
        let unpaid = |booked: u64| {
            let left = booked.saturating_sub(paid.raw.0);
            Scaled::new(if is_open { left } else { 0 }, columns.decimals)
        };
        let (due, set_aside) = (unpaid(worth.0), unpaid(worth.0.max(unmeasured.0)));
        let peak = columns.drift("peak")?;
        Ok(Self {
            key: columns.get("address")?,
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
            refund: (!is_open).then(|| columns.amount("refund")).transpose()?,
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
            created_at: columns.get("created_at")?,
            created_slot: columns.get("created_slot")?,
            ended_at: columns.get("ended_at")?,
            ended_slot: columns.get("ended_slot")?,
            closed: columns.is_closed()?,
            closed_slot: columns.get("closed_slot")?,
            slot: columns.get("slot")?,
            created_seq: columns.get("created_seq")?,
        })
    }
}

/// Selects policies (alias `m`) with their ends. An end comes from its event: the instruction that
/// ends a policy closes the account, so the mirror never receives the account's last state.
fn select() -> String {
    format!(
        "select m.* from (
           select m.*, v.mint, v.decimals, k.genesis, k.window_secs,
                  k.submit_secs + k.challenge_secs + k.ruling_secs + m.claim_grace_secs
                    as claimable_secs,
                  {CREATED_SEQ} as created_seq,
                  creation.slot as created_slot, creation.block_time as created_at,
                  e.slot as ended_slot, e.block_time as ended_at, e.refund,
                  coalesce(e.state, case when m.last_window < m.first_window
                    then 'pending' else 'open' end) as final_state,
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

/// Payout for the highest run of consecutive windows in which drift had reached the trigger by then.
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
        let columns = Columns::new(row)?;
        Ok(Self {
            amount: columns.amount("amount")?,
            first_window: columns.get("first_window")?,
            value: columns.drift("value")?,
            destination: columns.get("destination")?,
            seq: columns.get("seq")?,
            slot: columns.get("slot")?,
            time: columns.get("block_time")?,
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

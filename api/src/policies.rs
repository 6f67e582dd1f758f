//! Policies: cover on a model, with its payouts and its end.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    event_id::EventId,
    extract::{InPath, InQuery, MinSlot},
    lives::{LifeFilter, LifeRange, join_life},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    rows::{AccountColumns, Token, WindowColumns, drift, select_by_row, time},
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
    fn new(term: MirroredPending, token: Token) -> Option<Self> {
        (term.premium.0 != 0).then(|| Self {
            premium: token.amount(term.premium),
            start: time(term.start),
            end: time(term.end),
            from_window: term.from_window,
        })
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
    fn new(term: MirroredTerm, token: Token) -> Option<Self> {
        (term.end != 0).then(|| Self {
            streamed: token.amount(term.part),
            start: time(term.start),
            end: time(term.end),
        })
    }
}

/// Row of `chain.policy`, with columns of its vault and model.
#[derive(FromRow)]
struct PolicyRow {
    #[sqlx(flatten)]
    account: AccountColumns,
    #[sqlx(flatten)]
    token: Token,
    #[sqlx(flatten)]
    model_windows: WindowColumns,
    claimable_secs: i64,
    mint: Key,
    status: PolicyState,
    refund: Option<U64>,
    vault: Key,
    model: Key,
    holder: Key,
    id: U64,
    cover: U64,
    paid: U64,
    trigger: U64,
    exhaustion: U64,
    premium: U64,
    max_premium: U64,
    examined_until: U64,
    peak: U64,
    worth: U64,
    unmeasured: U64,
    first_window: U64,
    last_window: U64,
    windows: U64,
    #[sqlx(json)]
    pending: MirroredPending,
    #[sqlx(json)]
    term: MirroredTerm,
    model_version: i64,
    cancel_fee_bps: i32,
    persistence: i16,
    auto_renew: bool,
}

select_by_row!(Policy, PolicyRow);

impl PolicyRow {
    /// Part of what the policy is booked for that it has not paid; 0 once it has ended.
    fn unpaid(&self, booked: u64) -> Scaled {
        let is_open = matches!(self.status, PolicyState::Pending | PolicyState::Open);
        let left = booked.saturating_sub(self.paid.0);
        self.token.amount(U64(if is_open { left } else { 0 }))
    }

    /// End of the last covered window, or of the last one of the term on probation.
    fn covered_until(&self) -> Option<DateTime<Utc>> {
        let is_on_probation = self.pending.premium.0 != 0;
        let waiting = if is_on_probation { self.windows.0 } else { 0 };
        let after_last = self.last_window.0.checked_add(1)?.checked_add(waiting);
        self.model_windows.start(after_last)
    }
}

impl From<PolicyRow> for Policy {
    fn from(row: PolicyRow) -> Self {
        let token = row.token;
        let covered_until = row.covered_until();
        let claimable = TimeDelta::try_seconds(row.claimable_secs);
        Self {
            due: row.unpaid(row.worth.0),
            set_aside: row.unpaid(row.worth.0.max(row.unmeasured.0)),
            key: row.account.address,
            life: row.account.life,
            vault: row.vault,
            model: row.model,
            model_version: row.model_version,
            holder: row.holder,
            id: row.id,
            mint: row.mint,
            decimals: token.decimals,
            state: row.status,
            cover: token.amount(row.cover),
            paid: token.amount(row.paid),
            peak: (row.peak.0 != 0).then(|| drift(row.peak)),
            examined_until: row.examined_until,
            refund: row.refund.map(|refund| token.amount(refund)),
            trigger: drift(row.trigger),
            exhaustion: drift(row.exhaustion),
            persistence: row.persistence,
            first_window: row.first_window,
            last_window: row.last_window,
            covered_from: row.model_windows.start(Some(row.first_window.0)),
            covered_until,
            expires_at: covered_until
                .zip(claimable)
                .and_then(|(end, claimable)| end.checked_add_signed(claimable)),
            windows: row.windows,
            premium: token.amount(row.premium),
            term: PolicyTerm::new(row.term, token),
            pending: PendingTerm::new(row.pending, token),
            auto_renew: row.auto_renew,
            max_premium: token.amount(row.max_premium),
            cancel_fee_bps: row.cancel_fee_bps,
            event_count: row.account.seq,
            created_at: row.account.began_at,
            created_slot: row.account.began_slot,
            ended_at: row.account.ended_at,
            ended_slot: row.account.ended_slot,
            closed: row.account.is_closed(),
            closed_slot: row.account.ended_slot,
            slot: row.account.slot,
            stale: row.account.is_stale,
        }
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

/// Row of `chain.policy_payout`.
#[derive(FromRow)]
struct PayoutRow {
    event_id: EventId,
    block_time: Option<DateTime<Utc>>,
    destination: Key,
    first_window: U64,
    value: U64,
    amount: U64,
    #[sqlx(flatten)]
    token: Token,
}

select_by_row!(PolicyPayout, PayoutRow);

impl From<PayoutRow> for PolicyPayout {
    fn from(row: PayoutRow) -> Self {
        Self {
            amount: row.token.amount(row.amount),
            first_window: row.first_window,
            value: drift(row.value),
            destination: row.destination,
            event: row.event_id,
            slot: row.event_id.slot(),
            time: row.block_time,
        }
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

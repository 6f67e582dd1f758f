//! Receipts: the row counts of one window of a model, and the drift computed from them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::{Hash, Key, Signature, none_if_unset},
    event_id::EventId,
    extract::{InPath, InQuery, MinSlot},
    lives::{LifeFilter, LifeRange},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
    rows::{AccountColumns, Token, WindowColumns, drift, select_by_row, time, time_if_set},
    sql::push_equals,
    state::AppState,
    values::{Scaled, U64},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(one))
}

/// Row counts of one window of a model, and the drift computed from them. Amounts are in the
/// model's bond mint.
#[derive(Serialize, ToSchema)]
pub struct Receipt {
    /// Address of the receipt's account.
    pub key: Key,
    /// Event that created the account: each time that a receipt is created at the address, it has
    /// another `life`. The item with the highest one is current. 0 if the mirror does not have the
    /// event.
    pub life: EventId,
    pub model: Key,
    pub window: U64,
    pub window_start: Option<DateTime<Utc>>,
    pub window_end: Option<DateTime<Utc>>,
    /// Version of the model when the receipt was created.
    pub version: i64,
    /// `collecting`, `proposed`, `challenged`, `final`, `void` or `thin`.
    #[schema(example = "final")]
    pub state: String,
    /// Time at which the receipt entered its state.
    pub since: Option<DateTime<Utc>>,
    /// Median of the values submitted so far, or value of the ruling; null if there is none, or if
    /// the receipt is void or thin.
    pub value: Option<Scaled>,
    /// Pay for the window, which the oracles that agree with the final value share.
    pub pay: Scaled,
    /// Submissions, in the model's order of oracles.
    pub submissions: Vec<Submission>,
    /// Key that challenged with a bond; null if nobody did.
    pub challenger: Option<Key>,
    /// Drift of the challenger's counts; null if nobody challenged, or if they are thin.
    pub asserted: Option<Scaled>,
    /// Amount that the challenger can collect.
    pub challenger_credit: Scaled,
    /// Amount that the treasury can collect.
    pub treasury_credit: Scaled,
    /// Amount that a ruling slashed and that the admin can still return.
    pub held: Scaled,
    /// Part of `held` that the challenger gets unless it is returned.
    pub reward: Scaled,
    /// End of the time in which `held` can be returned; null if nothing is held.
    pub appeal_until: Option<DateTime<Utc>>,
    /// Key that paid the rent.
    pub payer: Key,
    /// Number of events that reference the receipt.
    pub event_count: U64,
    /// Whether the account is closed on chain: it is when the window is settled, nothing is held and
    /// no credit is left.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// Slot of this state.
    pub slot: i64,
    /// Whether the account has newer content that this version cannot decode.
    pub stale: bool,
}

/// Submission of one oracle.
#[derive(Serialize, ToSchema)]
pub struct Submission {
    /// Index of the oracle in the model, as of the receipt's version.
    pub index: u8,
    /// Drift that the program computed from the counts; null if they are thin, that is, fewer than
    /// the model's `min_samples`.
    pub value: Option<Scaled>,
    /// Number of rows counted.
    pub samples: U64,
    /// Whether the oracle earned an equal part of the receipt's `pay`; false until the receipt is
    /// final.
    pub earned: bool,
    /// SHA-256 of the evidence document; null if there is none.
    pub evidence_hash: Option<Hash>,
    /// Event of the submission; null in lists, and if this event or an earlier submission of the
    /// receipt may be missing from the mirror's history.
    #[serde(rename = "told")]
    pub event: Option<SubmissionEvent>,
}

/// Data of a `ReceiptSubmitted` event.
#[derive(Serialize, ToSchema)]
#[schema(as = Told)]
pub struct SubmissionEvent {
    pub oracle: String,
    /// Row counts by bin.
    pub counts: Vec<i64>,
    pub evidence_uri: String,
    /// Signature of the transaction.
    pub signature: Signature,
    pub id: EventId,
    pub slot: i64,
    pub time: Option<DateTime<Utc>>,
}

/// Row of `chain.receipt`, with columns of its model.
#[derive(FromRow)]
struct ReceiptRow {
    #[sqlx(flatten)]
    account: AccountColumns,
    #[sqlx(flatten)]
    token: Token,
    #[sqlx(flatten)]
    windows: WindowColumns,
    status: String,
    model: Key,
    payer: Key,
    challenger: Key,
    evidence: Vec<Hash>,
    window: U64,
    values: Vec<U64>,
    samples: Vec<U64>,
    value: U64,
    since: i64,
    asserted: U64,
    held: Vec<U64>,
    reward: U64,
    appeal_until: i64,
    challenger_credit: U64,
    treasury_credit: U64,
    pay: U64,
    version: i64,
    submitted: i16,
    earners: i16,
    thin: i16,
    asserts_thin: bool,
}

select_by_row!(Receipt, ReceiptRow);

impl From<ReceiptRow> for Receipt {
    fn from(row: ReceiptRow) -> Self {
        let submissions = row.submissions();
        let (account, token) = (row.account, row.token);
        let challenger = none_if_unset(row.challenger);
        let held = row
            .held
            .iter()
            .fold(0, |sum: u64, held| sum.saturating_add(held.0));
        let has_value = match row.status.as_str() {
            "final" => true,
            "void" | "thin" => false,
            _ => submissions
                .iter()
                .any(|submission| submission.value.is_some()),
        };
        Self {
            key: account.address,
            life: account.life,
            model: row.model,
            window: row.window,
            window_start: row.windows.start(Some(row.window.0)),
            window_end: row.windows.start(row.window.0.checked_add(1)),
            version: row.version,
            state: row.status,
            since: time(row.since),
            value: has_value.then(|| drift(row.value)),
            pay: token.amount(row.pay),
            submissions,
            challenger,
            asserted: (challenger.is_some() && !row.asserts_thin).then(|| drift(row.asserted)),
            challenger_credit: token.amount(account.unless_closed(row.challenger_credit)),
            treasury_credit: token.amount(account.unless_closed(row.treasury_credit)),
            held: token.amount(account.unless_closed(U64(held))),
            reward: token.amount(account.unless_closed(row.reward)),
            appeal_until: time_if_set(row.appeal_until).filter(|_| !account.is_closed()),
            payer: row.payer,
            event_count: account.seq,
            closed: account.is_closed(),
            closed_slot: account.ended_slot,
            slot: account.slot,
            stale: account.is_stale,
        }
    }
}

impl ReceiptRow {
    fn submissions(&self) -> Vec<Submission> {
        let by_oracle = self.values.iter().zip(&self.samples).zip(&self.evidence);
        let has = |bits: i16, index: u8| bits & (1 << index) != 0;
        (0..)
            .zip(by_oracle)
            .filter(|(index, _)| has(self.submitted, *index))
            .map(|(index, ((value, samples), hash))| Submission {
                index,
                value: (!has(self.thin, index)).then(|| drift(*value)),
                samples: *samples,
                earned: has(self.earners, index),
                evidence_hash: none_if_unset(*hash),
                event: None,
            })
            .collect()
    }
}

/// Selects receipts (alias `m`).
const SELECT: &str = "select m.*, model.genesis, model.window_secs, c.decimals
    from chain.receipt m
    join chain.model model on model.address = m.model and model.is_current
    join chain.collateral c on c.mint = model.bond_mint and c.is_current
    where true";

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReceiptFilter {
    #[param(inline)]
    state: Option<ReceiptState>,
}

#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum ReceiptState {
    Collecting,
    Proposed,
    Challenged,
    Final,
    Void,
    Thin,
}

/// Receipts of `model`, latest window first.
pub async fn of_model(
    snapshot: &mut Snapshot,
    model: &Key,
    query: &ListQuery<ReceiptFilter>,
) -> Result<Page<Receipt>, Problem> {
    let mut sql = QueryBuilder::new(SELECT);
    sql.push(" and m.model = ").push_bind(*model);
    push_equals(&mut sql, "m.status", query.filter.state);
    let order = Order::descending(&["m.\"window\"", "m.life"]);
    let key = |receipt: &Receipt| (receipt.window, receipt.life);
    query
        .pager(("receipts", model), snapshot.epoch())
        .fetch(&mut snapshot.tx, sql, order, key)
        .await
}

/// The receipt at an address, with the event of each submission.
#[utoipa::path(
    get,
    path = "/receipts/{receipt}",
    tag = "receipts",
    params(("receipt" = Key, Path, description = "Address of the receipt"), LifeFilter, MinSlot),
    responses(
        (status = 200, body = Receipt),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(
    InPath(key): InPath<Key>,
    InQuery(life): InQuery<LifeFilter>,
    mut snapshot: Snapshot,
) -> Result<Reply<Receipt>, Problem> {
    let mut sql = QueryBuilder::new(SELECT);
    life.push(&mut sql, &key);
    let mut receipt: Receipt = sql
        .build_query_as()
        .fetch_optional(&mut *snapshot.tx)
        .await?
        .ok_or_else(|| Problem::not_found("receipt", life.name(&key)))?;
    let range = LifeRange::read(&mut snapshot.tx, "receipt", &key, receipt.life).await?;
    for (index, event) in submission_events(&mut snapshot.tx, &key, range).await? {
        let is_of_oracle = |submission: &&mut Submission| submission.index == index;
        if let Some(submission) = receipt.submissions.iter_mut().find(is_of_oracle) {
            submission.event = Some(event);
        }
    }
    snapshot.reply(receipt).await
}

#[derive(FromRow)]
struct SubmissionRow {
    id: EventId,
    slot: i64,
    block_time: Option<DateTime<Utc>>,
    signature: Signature,
    oracle: String,
    counts: Vec<i64>,
    evidence_uri: String,
    submitted: i32,
}

/// Reads the events of a receipt's submissions, each with the index of its oracle.
async fn submission_events(
    db: &mut PgConnection,
    receipt: &Key,
    range: LifeRange,
) -> Result<Vec<(u8, SubmissionEvent)>, sqlx::Error> {
    let mut sql = QueryBuilder::new(
        "select e.id, e.slot, e.block_time, e.signature, e.body->>'oracle' as oracle,
                array(select jsonb_array_elements_text(e.body->'counts')::bigint) as counts,
                e.body->>'evidence_uri' as evidence_uri, (e.body->>'submitted')::int as submitted
         from chain.event_account a join chain.event e on e.id = a.event_id
         where e.name = 'ReceiptSubmitted' and a.account = ",
    );
    sql.push_bind(*receipt);
    range.push(&mut sql, "a.event_id");
    sql.push(" order by a.event_id");
    let rows: Vec<SubmissionRow> = sql.build_query_as().fetch_all(db).await?;
    // `submitted` is the bit set of all oracles that have submitted so far, so an event's oracle is
    // the bit that it adds.
    let mut submitted_before = 0;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let added = row.submitted & !std::mem::replace(&mut submitted_before, row.submitted);
            let index = u8::try_from(added.trailing_zeros()).ok()?;
            // More than one added bit: an earlier event is missing, so the oracle is unknown.
            (added.count_ones() == 1).then_some((
                index,
                SubmissionEvent {
                    oracle: row.oracle,
                    counts: row.counts,
                    evidence_uri: row.evidence_uri,
                    signature: row.signature,
                    id: row.id,
                    slot: row.slot,
                    time: row.block_time,
                },
            ))
        })
        .collect())
}

//! Receipts: the row counts of one window of a model, and the drift computed from them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::{Hash, Key, Signature, none_if_unset},
    columns::Columns,
    event_id::EventId,
    extract::{InPath, InQuery, MinSlot},
    lives::{LifeFilter, LifeRange},
    mirror::Snapshot,
    page::{ListQuery, Order, Page},
    problem::{Problem, ProblemBody},
    reply::Reply,
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

impl FromRow<'_, PgRow> for Receipt {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let columns = Columns::new(row)?;
        let state: String = columns.get("status")?;
        let window: U64 = columns.get("window")?;
        let value = columns.drift("value")?;
        let submissions = submissions(&columns)?;
        let challenger = none_if_unset::<Key>(columns.get("challenger")?);
        let held = columns
            .get::<Vec<U64>>("held")?
            .iter()
            .map(|held| held.0)
            .sum();
        let is_closed = columns.is_closed()?;
        let has_value = submissions
            .iter()
            .any(|submission| submission.value.is_some());
        let is_valid = match state.as_str() {
            "final" => true,
            "void" | "thin" => false,
            _ => has_value,
        };
        Ok(Self {
            key: columns.get("address")?,
            life: columns.get("life")?,
            model: columns.get("model")?,
            window,
            window_start: columns.window_start(Some(window.0))?,
            window_end: columns.window_start(window.0.checked_add(1))?,
            version: columns.get("version")?,
            since: columns.time("since")?,
            value: is_valid.then_some(value),
            state,
            pay: columns.amount("pay")?,
            submissions,
            asserted: (challenger.is_some() && !columns.get::<bool>("asserts_thin")?)
                .then_some(columns.drift("asserted")?),
            challenger,
            challenger_credit: columns.amount_unless_closed("challenger_credit")?,
            treasury_credit: columns.amount_unless_closed("treasury_credit")?,
            held: Scaled::new(if is_closed { 0 } else { held }, columns.decimals),
            reward: columns.amount_unless_closed("reward")?,
            appeal_until: columns
                .time("appeal_until")?
                .filter(|time| !is_closed && time.timestamp() != 0),
            payer: columns.get("payer")?,
            event_count: columns.get("seq")?,
            closed: is_closed,
            closed_slot: columns.get("ended_slot")?,
            slot: columns.get("slot")?,
            stale: columns.get("is_stale")?,
        })
    }
}

fn submissions(columns: &Columns) -> Result<Vec<Submission>, sqlx::Error> {
    let submitted: i16 = columns.get("submitted")?;
    let thin: i16 = columns.get("thin")?;
    let earners: i16 = columns.get("earners")?;
    let values: Vec<U64> = columns.get("values")?;
    let samples: Vec<U64> = columns.get("samples")?;
    let evidence: Vec<Hash> = columns.get("evidence")?;
    let by_oracle = values.into_iter().zip(samples).zip(evidence);
    Ok((0..)
        .zip(by_oracle)
        .filter(|(index, _)| submitted & (1 << index) != 0)
        .map(|(index, ((U64(value), samples), hash))| Submission {
            index,
            value: (thin & (1 << index) == 0).then(|| Scaled::drift(value)),
            samples,
            earned: earners & (1 << index) != 0,
            evidence_hash: none_if_unset(hash),
            event: None,
        })
        .collect())
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

//! Receipts: what was counted in one window of a model, and the drift that follows.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgConnection, QueryBuilder, postgres::PgRow};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    page::{self, Limit, List, Page},
    problem::{Problem, ProblemBody},
    read::{InPath, MinSlot, Read, Reply},
    values::{Columns, Key, Scaled, U64, unless_zeros},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(one))
}

/// The measurement of one window. Amounts are in the model's bond mint.
#[derive(Serialize, ToSchema)]
pub struct Receipt {
    pub key: String,
    pub model: String,
    pub window: U64,
    pub window_start: Option<DateTime<Utc>>,
    pub window_end: Option<DateTime<Utc>>,
    /// The model's version when the receipt was made.
    pub version: i64,
    /// `collecting`, `proposed`, `challenged`, `final` or `void`.
    #[schema(example = "final")]
    pub state: String,
    /// When the state began.
    pub since: Option<DateTime<Utc>>,
    /// The median of the submissions, or the ruling's value; null where the receipt is void.
    pub value: Option<Scaled>,
    /// One an oracle that has submitted, in the model's order.
    pub submissions: Vec<Submission>,
    /// Who put up a bond against the value; null where nobody did.
    pub challenger: Option<String>,
    /// What the challenger can collect.
    pub challenger_credit: Scaled,
    /// What the treasury can collect.
    pub treasury_credit: Scaled,
    /// Paid the rent.
    pub payer: String,
    /// Number of events that spoke of it.
    pub event_count: U64,
    /// Whether the account is gone from the chain: this is how it was last seen.
    pub closed: bool,
    pub closed_slot: Option<i64>,
    /// The slot that this state is from.
    pub slot: i64,
}

/// What one oracle counted.
#[derive(Serialize, ToSchema)]
pub struct Submission {
    /// Position of the oracle in the model of the receipt's version.
    pub index: u8,
    /// The drift that the program computed from the counts.
    pub value: Scaled,
    /// Rows counted.
    pub samples: U64,
    /// SHA-256 of the evidence document; null where there is none.
    pub evidence_hash: Option<String>,
    /// What the oracle told. Null in lists, and where the history doesn't reach back so far.
    pub told: Option<Told>,
}

/// Of an event `ReceiptSubmitted`.
#[derive(Serialize, ToSchema)]
pub struct Told {
    pub oracle: String,
    /// Rows by bin.
    pub counts: Vec<i64>,
    pub evidence_uri: String,
    pub signature: String,
    pub seq: i64,
    pub slot: i64,
    pub time: Option<DateTime<Utc>>,
}

impl FromRow<'_, PgRow> for Receipt {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let receipt = Columns::new(row)?;
        let state: String = receipt.get("state")?;
        let window: U64 = receipt.get("window")?;
        let value = receipt.drift("value")?;
        Ok(Self {
            key: receipt.get("address")?,
            model: receipt.get("model")?,
            window,
            window_start: receipt.window_start(Some(window.0))?,
            window_end: receipt.window_start(window.0.checked_add(1))?,
            version: receipt.get("version")?,
            since: receipt.time("since")?,
            value: (state != "void").then_some(value),
            state,
            submissions: submissions(&receipt)?,
            challenger: unless_zeros(receipt.get("challenger")?),
            challenger_credit: receipt.amount("challenger_credit")?,
            treasury_credit: receipt.amount("treasury_credit")?,
            payer: receipt.get("payer")?,
            event_count: receipt.get("seq")?,
            closed: receipt.closed()?,
            closed_slot: receipt.get("closed_slot")?,
            slot: receipt.get("slot")?,
        })
    }
}

fn submissions(receipt: &Columns) -> Result<Vec<Submission>, sqlx::Error> {
    let submitted: i16 = receipt.get("submitted")?;
    let values: Vec<U64> = receipt.get("values")?;
    let samples: Vec<U64> = receipt.get("samples")?;
    let evidence: Vec<String> = receipt.get("evidence")?;
    let by_oracle = values.into_iter().zip(samples).zip(evidence);
    Ok((0..)
        .zip(by_oracle)
        .filter(|(index, _)| submitted & (1 << index) != 0)
        .map(|(index, ((U64(value), samples), hash))| Submission {
            index,
            value: Scaled::drift(value),
            samples,
            evidence_hash: hash.bytes().any(|digit| digit != b'0').then_some(hash),
            told: None,
        })
        .collect())
}

const SELECT: &str = "select r.*, m.genesis, m.window_secs, c.decimals
    from chain.receipt r
    join chain.model m on m.address = r.model
    join chain.collateral c on c.mint = m.bond_mint
    where ";

#[derive(Deserialize, Serialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    #[param(inline)]
    state: Option<State>,
    /// Where the last page ended.
    #[serde(serialize_with = "page::unnamed")]
    cursor: Option<String>,
    #[serde(serialize_with = "page::unnamed", default)]
    #[param(value_type = Option<Limit>)]
    limit: Limit,
}

#[derive(Clone, Copy, Deserialize, Serialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum State {
    Collecting,
    Proposed,
    Challenged,
    Final,
    Void,
}

/// The receipts of `model`, the latest window first.
pub async fn of_model(
    db: &mut PgConnection,
    model: &Key,
    query: &ListQuery,
) -> Result<Page<Receipt>, Problem> {
    let list = List::new("receipts", &(model, query));
    let mut sql = QueryBuilder::new(SELECT);
    sql.push("r.model = ").push_bind(model.as_str());
    if let Some(state) = query.state {
        sql.push(" and r.state = ").push_bind(state);
    }
    if let Some(window) = list.key::<u64>(query.cursor.as_deref())? {
        sql.push(" and r.\"window\" < ").push_bind(U64(window));
    }
    sql.push(" order by r.\"window\" desc limit ")
        .push_bind(query.limit.rows());
    let receipts: Vec<Receipt> = sql.build_query_as().fetch_all(db).await?;
    Ok(Page::new(receipts, query.limit, &list, |receipt| {
        receipt.window.0
    }))
}

/// One receipt, with what each oracle told.
#[utoipa::path(
    get,
    path = "/receipts/{receipt}",
    tag = "receipts",
    params(("receipt" = Key, Path, description = "Its address"), MinSlot),
    responses(
        (status = 200, body = Receipt),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn one(InPath(key): InPath<Key>, mut read: Read) -> Result<Reply<Receipt>, Problem> {
    let mut receipt: Receipt = sqlx::query_as(&format!("{SELECT} r.address = $1"))
        .bind(key.as_str())
        .fetch_optional(&mut *read.tx)
        .await?
        .ok_or_else(|| Problem::missing("receipt", &key))?;
    for (index, told) in told(&mut read.tx, &key).await? {
        let of_oracle = |submission: &&mut Submission| submission.index == index;
        if let Some(submission) = receipt.submissions.iter_mut().find(of_oracle) {
            submission.told = Some(told);
        }
    }
    read.reply(receipt).await
}

#[derive(FromRow)]
struct Submitted {
    seq: i64,
    slot: i64,
    block_time: Option<DateTime<Utc>>,
    signature: String,
    oracle: String,
    counts: Vec<i64>,
    evidence_uri: String,
    submitted: i32,
}

/// What oracles told of a receipt, by the index of the oracle.
async fn told(db: &mut PgConnection, receipt: &Key) -> Result<Vec<(u8, Told)>, sqlx::Error> {
    let submitted: Vec<Submitted> = sqlx::query_as(
        "select e.seq, e.slot, e.block_time, e.signature, e.body->>'oracle' as oracle,
                array(select jsonb_array_elements_text(e.body->'counts')::bigint) as counts,
                e.body->>'evidence_uri' as evidence_uri, (e.body->>'submitted')::int as submitted
         from chain.event_account a join chain.event e on e.seq = a.seq
         where a.account = $1 and e.name = 'ReceiptSubmitted'
         order by e.seq",
    )
    .bind(receipt.as_str())
    .fetch_all(db)
    .await?;
    // An event has all bits so far: the oracle's own is the one that it adds.
    let mut before = 0;
    Ok(submitted
        .into_iter()
        .filter_map(|event| {
            let added = event.submitted & !std::mem::replace(&mut before, event.submitted);
            let index = u8::try_from(added.trailing_zeros()).ok()?;
            (added.count_ones() == 1).then_some((
                index,
                Told {
                    oracle: event.oracle,
                    counts: event.counts,
                    evidence_uri: event.evidence_uri,
                    signature: event.signature,
                    seq: event.seq,
                    slot: event.slot,
                    time: event.block_time,
                },
            ))
        })
        .collect())
}

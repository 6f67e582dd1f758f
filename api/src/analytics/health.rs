//! Health of a model: how reliably it is measured, and how far it has drifted.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use driftshield_sdk::{Account, Entry, Model, Series, address, entry_in};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::{InPath, MinSlot},
    mirror::Snapshot,
    problem::{Problem, ProblemBody},
    reply::Reply,
    signed::{as_text, quotient},
    state::AppState,
    values::{Scaled, U64},
    wallet::holdings::open_accounts,
};

use super::totals::{Subject, Totals};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health))
}

/// Number of windows by which a model's health is judged.
const WINDOWS: u64 = 30;

/// How reliably a model is measured, and how far it has drifted.
#[derive(Serialize, ToSchema)]
struct ModelHealth {
    model: Key,
    /// Time as of which windows are due: that of the mirror's latest block.
    as_of: DateTime<Utc>,
    /// The latest windows that are due, at most 30. A window is due once it can get neither a first submission nor a
    /// challenge any more: its submit period and a challenge period are over.
    due: DueWindows,
    /// Exponentially weighted moving average of the final values of the model's version; null if there is none.
    ewma: Option<Scaled>,
    /// Value below which all windows of a year stay with a probability of 95%, if the model doesn't drift. No threshold
    /// of a market and no trigger of a policy is lower.
    noise_floor: Scaled,
    /// `ewma` divided by `noise_floor`, with up to six decimal places, rounded down; null without `ewma`. Of a model
    /// that doesn't drift it is below 1.
    #[schema(example = "0.41")]
    ewma_over_noise_floor: Option<String>,
    /// Number of challenges ever, of all versions.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[0-9]+$")]
    challenges: i128,
    /// Number of rulings ever, of all versions.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[0-9]+$")]
    rulings: i128,
    /// Number of receipts in dispute now; at most 1,000 are counted.
    disputes: i64,
}

/// Results of the latest windows that are due.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct DueWindows {
    /// First of the windows; null if no window is due yet.
    first: Option<U64>,
    /// Last of the windows; null if no window is due yet.
    last: Option<U64>,
    /// Number of windows.
    count: u64,
    /// Number of final windows.
    finals: u64,
    /// Number of void windows.
    voids: u64,
    /// Number of thin windows: too few rows for a value.
    thins: u64,
    /// Number of windows whose receipt isn't settled yet.
    open: u64,
    /// Number of windows without a submission.
    missing: u64,
    /// `finals` divided by `count`, with up to six decimal places, rounded down; null if no window is due yet.
    #[schema(example = "0.966666")]
    final_share: Option<String>,
}

impl DueWindows {
    /// The results of the last [`WINDOWS`] windows before `end`.
    fn new(end: u64, entry: impl Fn(u64) -> Entry) -> Self {
        let start = end.saturating_sub(WINDOWS);
        let is_any = start < end;
        let mut due = Self {
            first: is_any.then_some(U64(start)),
            last: is_any.then(|| U64(end - 1)),
            count: end - start,
            finals: 0,
            voids: 0,
            thins: 0,
            open: 0,
            missing: 0,
            final_share: None,
        };
        for window in start..end {
            let counter = match entry(window) {
                Entry::Final(_) => &mut due.finals,
                Entry::Void => &mut due.voids,
                Entry::Thin => &mut due.thins,
                Entry::Open => &mut due.open,
                Entry::None => &mut due.missing,
            };
            *counter += 1;
        }
        due.final_share = quotient(due.finals.into(), due.count.into());
        due
    }
}

/// Reads the results of the latest due windows from the model's series.
async fn due_windows(
    snapshot: &mut Snapshot,
    key: &Key,
    model: &Model,
    now: DateTime<Utc>,
) -> Result<DueWindows, Problem> {
    let end = model.first_undecided(now.timestamp());
    let start = end.saturating_sub(WINDOWS);
    let page_of = |window| Key::from(address::series(&key.address(), window));
    let pages: BTreeSet<_> = [start, end.saturating_sub(1)].map(page_of).into();
    let pages = open_accounts(&mut snapshot.tx, pages).await?;
    let (first, last) = (page_of(start), page_of(end.saturating_sub(1)));
    let page = |window| {
        let key = if Series::page_of(window) == Series::page_of(start) {
            first
        } else {
            last
        };
        match pages.get(&key) {
            Some(Account::Series(page)) => Some(&**page),
            _ => None,
        }
    };
    Ok(DueWindows::new(end, |window| {
        entry_in(page(window), window)
    }))
}

/// Health of a model: the results of its latest due windows, its average drift over its noise floor, and disputes.
#[utoipa::path(
    get,
    path = "/analytics/models/{model}",
    tag = "analytics",
    params(("model" = Key, Path, description = "Address of the model"), MinSlot),
    responses(
        (status = 200, body = ModelHealth),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn health(
    InPath(key): InPath<Key>,
    mut snapshot: Snapshot,
) -> Result<Reply<ModelHealth>, Problem> {
    let now = snapshot.require_time()?;
    let mut accounts = open_accounts(&mut snapshot.tx, [key].into()).await?;
    let Some(Account::Model(model)) = accounts.remove(&key) else {
        return Err(Problem::not_found("model", key));
    };
    let due = due_windows(&mut snapshot, &key, &model, now).await?;
    let totals = Totals::read(&mut snapshot.tx, Subject::Model(&key), None).await?;
    let disputes: i64 = sqlx::query_scalar(
        "select count(*) from (
           select from chain.receipt where model = $1 and status = 'challenged' limit 1000) r",
    )
    .bind(key)
    .fetch_one(&mut *snapshot.tx)
    .await?;
    let has_final = model.final_count != 0;
    let health = ModelHealth {
        model: key,
        as_of: now,
        due,
        ewma: has_final.then(|| Scaled::drift(model.ewma)),
        noise_floor: Scaled::drift(model.noise_floor),
        ewma_over_noise_floor: has_final
            .then(|| quotient(model.ewma.into(), model.noise_floor.into()))
            .flatten(),
        challenges: totals.iter().map(|totals| totals.challenges.0).sum(),
        rulings: totals.iter().map(|totals| totals.rulings.0).sum(),
        disputes,
    };
    Ok(snapshot.reply(health).await?.untagged())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_due_windows_count() {
        let entry = |window| match window {
            0..=9 => panic!("window {window} is too old"),
            10 => Entry::Void,
            11 => Entry::Thin,
            12 => Entry::Open,
            13 => Entry::None,
            _ => Entry::Final(1),
        };
        let due = DueWindows::new(40, entry);
        assert_eq!((due.first, due.last), (Some(U64(10)), Some(U64(39))));
        assert_eq!((due.count, due.finals, due.voids), (30, 26, 1));
        assert_eq!((due.thins, due.open, due.missing), (1, 1, 1));
        assert_eq!(due.final_share.as_deref(), Some("0.866666"));
    }

    #[test]
    fn a_model_whose_first_window_is_not_due_has_no_share() {
        let due = DueWindows::new(0, |_| panic!());
        assert_eq!((due.first, due.last, due.final_share), (None, None, None));
    }
}

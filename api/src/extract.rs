//! Extractors: the parts of a request that handlers read.

use std::{borrow::Cow, time::Duration};

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{Uri, request::Parts},
};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use crate::{
    mirror::Snapshot,
    page::{ListQuery, Paging},
    problem::Problem,
    state::AppState,
};

/// Longest time that a request waits for its `min_slot`.
const SLOT_WAIT: Duration = Duration::from_secs(2);

/// Query parameter `min_slot` of every route that reads the mirror. The extractor [`Snapshot`]
/// implements it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes `min_slot` in the OpenAPI document")]
pub struct MinSlot {
    /// The server waits up to 2 s until the mirror has reached this slot. If the mirror does not
    /// reach it, the status is 425.
    min_slot: Option<i64>,
}

impl FromRequestParts<AppState> for Snapshot {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        if let Some(min_slot) = min_slot(&parts.uri)? {
            let slot = app.feed.wait_for(min_slot, SLOT_WAIT).await;
            if slot < min_slot {
                return Err(Problem::SlotNotReached { min_slot, slot });
            }
        }
        Self::begin_settled(&app.db).await
    }
}

/// Reads `min_slot` from the query string; `None` if it is absent.
pub fn min_slot(uri: &Uri) -> Result<Option<i64>, Problem> {
    let mut pairs = form_urlencoded::parse(query(uri).as_bytes());
    let Some((_, slot)) = pairs.find(|(name, _)| name == "min_slot") else {
        return Ok(None);
    };
    match slot.parse() {
        Ok(slot) if 0 <= slot => Ok(Some(slot)),
        _ => Err(Problem::BadRequest(format!(
            "`min_slot` is `{slot}`; give a slot number, 0 or more"
        ))),
    }
}

fn query(uri: &Uri) -> &str {
    uri.query().unwrap_or_default()
}

/// Permit for an expensive query. A handler acquires it before its [`Snapshot`]: requests that wait
/// for a permit then hold no database connection, which leaves connections to cheap queries.
pub struct ExpensiveQueryPermit(
    #[expect(dead_code, reason = "dropping it releases the permit")] OwnedSemaphorePermit,
);

impl FromRequestParts<AppState> for ExpensiveQueryPermit {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        let permit = app.expensive_queries.clone().acquire_owned().await;
        Ok(Self(permit.expect("the semaphore is never closed")))
    }
}

/// JSON body, and the snapshot from which to answer the request. The body is read first, so that a
/// slow upload holds no database connection.
pub struct JsonRequest<T> {
    pub body: T,
    pub snapshot: Snapshot,
}

impl<T: DeserializeOwned + Send> FromRequest<AppState> for JsonRequest<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let request = Request::from_parts(parts.clone(), body);
        let Json(body) = Json::from_request(request, app)
            .await
            .map_err(|rejection| Problem::BadRequest(rejection.body_text()))?;
        let snapshot = Snapshot::from_request_parts(&mut parts, app).await?;
        Ok(Self { body, snapshot })
    }
}

/// Path parameters.
pub struct InPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(parameters)| Self(parameters))
            .map_err(|rejection| Problem::BadRequest(rejection.body_text()))
    }
}

/// Query parameters of a route that returns one account. Others are ignored.
pub struct InQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(parameters)| Self(parameters))
            .map_err(|rejection| Problem::BadRequest(rejection.body_text()))
    }
}

/// Reads the query parameters of a list, and rejects unknown ones.
impl<S: Sync, F: DeserializeOwned + IntoParams> FromRequestParts<S> for ListQuery<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (filter_names, paging_names) = (names::<F>(), names::<Paging>());
        let (mut filter_pairs, mut paging_pairs) = (Vec::new(), Vec::new());
        for pair in query(&parts.uri).split('&') {
            let name = name(pair);
            let is_one_of = |names: &[String]| names.iter().any(|known| *known == name);
            if is_one_of(&filter_names) {
                filter_pairs.push(pair);
            } else if is_one_of(&paging_names) {
                paging_pairs.push(pair);
            } else if !pair.is_empty() && name != "min_slot" {
                let accepted = [filter_names, paging_names, names::<MinSlot>()].concat();
                return Err(Problem::BadRequest(format!(
                    "unknown parameter `{name}`; accepted are {}",
                    accepted.join(", ")
                )));
            }
        }
        Ok(Self {
            filter: parse(&filter_pairs)?,
            paging: parse(&paging_pairs)?,
        })
    }
}

/// Names of the query parameters in `P`.
fn names<P: IntoParams>() -> Vec<String> {
    let parameters = P::into_params(|| None).into_iter();
    parameters.map(|parameter| parameter.name).collect()
}

/// Decoded name of a `name=value` pair.
fn name(pair: &str) -> Cow<'_, str> {
    let mut pairs = form_urlencoded::parse(pair.as_bytes());
    pairs.next().map(|(name, _)| name).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(pairs: &[&str]) -> Result<T, Problem> {
    let uri = Uri::builder()
        .path_and_query(format!("/?{}", pairs.join("&")))
        .build()
        .map_err(|error| Problem::BadRequest(error.to_string()))?;
    Query::try_from_uri(&uri)
        .map(|Query(parameters)| parameters)
        .map_err(|rejection| Problem::BadRequest(rejection.body_text()))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, IntoParams)]
    struct Filter {
        owner: Option<String>,
    }

    async fn list_query(query: &str) -> Result<ListQuery<Filter>, Problem> {
        let request = Request::get(format!("/list?{query}")).body(()).unwrap();
        ListQuery::from_request_parts(&mut request.into_parts().0, &()).await
    }

    #[tokio::test]
    async fn list_parameters_are_split_into_filter_and_paging() {
        let query = list_query("limit=7&min_slot=5&owner=%61b&cursor=x").await;
        let ListQuery { filter, paging } = query.unwrap();
        assert_eq!(filter.owner.as_deref(), Some("ab"));
        assert_eq!(paging.cursor.as_deref(), Some("x"));
        assert!(list_query("").await.unwrap().filter.owner.is_none());
    }

    #[tokio::test]
    async fn unknown_and_repeated_list_parameters_are_rejected() {
        let Err(unknown) = list_query("colour=red").await else {
            panic!("`colour` was accepted");
        };
        assert_eq!(
            unknown.to_string(),
            "unknown parameter `colour`; accepted are owner, cursor, limit, min_slot"
        );
        for query in ["limit=0", "limit=1&limit=2", "owner=a&owner=b", "=x"] {
            assert!(list_query(query).await.is_err(), "{query}");
        }
    }

    #[test]
    fn min_slot_is_a_number_from_zero() {
        let min_slot = |query| min_slot(&format!("/?{query}").parse().unwrap());
        assert_eq!(min_slot("limit=3").unwrap(), None);
        assert_eq!(min_slot("limit=3&min_slot=12").unwrap(), Some(12));
        for query in ["min_slot=", "min_slot=-1", "min_slot=x"] {
            assert!(min_slot(query).is_err(), "{query}");
        }
    }
}

//! Extractors: the parts of a request that handlers read.

use std::borrow::Cow;

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Path, Request,
        path::ErrorKind,
        rejection::{JsonRejection, PathRejection},
    },
    http::{StatusCode, Uri, request::Parts},
};
use axum_extra::extract::Query;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::{
    IntoParams,
    openapi::{
        RefOr,
        path::Parameter,
        schema::{KnownFormat, Schema, SchemaFormat, SchemaType, Type},
    },
};

use crate::{
    docs::bounds,
    mirror::Snapshot,
    page::{ListQuery, Paging},
    problem::Problem,
    reason::{self, in_words},
    state::AppState,
};

/// Query parameter `min_slot` of every route that reads the mirror. The extractor [`Snapshot`]
/// implements it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes `min_slot` in the OpenAPI document")]
pub struct MinSlot {
    /// The server waits up to 2 s until the mirror has reached this slot. If the mirror does not
    /// reach it, the status is 425.
    #[param(minimum = 0, maximum = 9_223_372_036_854_775_807_i64)]
    min_slot: Option<i64>,
}

/// In the extensions of a request that is only to be checked, because the mirror hasn't reached its `min_slot`.
/// [`Snapshot`] comes after path and query, so it refuses none but a valid request.
#[derive(Clone, Copy)]
pub struct OnlyCheck {
    pub min_slot: i64,
    pub slot: i64,
}

impl FromRequestParts<AppState> for Snapshot {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Problem> {
        if let Some(OnlyCheck { min_slot, slot }) = parts.extensions.get().copied() {
            return Err(Problem::SlotNotReached { min_slot, slot });
        }
        wait_for_min_slot(app, &parts.uri).await?;
        snapshot(app).await
    }
}

/// Begins the snapshot of a request. Refuses it if too many requests read the database or wait for it: it would
/// wait longer than its client.
pub async fn snapshot(app: &AppState) -> Result<Snapshot, Problem> {
    let permit = app.reads.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Problem::Overloaded)?;
    let snapshot = Snapshot::begin_settled(&app.db).await?;
    Ok(snapshot.with_permit(permit))
}

/// Waits until the mirror has reached the `min_slot` of a request, if it has one.
pub async fn wait_for_min_slot(app: &AppState, uri: &Uri) -> Result<(), Problem> {
    let Some(min_slot) = min_slot(uri)? else {
        return Ok(());
    };
    let slot = app.feed.wait_for(min_slot, app.min_slot_wait).await;
    if slot < min_slot {
        return Err(Problem::SlotNotReached { min_slot, slot });
    }
    Ok(())
}

/// Reads `min_slot` from the query string; `None` if it is absent.
pub fn min_slot(uri: &Uri) -> Result<Option<i64>, Problem> {
    let mut slots = values(uri, "min_slot");
    let Some(slot) = slots.next() else {
        return Ok(None);
    };
    if slots.next().is_some() {
        let text = "`min_slot` is given more than once; give it once";
        return Err(Problem::BadRequest(text.to_owned()));
    }
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
        let body = json_body(Request::from_parts(parts.clone(), body), app).await?;
        let snapshot = Snapshot::from_request_parts(&mut parts, app).await?;
        Ok(Self { body, snapshot })
    }
}

/// The JSON body of a request. JSON has one kind of numbers, so 1.0 is the integer 1, which serde doesn't know.
pub async fn json_body<T: DeserializeOwned>(
    request: Request,
    app: &AppState,
) -> Result<T, Problem> {
    let body = Json::<Value>::from_request(request, app).await;
    let Json(mut body) = body.map_err(body_problem)?;
    write_integers(&mut body);
    let body = Json::from_bytes(body.to_string().as_bytes());
    body.map(|Json(body)| body).map_err(body_problem)
}

/// Replaces numbers without a fraction by integers.
fn write_integers(value: &mut Value) {
    /// Larger numbers without a fraction can be rounded ones.
    const MAX_EXACT: f64 = (1_u64 << 53) as f64;
    match value {
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            let whole = float.filter(|float| float.fract() == 0.0 && float.abs() <= MAX_EXACT);
            if let Some(whole) = whole {
                *value = (whole as i64).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(write_integers),
        Value::Object(fields) => fields.values_mut().for_each(write_integers),
        _ => {}
    }
}

/// Why a body is refused.
fn body_problem(rejection: JsonRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::NotJson,
        _ => {
            let text = rejection.body_text();
            // axum says first that it could not read the body.
            let reason = text
                .split_once(": ")
                .map_or(text.as_str(), |(_, reason)| reason);
            match rejection {
                JsonRejection::JsonDataError(_) => reason::body_problem(reason),
                // The position is all that there is to say of a text that is no JSON.
                _ => Problem::BadRequest(format!("body cannot be read: {reason}")),
            }
        }
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
            .map_err(path_problem)
    }
}

fn path_problem(rejection: PathRejection) -> Problem {
    let PathRejection::FailedToDeserializePathParams(error) = rejection else {
        return Problem::BadRequest(rejection.body_text());
    };
    reason::problem(&match error.into_kind() {
        ErrorKind::DeserializeError { key, message, .. } => format!("`{key}`: {message}"),
        ErrorKind::Message(message) => message,
        ErrorKind::InvalidUtf8InPathParam { key } => {
            format!("`{key}` is not UTF-8; give its characters percent-encoded")
        }
        kind => kind.to_string(),
    })
}

/// Query parameters of a route that returns one account.
pub struct InQuery<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + IntoParams + Send> FromRequestParts<S> for InQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let parameters = T::into_params(|| None);
        check_query(&parts.uri, &parameters)?;
        Ok(Self(parse(parts, &parameters).await?))
    }
}

impl<S: Sync, F: DeserializeOwned + IntoParams + Send> FromRequestParts<S> for ListQuery<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let parameters = Self::into_params(|| None);
        check_query(&parts.uri, &parameters)?;
        Ok(Self {
            filter: parse(parts, &parameters).await?,
            paging: parse::<Paging>(parts, &parameters).await?,
        })
    }
}

/// Refuses a parameter that the route doesn't have: it may be misspelled. Refuses one without a value: it could
/// be meant as no parameter or as an empty text.
fn check_query(uri: &Uri, parameters: &[Parameter]) -> Result<(), Problem> {
    let known = || {
        let names = parameters.iter().map(|parameter| parameter.name.as_str());
        names.chain(["min_slot"])
    };
    for (name, value) in form_urlencoded::parse(query(uri).as_bytes()) {
        if known().all(|known| known != name) {
            let accepted: Vec<_> = known().collect();
            return Err(Problem::BadRequest(format!(
                "unknown parameter `{name}`; accepted are {}",
                accepted.join(", ")
            )));
        }
        if value.is_empty() {
            return Err(Problem::BadRequest(format!(
                "`{name}` has no value; give one, or leave the parameter out"
            )));
        }
    }
    Ok(())
}

/// Reads those of the query's parameters that `T` has.
async fn parse<T: DeserializeOwned>(
    parts: &mut Parts,
    parameters: &[Parameter],
) -> Result<T, Problem> {
    let parsed = Query::from_request_parts(parts, &()).await;
    parsed.map(|Query(parsed)| parsed).map_err(|rejection| {
        let text = rejection.body_text();
        // axum says first that it could not read the query, then the parameter and the reason.
        let mut rest = text.splitn(3, ": ").skip(1);
        let (name, reason) = (rest.next().unwrap_or_default(), rest.next());
        // serde names a missing parameter like this.
        let missing = name.strip_prefix("missing field `");
        if let Some(missing) = missing.and_then(|name| name.strip_suffix('`')) {
            return Problem::BadRequest(format!("`{missing}` is missing; give it"));
        }
        let parameter = parameters.iter().find(|parameter| parameter.name == name);
        let values: Vec<_> = values(&parts.uri, name).collect();
        reason::problem(&match (values.as_slice(), parameter, reason) {
            ([value], Some(parameter), Some(reason)) => {
                let advice = advice(parameter).unwrap_or_else(|| in_words(reason));
                format!("`{name}` is `{value}`; {advice}")
            }
            ([_, _, ..], Some(_), _) => format!("`{name}` is given more than once; give it once"),
            _ => format!("query cannot be read: {text}"),
        })
    })
}

/// Values of a parameter, decoded.
fn values<'a>(uri: &'a Uri, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let pairs = form_urlencoded::parse(query(uri).as_bytes());
    pairs
        .filter(move |(given, _)| given == name)
        .map(|(_, value)| value)
}

/// What values a parameter has, by its schema; `None` if its type says so itself.
fn advice(parameter: &Parameter) -> Option<String> {
    let RefOr::T(schema) = parameter.schema.as_ref()? else {
        return None;
    };
    let object = match schema {
        Schema::Object(object) => object,
        // An optional enum: the values, or null.
        Schema::OneOf(one_of) => one_of.items.iter().find_map(|item| match item {
            RefOr::T(Schema::Object(object)) if object.enum_values.is_some() => Some(object),
            _ => None,
        })?,
        _ => return None,
    };
    if let Some(values) = &object.enum_values {
        let values: Vec<_> = values.iter().filter_map(|value| value.as_str()).collect();
        return Some(format!("give one of {}", values.join(", ")));
    }
    let is = |kind: &Type| match &object.schema_type {
        SchemaType::Type(own) => own == kind,
        SchemaType::Array(types) => types.contains(kind),
        SchemaType::AnyValue => false,
    };
    if is(&Type::Integer) {
        let [from, to] = bounds::of(object)?;
        return Some(format!("give a whole number from {from} to {to}"));
    }
    if is(&Type::Boolean) {
        return Some("give true or false".to_owned());
    }
    let is_time = object.format == Some(SchemaFormat::KnownFormat(KnownFormat::DateTime));
    is_time.then(|| "give a time such as 2026-10-01T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, IntoParams)]
    #[expect(dead_code, reason = "only errors are read")]
    struct Filter {
        owner: Option<String>,
        #[param(inline)]
        state: Option<FilterState>,
        since: Option<chrono::DateTime<chrono::Utc>>,
        key: Option<crate::bytes::Key>,
        outcome: Option<u8>,
    }

    #[derive(Debug, Deserialize, utoipa::ToSchema)]
    #[serde(rename_all = "snake_case")]
    enum FilterState {
        Open,
        SoldOut,
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
            "unknown parameter `colour`; accepted are owner, state, since, key, outcome, cursor, limit, min_slot"
        );
        for (query, message) in [
            (
                "limit=0",
                "`limit` is `0`; give a whole number from 1 to 500",
            ),
            (
                "limit=x",
                "`limit` is `x`; give a whole number from 1 to 500",
            ),
            (
                "limit=1&limit=2",
                "`limit` is given more than once; give it once",
            ),
            (
                "owner=a&owner=b",
                "`owner` is given more than once; give it once",
            ),
            (
                "outcome=256",
                "`outcome` is `256`; give a whole number from 0 to 255",
            ),
            ("state=b", "`state` is `b`; give one of open, sold_out"),
            (
                "since=b",
                "`since` is `b`; give a time such as 2026-10-01T12:00:00Z",
            ),
            (
                "key=b",
                "`key` is `b`; `b` is not an address; give 32 bytes in base58",
            ),
            (
                "since=",
                "`since` has no value; give one, or leave the parameter out",
            ),
            (
                "cursor=%C3%9F",
                "`cursor` is `ß`; it is none that the API returned; start again without `cursor`",
            ),
            (
                "=x",
                "unknown parameter ``; accepted are owner, state, since, key, outcome, cursor, limit, min_slot",
            ),
        ] {
            let refused = list_query(query).await.err().expect("refused");
            assert_eq!(refused.to_string(), message, "{query}");
        }
    }

    #[test]
    fn a_number_without_a_fraction_is_an_integer() {
        let mut value = serde_json::json!({ "a": [1.0, -2e3, 0.5, 1e300], "b": "1.0" });
        write_integers(&mut value);
        let expected = serde_json::json!({ "a": [1, -2000, 0.5, 1e300], "b": "1.0" });
        assert_eq!(value, expected);
    }

    #[test]
    fn min_slot_is_a_number_from_zero() {
        let min_slot = |query| min_slot(&format!("/?{query}").parse().unwrap());
        assert_eq!(min_slot("limit=3").unwrap(), None);
        assert_eq!(min_slot("limit=3&min_slot=12").unwrap(), Some(12));
        for query in [
            "min_slot=",
            "min_slot=-1",
            "min_slot=x",
            "min_slot=1&min_slot=2",
        ] {
            assert!(min_slot(query).is_err(), "{query}");
        }
    }
}

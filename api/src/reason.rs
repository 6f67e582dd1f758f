//! Why serde refuses a value of a request, as a problem in plain words.
//!
//! A request that violates the OpenAPI document is a [`Problem::BadRequest`]. Some values match it although they
//! mean nothing, because a schema can't say which texts are 32 bytes in base58: these are a
//! [`Problem::InvalidValue`]. serde's errors are only texts, so the text of the latter ends in a mark.

use std::fmt::Display;

use serde::de::Error;

use crate::problem::Problem;

/// Ends the text of an error whose value matches its schema.
const MATCHES_SCHEMA: &str = " (the text has the documented form)";

/// What chrono says of a text that is no time.
const NO_TIME: [&str; 6] = [
    "input contains invalid characters",
    "premature end of input",
    "trailing input",
    "input is out of range",
    "no possible date and time matching input",
    "input is not enough for unique date and time",
];

/// Refuses a value. `matches_schema` says whether it has the form that the OpenAPI document describes.
pub fn refuse<E: Error>(matches_schema: bool, reason: impl Display) -> E {
    let mark = if matches_schema { MATCHES_SCHEMA } else { "" };
    E::custom(format_args!("{reason}{mark}"))
}

/// The problem of a value that serde refuses with this text.
pub fn problem(text: &str) -> Problem {
    match text.strip_suffix(MATCHES_SCHEMA) {
        Some(reason) => Problem::InvalidValue(reason.to_owned()),
        None => Problem::BadRequest(text.to_owned()),
    }
}

/// The problem of a JSON body that serde refuses: the path of the field, if there is one, and the reason.
pub fn body_problem(text: &str) -> Problem {
    // The position in the text helps nobody whose library has written the text.
    let text = text
        .rsplit_once(" at line ")
        .map_or(text, |(reason, _)| reason);
    let path = text
        .split_once(": ")
        .filter(|(path, _)| !path.contains([' ', '`']));
    let (path, reason) = match path {
        Some((path, reason)) => (Some(path), reason),
        None => (None, text),
    };
    let reason = in_words(reason);
    problem(&match path {
        // What is said of an unknown field begins with its name.
        Some(path) if !reason.starts_with(&format!("`{path}`")) => format!("`{path}`: {reason}"),
        _ => reason,
    })
}

/// serde's reason without the names of Rust's types.
pub fn in_words(reason: &str) -> String {
    let quoted = |start: &str| {
        let (name, rest) = reason.strip_prefix(start)?.split_once('`')?;
        Some((name, rest))
    };
    if let Some((name, _)) = quoted("missing field `") {
        return format!("`{name}` is missing; give it");
    }
    if let Some((name, rest)) = quoted("unknown field `").or_else(|| quoted("unknown variant `")) {
        // serde quotes each of those that it knows.
        let known: Vec<_> = rest.split('`').skip(1).step_by(2).collect();
        return format!("`{name}` is unknown; accepted are {}", known.join(", "));
    }
    if NO_TIME.contains(&reason) {
        return "give a time such as 2026-10-01T12:00:00Z".to_owned();
    }
    for start in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some((found, expected)) = reason
            .strip_prefix(start)
            .and_then(|rest| rest.split_once(", expected "))
        {
            let found = match start {
                "invalid length " => format!("{found} values"),
                _ => found.to_owned(),
            };
            return format!("{found} given; give {}", allowed(expected));
        }
    }
    reason.to_owned()
}

/// What serde expects, in plain words.
fn allowed(expected: &str) -> String {
    let integers = |min: i128, max: i128| format!("a whole number from {min} to {max}");
    match expected {
        "u8" => integers(0, u8::MAX.into()),
        "u16" => integers(0, u16::MAX.into()),
        "u32" => integers(0, u32::MAX.into()),
        "a nonzero u32" => integers(1, u32::MAX.into()),
        "i64" => integers(i64::MIN.into(), i64::MAX.into()),
        "a string" => "a text in quotes".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "an RFC 3339 formatted date and time string" => {
            "a time such as 2026-10-01T12:00:00Z".to_owned()
        }
        other if other.starts_with("struct ") => "an object".to_owned(),
        other => other
            .strip_prefix("an array of length ")
            .map_or_else(|| other.to_owned(), |length| format!("a list of {length}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_matches_its_schema_is_no_bad_request() {
        let text = |matches_schema| {
            let error: serde_json::Error = refuse(matches_schema, "`a` is not an address");
            error.to_string()
        };
        assert!(matches!(problem(&text(false)), Problem::BadRequest(_)));
        let invalid = problem(&text(true));
        assert!(matches!(invalid, Problem::InvalidValue(_)));
        assert_eq!(invalid.to_string(), "`a` is not an address");
    }

    #[test]
    fn a_body_is_refused_in_plain_words() {
        for (text, expected) in [
            (
                "creator_fee_bps: invalid value: integer `70000`, expected u16 at line 1 column 146",
                "`creator_fee_bps`: integer `70000` given; give a whole number from 0 to 65535",
            ),
            (
                "amount: invalid type: integer `1`, expected a string at line 1 column 9",
                "`amount`: integer `1` given; give a text in quotes",
            ),
            (
                "persistence_bps: invalid length 0, expected an array of length 4 at line 1 column 3",
                "`persistence_bps`: 0 values given; give a list of 4",
            ),
            (
                "missing field `account` at line 1 column 2",
                "`account` is missing; give it",
            ),
            (
                "oracle: missing field `data` at line 1 column 2",
                "`oracle`: `data` is missing; give it",
            ),
            (
                "colour: unknown field `colour`, expected `account` or `outcome` at line 1 column 2",
                "`colour` is unknown; accepted are account, outcome",
            ),
            (
                "aggregate: unknown variant `min`, expected one of `max`, `last`, `mean` at line 1 column 2",
                "`aggregate`: `min` is unknown; accepted are max, last, mean",
            ),
            (
                "closes_at: premature end of input at line 1 column 2",
                "`closes_at`: give a time such as 2026-10-01T12:00:00Z",
            ),
            (
                "`x` is not an address; give 32 bytes in base58",
                "`x` is not an address; give 32 bytes in base58",
            ),
        ] {
            let refused = body_problem(text);
            assert_eq!(refused.to_string(), expected);
            assert!(matches!(refused, Problem::BadRequest(_)), "{text}");
        }
        let marked = format!("model: `a` is not an address{MATCHES_SCHEMA} at line 1 column 9");
        let invalid = body_problem(&marked);
        assert_eq!(invalid.to_string(), "`model`: `a` is not an address");
        assert!(matches!(invalid, Problem::InvalidValue(_)));
    }
}

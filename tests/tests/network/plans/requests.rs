//! The requests of every list of the API, with every combination of its filters in every order, from its
//! OpenAPI document.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plan::Allowance;

/// Number of items on a page without `limit`.
const PAGE: u64 = 50;
/// What a page may read and sort. One row more than its items shows whether another page follows.
pub const PAGE_ALLOWANCE: Allowance = Allowance {
    sorted: PAGE + 1,
    read: 4 * (PAGE + 1),
};
/// Number of windows on a page of a series, which is one row.
const SERIES_PAGE: u64 = 256;
/// Number of windows of the model with the most of them.
const WINDOWS: u64 = 21 * SERIES_PAGE;
/// Number of models with the most frequent metric.
const OF_METRIC: u64 = 1_250;
/// Number of rows of odds that are read at once for candles.
const ODDS: u64 = 1_000;
/// Number of seats of the oracle with the most of them.
const SEATS: u64 = 500;
/// Number of windows that an oracle missed at each model.
const MISSED: u64 = 5;
/// Number of vaults that cover the model with the most of them.
const COVERING: u64 = 200;

pub struct Request {
    /// Path in the document.
    pub list: String,
    /// Path and query of the first page.
    pub url: String,
    pub allowance: Allowance,
    /// Whether the API refuses its combination of parameters.
    pub is_refused: bool,
    /// Whether nothing may match: it has several filters.
    pub may_be_empty: bool,
}

/// A filter or order of a list, and its values.
struct Parameter {
    name: String,
    is_required: bool,
    values: Vec<String>,
}

/// First pages of all lists: in each order, with each combination of values of each set of filters.
///
/// # Panics
///
/// If a list has a parameter whose values are not known here.
pub fn all(document: &Value) -> Vec<Request> {
    let paths = document["paths"].as_object().expect("the document's paths");
    let mut requests = vec![];
    for (list, methods) in paths {
        let Some(parameters) = methods["get"]["parameters"].as_array() else {
            continue;
        };
        if parameters
            .iter()
            .any(|parameter| parameter["name"] == "cursor")
        {
            for example in examples(list) {
                requests.extend(of_list(list, &example, parameters, document));
            }
        }
    }
    requests
}

fn of_list(list: &str, example: &Example, parameters: &[Value], document: &Value) -> Vec<Request> {
    let parameters = parameters
        .iter()
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| (parameter["name"].as_str().expect("a name"), parameter))
        .filter(|(name, _)| !["cursor", "limit", "min_slot"].contains(name));
    let parameters: Vec<_> = parameters
        .map(|(name, parameter)| Parameter {
            name: name.to_owned(),
            is_required: parameter["required"] == true,
            values: match name {
                "life" => example
                    .life
                    .map(|life| life.to_string())
                    .into_iter()
                    .collect(),
                // The mirror has events of these names only.
                "name" => ["BetPlaced", "MarketCreated", "ConfigUpdated"]
                    .map(str::to_owned)
                    .into(),
                _ => values(list, name, parameter, document),
            },
        })
        .collect();
    let optional: Vec<_> = parameters
        .iter()
        .filter(|parameter| !parameter.is_required)
        .map(|parameter| parameter.name.clone())
        .collect();
    let choices = choices(&parameters).into_iter();
    let requests = choices.map(|query| {
        let pairs = query.iter().map(|(name, value)| format!("{name}={value}"));
        let filters = optional.iter().filter(|name| *name != "sort");
        Request {
            list: list.to_owned(),
            url: format!("{}?{}", example.path, pairs.collect::<Vec<_>>().join("&")),
            allowance: allowance(list, &query),
            is_refused: is_refused(list, &query),
            may_be_empty: 1 < filters
                .filter(|name| query.contains_key(name.as_str()))
                .count(),
        }
    });
    requests.collect()
}

/// A value of each parameter.
type Query<'a> = BTreeMap<&'a str, &'a str>;

/// Each combination of values of the parameters. A filter that isn't required is also left out.
fn choices<'a>(parameters: &'a [Parameter]) -> Vec<Query<'a>> {
    let mut choices = vec![Query::new()];
    for parameter in parameters {
        // Without `sort`, a list has the order of one of its values.
        let is_always_given = parameter.is_required || parameter.name == "sort";
        let with = |chosen: &Query<'a>| {
            let with = |value| {
                let mut chosen = chosen.clone();
                chosen.insert(parameter.name.as_str(), value);
                chosen
            };
            let values = parameter.values.iter();
            values.map(|value| with(value.as_str())).collect::<Vec<_>>()
        };
        let given = choices.iter().flat_map(with).collect();
        let missing = if is_always_given { vec![] } else { choices };
        choices = [missing, given].concat();
    }
    choices
}

/// Whether the API refuses the parameters together. Each refusal is a decision: no index serves them, and
/// one would cost every write more than the combination is worth.
fn is_refused(list: &str, query: &Query<'_>) -> bool {
    let has = |name| query.contains_key(name);
    match list.rsplit('/').next() {
        Some("markets") => {
            // A creator has few markets on one model, or on few models.
            let both = has("model") && has("creator");
            // No index has a range of one column in the order of another.
            let closes = has("closing_before") || has("closing_after");
            both || closes && query["sort"] != "closing"
        }
        // A holder has few policies.
        Some("policies") => has("holder") && has("model"),
        // Each event would have its name in the index of its accounts, too.
        Some("events") => has("name") && has("account"),
        _ => false,
    }
}

/// What a list may read and sort for a page.
fn allowance(list: &str, query: &Query<'_>) -> Allowance {
    let page = PAGE_ALLOWANCE.sorted;
    let has = |name| query.contains_key(name);
    if list.ends_with("/windows") {
        // The windows come out of the rows of the series in the wrong order.
        let windows = SERIES_PAGE + page;
        return Allowance {
            sorted: windows,
            read: windows,
        };
    }
    if list.ends_with("/metrics") {
        // A page has up to fifty periods with all of their windows, each of which can have a receipt.
        return Allowance {
            sorted: page,
            read: WINDOWS,
        };
    }
    if has("text") {
        // The trigram index has no order: of a rare text all matches are sorted, of a frequent one
        // models are read until the page is full. The more expensive of both, where they are equal, is
        // the root of the number of models times the page. If no model of another filter has the text, all
        // of the filter's are read.
        return Allowance {
            sorted: 20 * page,
            read: OF_METRIC,
        };
    }
    if list.ends_with("/candles") {
        // An interval has as many rows as bets.
        return Allowance {
            sorted: 0,
            read: ODDS,
        };
    }
    if list.ends_with("/oracles") {
        // The seats of each oracle are counted: it has at most one at each model.
        return Allowance {
            sorted: page,
            read: 4 * SEATS,
        };
    }
    if list.contains("{oracle}") {
        // The windows that an oracle missed at a model are counted.
        return Allowance {
            read: (1 + MISSED) * page,
            ..PAGE_ALLOWANCE
        };
    }
    if list.ends_with("/vaults") && has("model") {
        // The vaults that cover a model are few, and in no order.
        return Allowance {
            sorted: COVERING,
            read: 4 * COVERING,
        };
    }
    PAGE_ALLOWANCE
}

/// A list of an example of its parent.
struct Example {
    path: String,
    /// The parent's life.
    life: Option<u64>,
}

/// The list of a parent that has very many rows, and of one that has some hundreds.
fn examples(list: &str) -> Vec<Example> {
    if list.contains("{board}") {
        let boards = ["bettors", "underwriters", "oracles", "models"];
        let example = |board| Example {
            path: list.replace("{board}", board),
            life: None,
        };
        return boards.map(example).into();
    }
    let users = if list.ends_with("/models") {
        MODEL_OWNERS
    } else {
        OWNERS
    };
    let parents = [
        ("{wallet}", OWNERS),
        ("{user}", users),
        ("{oracle}", ORACLES),
        ("{model}", MODELS),
        ("{market}", MARKETS),
        ("{vault}", VAULTS),
    ];
    let Some((name, keys)) = parents.into_iter().find(|(name, _)| list.contains(name)) else {
        assert!(
            !list.contains('{'),
            "{list}: its parent has no example here; add one"
        );
        let path = list.to_owned();
        return vec![Example { path, life: None }];
    };
    keys.map(|(kind, number)| Example {
        path: list.replace(name, &key(kind, number)),
        life: Some(id(number)),
    })
    .into()
}

/// Kinds and numbers of addresses in `rows.sql`: with very many rows, and with some hundreds.
type Keys = [(u32, u64); 2];
const MINTS: Keys = [(0, 100), (0, 101)];
const MODELS: Keys = [(1, 0), (1, 2)];
const VAULTS: Keys = [(4, 0), (4, 2)];
const MARKETS: Keys = [(8, 99_999), (8, 99_998)];
const MODEL_OWNERS: Keys = [(10, 0), (10, 2)];
const CREATORS: Keys = [(11, 0), (11, 2)];
const OWNERS: Keys = [(12, 0), (12, 2)];
const ORACLES: Keys = [(13, 0), (13, 2)];

/// Path of a ranking.
pub fn example_of_ranking() -> String {
    let [(kind, number), _] = MINTS;
    let mint = key(kind, number);
    format!("/api/v1/analytics/leaderboard/bettors?mint={mint}")
}

/// An address, as `address_of` in `rows.sql` makes it.
fn key(kind: u32, number: u64) -> String {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&kind.to_be_bytes());
    let number = number * 2_654_435_761 % (1 << 32);
    bytes[4..12].copy_from_slice(&number.to_be_bytes());
    bs58::encode(bytes).into_string()
}

/// Id of an event, as `id_of` in `rows.sql` makes it.
fn id(number: u64) -> u64 {
    ((2_034_652 + number / 4) << 31) + ((number % 4) << 12)
}

/// Values of a filter or order: those of its type or, if the type has too many, examples.
fn values(list: &str, name: &str, parameter: &Value, document: &Value) -> Vec<String> {
    let mut values = vec![];
    enumerate(&parameter["schema"], document, &mut values);
    if !values.is_empty() {
        return values;
    }
    let keys = |keys: Keys| keys.map(|(kind, number)| key(kind, number)).into();
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    match name {
        "model" => keys(MODELS),
        "vault" => keys(VAULTS),
        "mint" => keys(MINTS),
        "account" => keys(MARKETS),
        "creator" | "manager" => keys(CREATORS),
        "holder" => keys(OWNERS),
        "owner" if list.ends_with("/models") => keys(MODEL_OWNERS),
        "owner" => keys(OWNERS),
        "outcome" => texts(&["0"]),
        "text" => texts(&["fraud", "model 47", "model 4711"]),
        "from" => texts(&["2024-01-22T00:00:00Z"]),
        "until" => texts(&["2200-01-01T00:00:00Z"]),
        "closing_before" | "closing_after" => texts(&["2023-12-20T00:00:00Z"]),
        _ => panic!("{list}: the filter `{name}` has no example here; add one"),
    }
}

/// Collects the values of an enum or a boolean.
fn enumerate(schema: &Value, document: &Value, values: &mut Vec<String>) {
    if schema["type"] == "boolean" || schema["type"][0] == "boolean" {
        values.extend(["true", "false"].map(str::to_owned));
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        enumerate(target.expect("a schema"), document, values);
    }
    let listed = schema["enum"].as_array().into_iter().flatten();
    values.extend(listed.filter_map(Value::as_str).map(str::to_owned));
    for alternatives in ["oneOf", "anyOf", "allOf"] {
        let schemas = schema[alternatives].as_array().into_iter().flatten();
        schemas.for_each(|schema| enumerate(schema, document, values));
    }
}

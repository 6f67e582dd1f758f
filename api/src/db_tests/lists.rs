//! The lists of the API with every combination of their filters and every order, from its OpenAPI document.

use serde_json::Value;

use super::{Api, key};

/// A request for the first page of a list.
#[derive(Clone, Debug)]
pub struct List {
    path: String,
    /// Filters and order: `name=value`.
    query: Vec<String>,
}

impl List {
    /// Path and query, with another parameter.
    pub fn with(&self, parameter: &str) -> String {
        let query = [&self.query[..], &[parameter.to_owned()]].concat();
        format!("{}?{}", self.path, query.join("&"))
    }

    /// Path and order: lists that share them have the same sort key.
    pub fn order(&self) -> (String, Option<String>) {
        let sort = self.query.iter().find(|pair| pair.starts_with("sort="));
        (self.path.clone(), sort.cloned())
    }

    /// Whether no filter can leave the list empty: it has at most one beside those that it needs.
    pub fn has_items(&self) -> bool {
        let filters = self.query.iter().filter(|pair| !pair.starts_with("sort="));
        filters.count() <= 1
    }

    /// The page in an answer. Some answers contain it beside something else.
    pub fn page(body: &Value) -> &Value {
        let parts = ["history", "seats", "places"].map(|name| &body[name]);
        let page = parts.into_iter().find(|part| part["items"].is_array());
        page.unwrap_or(body)
    }

    pub fn next_cursor(body: &Value) -> Option<&str> {
        Self::page(body)["next_cursor"].as_str()
    }
}

/// All lists, with every combination of their filters and every order.
pub async fn all(api: &Api) -> Vec<List> {
    let document = api.document().await;
    let paths = document["paths"].as_object().unwrap();
    let lists = paths.iter().filter_map(|(path, methods)| {
        let parameters = methods["get"]["parameters"].as_array()?;
        let is_list = parameters.iter().any(|given| given["name"] == "cursor");
        is_list.then(|| of_list(path, parameters, &document))
    });
    lists.flatten().collect()
}

fn of_list(path: &str, parameters: &[Value], document: &Value) -> Vec<List> {
    let mut lists = vec![List {
        path: example(path),
        query: vec![],
    }];
    for parameter in parameters.iter().filter(|given| given["in"] == "query") {
        let name = parameter["name"].as_str().unwrap();
        if ["cursor", "limit", "min_slot"].contains(&name) {
            continue;
        }
        let given = lists.iter().flat_map(|list: &List| {
            values(path, name, parameter, document)
                .into_iter()
                .map(|value| {
                    let mut list = list.clone();
                    list.query.push(format!("{name}={value}"));
                    list
                })
        });
        let given: Vec<_> = given.collect();
        let is_required = parameter["required"] == true;
        if is_required {
            lists = given;
        } else {
            lists.extend(given);
        }
    }
    lists
}

/// The path, with the parent that has items.
pub fn example(path: &str) -> String {
    let user = if path.ends_with("/models") { 1 } else { 6 };
    let parents = [
        ("{model}", key(2, 1)),
        ("{market}", key(4, 1)),
        ("{vault}", key(6, 1)),
        ("{oracle}", key(9, 2)),
        ("{user}", key(9, user)),
        ("{wallet}", key(9, 6)),
        ("{board}", "bettors".to_owned()),
    ];
    let parent = |path: String, (name, example): (&str, String)| path.replace(name, &example);
    let path = parents.into_iter().fold(path.to_owned(), parent);
    assert!(
        !path.contains('{'),
        "{path}: a parent has no example here; add one"
    );
    path
}

/// Values of a filter or order: those of its type or, if the type has too many, examples.
fn values(path: &str, name: &str, parameter: &Value, document: &Value) -> Vec<String> {
    let mut values = vec![];
    // The fixture doesn't have events of every name.
    if name != "name" {
        enumerate(&parameter["schema"], document, &mut values);
    }
    if !values.is_empty() {
        return values;
    }
    let life = |slot: u64| (slot << 31).to_string();
    vec![match name {
        "life" if path.contains("{market}") => life(1_201),
        "life" => life(1_401),
        "model" => key(2, 1),
        "vault" => key(6, 1),
        "mint" => key(1, 1),
        "account" => key(4, 1),
        "creator" => key(9, 5),
        "manager" => key(9, 7),
        "holder" => key(9, 6),
        "owner" if path.ends_with("/models") => key(9, 1),
        "owner" if path.ends_with("/withdrawals") => key(9, 8),
        "owner" => key(9, 6),
        "outcome" => "1".to_owned(),
        "name" => "BetPlaced".to_owned(),
        "text" => "fraud%2050%25".to_owned(),
        "closing_before" => "2026-01-01T02:00:04Z".to_owned(),
        "from" => "2026-01-01T00:00:00Z".to_owned(),
        "until" => "2026-01-03T00:00:00Z".to_owned(),
        "closing_after" => "2026-01-01T02:00:01Z".to_owned(),
        _ => panic!("{path}: the filter `{name}` has no example here; add one"),
    }]
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

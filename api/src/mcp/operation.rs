//! An operation of the OpenAPI document as a tool.

use axum::http::{Method, Request, header::CONTENT_TYPE};
use form_urlencoded::{Serializer, byte_serialize};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

/// Deepest nesting of references that a schema is resolved to.
const MAX_DEPTH: usize = 12;

/// An operation, and the tool that carries it out.
pub struct Operation {
    pub tool: Tool,
    method: Method,
    /// Path, with parameters in braces.
    path: String,
    /// Names of the query's parameters.
    query: Vec<String>,
    has_body: bool,
}

/// Tags of operations that are no tools: an action builds the transaction of another operation, for a
/// wallet.
const NO_TOOLS: [&str; 2] = ["health", "actions"];

/// All operations of the document, but for those of health and the actions.
pub fn all(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.filter_map(move |(method, operation)| {
            let method = method.to_uppercase().parse().ok()?;
            Operation::new(method, path, operation, document)
        })
    });
    operations.collect()
}

impl Operation {
    /// `None` if `operation` is none, or is no tool.
    fn new(method: Method, path: &str, operation: &Value, document: &Value) -> Option<Self> {
        operation.get("responses")?;
        let mut tags = operation["tags"].as_array().into_iter().flatten();
        if tags.any(|tag| NO_TOOLS.iter().any(|no_tool| tag == no_tool)) {
            return None;
        }
        let (mut properties, mut required) = (Map::new(), vec![]);
        let mut query = vec![];
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str()?;
            let mut schema = resolved(&parameter["schema"], document, 0);
            if let (Some(schema), Some(text)) =
                (schema.as_object_mut(), parameter.get("description"))
            {
                schema.insert("description".to_owned(), text.clone());
            }
            properties.insert(name.to_owned(), schema);
            if parameter["required"] == true {
                required.push(name.to_owned());
            }
            if parameter["in"] == "query" {
                query.push(name.to_owned());
            }
        }
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if !body.is_null() {
            properties.insert("body".to_owned(), resolved(body, document, 0));
            required.push("body".to_owned());
        }
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        let texts = [&operation["summary"], &operation["description"]];
        let texts: Vec<_> = texts.into_iter().filter_map(Value::as_str).collect();
        let schema: JsonObject = schema.as_object().cloned().unwrap_or_default();
        // Nothing that the API does changes the chain: transactions are returned unsigned.
        let annotations = ToolAnnotations::new().read_only(true).open_world(false);
        let tool = Tool::new(name(&method, path), texts.join("\n\n"), schema);
        Some(Self {
            tool: tool.with_annotations(annotations),
            method,
            path: path.to_owned(),
            query,
            has_body: !body.is_null(),
        })
    }

    /// The request that carries out the operation with these arguments. The error says what is wrong with
    /// them.
    pub fn request(&self, mut arguments: JsonObject) -> Result<Request<String>, String> {
        let body = match arguments.remove("body") {
            Some(body) if self.has_body => body.to_string(),
            None if !self.has_body => String::new(),
            None => return Err("`body` is missing".to_owned()),
            Some(_) => return Err("unknown argument `body`".to_owned()),
        };
        let mut path = self.path.clone();
        let mut query = Serializer::new(String::new());
        for (name, value) in arguments {
            let value = match value {
                Value::String(text) => text,
                Value::Null => continue,
                other => other.to_string(),
            };
            let placeholder = format!("{{{name}}}");
            if path.contains(&placeholder) {
                // In a path, `+` is no space.
                let value: String = byte_serialize(value.as_bytes()).collect();
                let value = value.replace('+', "%20");
                path = path.replace(&placeholder, &value);
            } else if self.query.contains(&name) {
                query.append_pair(&name, &value);
            } else {
                return Err(format!("unknown argument `{name}`"));
            }
        }
        if let Some((_, rest)) = path.split_once('{') {
            let name = rest.split('}').next().unwrap_or_default();
            return Err(format!("`{name}` is missing"));
        }
        Request::builder()
            .method(self.method.clone())
            .uri(format!("{path}?{}", query.finish()))
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| error.to_string())
    }
}

/// Name of a tool: the method, and the segments of the path after `/api/v1`.
fn name(method: &Method, path: &str) -> String {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let mut name = method.as_str().to_lowercase();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        name.push('_');
        match segment.strip_prefix('{') {
            Some(parameter) => {
                name.push_str("by_");
                name.push_str(parameter.trim_end_matches('}'));
            }
            None => name.push_str(&segment.replace('-', "_")),
        }
    }
    name
}

/// A schema without references.
fn resolved(schema: &Value, document: &Value, depth: usize) -> Value {
    if MAX_DEPTH < depth {
        return json!({});
    }
    match schema {
        Value::Object(object) => {
            if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                let target = document.pointer(reference.trim_start_matches('#'));
                return target.map_or(json!({}), |target| resolved(target, document, depth + 1));
            }
            let members = object.iter();
            let members =
                members.map(|(key, value)| (key.clone(), resolved(value, document, depth + 1)));
            Value::Object(members.collect())
        }
        Value::Array(items) => {
            let items = items.iter();
            items
                .map(|item| resolved(item, document, depth + 1))
                .collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations() -> Vec<Operation> {
        all(&json!({
            "paths": {
                "/api/v1/markets/{market}/odds": { "get": {
                    "summary": "Odds.",
                    "parameters": [
                        { "name": "market", "in": "path", "required": true,
                          "schema": { "$ref": "#/components/schemas/Key" } },
                        { "name": "limit", "in": "query", "schema": { "type": "integer" } },
                    ],
                    "responses": {},
                } },
                "/api/v1/quote": { "post": {
                    "requestBody": { "content": { "application/json": { "schema": { "type": "object" } } } },
                    "responses": {},
                } },
                "/api/v1/policies/{policy}": { "delete": {
                    "tags": ["transactions"],
                    "parameters": [
                        { "name": "policy", "in": "path", "required": true,
                          "schema": { "type": "string" } },
                        { "name": "min_slot", "in": "query", "schema": { "type": "integer" } },
                    ],
                    "requestBody": { "content": { "application/json": { "schema": { "type": "object" } } } },
                    "responses": {},
                } },
                "/api/v1/actions/bet": { "post": { "tags": ["actions"], "responses": {} } },
                "/health/liveness": { "get": { "tags": ["health"], "responses": {} } },
            },
            "components": { "schemas": { "Key": { "type": "string" } } },
        }))
    }

    fn object(value: Value) -> JsonObject {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn an_operation_is_a_tool_with_its_parameters() {
        let operations = operations();
        let names: Vec<_> = operations
            .iter()
            .map(|operation| &*operation.tool.name)
            .collect();
        assert_eq!(
            names,
            [
                "get_markets_by_market_odds",
                "post_quote",
                "delete_policies_by_policy"
            ]
        );
        let schema = &operations[0].tool.input_schema;
        assert_eq!(schema["properties"]["market"]["type"], "string");
        assert_eq!(schema["required"], json!(["market"]));
        assert_eq!(operations[1].tool.input_schema["required"], json!(["body"]));
    }

    #[test]
    fn arguments_become_path_query_and_body() {
        let operations = operations();
        let arguments = object(json!({ "market": "a/b?c", "limit": 7 }));
        let request = operations[0].request(arguments).unwrap();
        assert_eq!(request.uri(), "/api/v1/markets/a%2Fb%3Fc/odds?limit=7");
        let request = operations[1]
            .request(object(json!({ "body": { "a": 1 } })))
            .unwrap();
        assert_eq!(
            (request.method(), request.body().as_str()),
            (&Method::POST, r#"{"a":1}"#)
        );
        let arguments = json!({ "policy": "p", "min_slot": 5, "body": { "account": "w" } });
        let request = operations[2].request(object(arguments)).unwrap();
        assert_eq!(
            (request.method(), request.body().as_str()),
            (&Method::DELETE, r#"{"account":"w"}"#)
        );
        assert_eq!(request.uri(), "/api/v1/policies/p?min_slot=5");
        for (operation, arguments, reason) in [
            (0, json!({}), "`market` is missing"),
            (
                0,
                json!({ "market": "a", "colour": 1 }),
                "unknown argument `colour`",
            ),
            (1, json!({}), "`body` is missing"),
        ] {
            let refused = operations[operation]
                .request(object(arguments))
                .unwrap_err();
            assert_eq!(refused, reason);
        }
    }
}

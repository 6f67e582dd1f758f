//! The schemas of the AsyncAPI document that the API serves.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::Value;

pub struct Schemas(BTreeMap<String, Validator>);

impl Schemas {
    pub fn of(document: &Value) -> Self {
        let messages = document["components"]["messages"].as_object().unwrap();
        let validator = |(name, message): (&String, &Value)| {
            let mut schema = message["payload"].clone();
            schema["additionalProperties"] = false.into();
            schema["components"] = document["components"].clone();
            (name.clone(), jsonschema::validator_for(&schema).unwrap())
        };
        Self(messages.iter().map(validator).collect())
    }

    /// Asserts that the document describes a message.
    pub fn check(&self, message: &Value) {
        let kind = message["type"].as_str().unwrap_or_default();
        let validator = self.0.get(kind);
        let validator = validator.unwrap_or_else(|| panic!("not described: {message}"));
        let errors: Vec<_> = validator
            .iter_errors(message)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{message}: {errors:?}");
    }
}

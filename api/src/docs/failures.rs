//! The failures of each operation, in the OpenAPI document.

use utoipa::openapi::{
    OpenApi, RefOr, Response,
    path::{Operation, Parameter, ParameterIn},
};

use super::operations;
use crate::problem::kinds;

/// Replaces the response `default` of each operation by one response for each status that it can have.
pub fn list(document: &mut OpenApi) {
    operations::all(document).for_each(list_of);
    for item in document.paths.paths.values_mut() {
        if let Some(read) = &mut item.get
            && !needs_node(read)
        {
            add_not_modified(read);
        }
    }
}

fn list_of(operation: &mut Operation) {
    let Some(RefOr::T(default)) = operation.responses.responses.remove("default") else {
        return;
    };
    let (needs_node, has_body) = (needs_node(operation), operation.request_body.is_some());
    for status in statuses(operation) {
        let mut response = default.clone();
        response.description = kinds::titles(status, needs_node, has_body).join(", or ");
        let responses = &mut operation.responses.responses;
        responses
            .entry(status.to_string())
            .or_insert(response.into());
    }
}

/// Whether the operation builds or describes a transaction, from accounts of the RPC node.
fn needs_node(operation: &Operation) -> bool {
    let mut tags = operation.tags.iter().flatten();
    tags.any(|tag| ["transactions", "actions"].contains(&tag.as_str()))
}

/// Statuses of an operation's failures, by what it has.
fn statuses(operation: &Operation) -> Vec<u16> {
    let parameters: Vec<&Parameter> = operation
        .parameters
        .iter()
        .flatten()
        .filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
        .collect();
    let has = |name: &str| parameters.iter().any(|parameter| parameter.name == name);
    let has_path = parameters
        .iter()
        .any(|parameter| matches!(parameter.parameter_in, ParameterIn::Path));
    let has_body = operation.request_body.is_some();
    let conditional = [
        (has_path || has_body, &[404][..]),
        (has("cursor"), &[410]),
        (has("min_slot"), &[425]),
        (!parameters.is_empty() || has_body, &[422]),
        (has_body, &[413, 415]),
    ];
    let conditional = conditional.into_iter().filter(|(applies, _)| *applies);
    [400, 429, 500, 503]
        .into_iter()
        .chain(conditional.flat_map(|(_, statuses)| statuses.iter().copied()))
        .collect()
}

fn add_not_modified(read: &mut Operation) {
    // Only answers of the mirror have a tag.
    if read.responses.responses.contains_key("429") {
        let response = Response::new("The answer has the tag that `If-None-Match` names.");
        let responses = &mut read.responses.responses;
        responses.insert("304".to_owned(), response.into());
    }
}

//! The operations of the OpenAPI document, whose parts other modules complete.

use utoipa::openapi::{
    OpenApi,
    path::{Operation, PathItem},
};

/// All operations, of the methods that the API has.
pub fn all(document: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        let PathItem {
            get,
            post,
            patch,
            delete,
            ..
        } = item;
        [get, post, patch, delete].into_iter().flatten()
    })
}

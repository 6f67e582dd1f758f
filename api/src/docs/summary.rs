//! Summary of the API for language models, at `/llms.txt` (llmstxt.org).

use std::fmt::Write;

use utoipa::openapi::{OpenApi, path::Operation};

/// Markdown text that lists all operations of the document.
pub fn of(document: &OpenApi) -> String {
    let server = document.servers.iter().flatten().next();
    let url = server.map_or("", |server| server.url.as_str());
    let info = &document.info;
    let mut text = format!(
        "# {}\n\n> {}\n\n",
        info.title,
        info.description.as_deref().unwrap_or_default()
    );
    let _ = write!(
        text,
        "- [OpenAPI document]({url}/api-docs/openapi.json): parameters and types of all operations\n\
         - [Problems]({url}/problems): kinds of errors, and what to do\n\
         - MCP endpoint: {url}/mcp, with each operation as a tool\n\n## Operations\n\n",
    );
    text += &operations(document, url);
    text
}

/// A line for each operation of the document, with the URL under `url` and what it does.
fn operations(document: &OpenApi, url: &str) -> String {
    let mut text = String::new();
    for (path, item) in &document.paths.paths {
        for (method, operation) in [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ] {
            if let Some(Operation { summary, .. }) = operation {
                let summary = summary.as_deref().unwrap_or_default();
                let _ = writeln!(text, "- `{method} {url}{path}`: {summary}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::Request,
    };
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt;

    use super::*;
    use crate::{app, config::Settings, connect, state::AppState};

    const PAGE: &str = include_str!("../../../docs/routes.md");

    #[tokio::test]
    async fn the_page_lists_exactly_the_routes() {
        let settings = Settings::of_tests();
        let db = connect(&settings.database_url).unwrap();
        let state = AppState::new(db, &settings, CancellationToken::new());
        let request = Request::get("/api-docs/openapi.json").body(Body::empty());
        let served = app(state, "https://api.test").oneshot(request.unwrap());
        let body = to_bytes(served.await.unwrap().into_body(), usize::MAX).await;
        let document: OpenApi = serde_json::from_slice(&body.unwrap()).unwrap();
        let expected = operations(&document, "");
        let listed: Vec<_> = PAGE
            .lines()
            .filter(|line| line.starts_with("- `"))
            .collect();
        assert_eq!(
            listed.join("\n"),
            expected.trim_end(),
            "docs/routes.md lists:\n{expected}"
        );
    }
}

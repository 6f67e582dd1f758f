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

    use crate::{app, config::Settings, connect, state::AppState};

    const PAGE: &str = include_str!("../../../docs/routes.md");

    #[tokio::test]
    async fn the_page_lists_exactly_the_routes() {
        let settings = Settings::of_tests();
        let db = connect(&settings.database_url).unwrap();
        let state = AppState::new(db, &settings, CancellationToken::new());
        let request = Request::get("/llms.txt").body(Body::empty()).unwrap();
        let served = app(state, "https://api.test").oneshot(request).await;
        let body = to_bytes(served.unwrap().into_body(), usize::MAX).await;
        let text = String::from_utf8(body.unwrap().to_vec()).unwrap();
        let served = text.replace("https://api.test", "");
        let routes = |text: &str| {
            let lines = text.lines().filter(|line| line.starts_with("- `"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let served = routes(&served);
        assert_eq!(routes(PAGE), served, "docs/routes.md lists:\n{served}");
    }
}

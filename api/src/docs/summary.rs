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

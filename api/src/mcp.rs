//! MCP endpoint (Model Context Protocol, streamable HTTP): the operations of the OpenAPI document as tools.
//!
//! A call of a tool is a request to the same router that serves clients over HTTP, so a tool can do nothing
//! that a client can't, and answers the same.

mod operation;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::request,
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use serde_json::Value;
use tower::ServiceExt;

use crate::{client_address::ClientAddress, problem::MAX_BODY_BYTES};

use operation::Operation;

const INSTRUCTIONS: &str = "Read the DriftShield protocol's models, drift, markets and insurance, as mirrored \
    from the chain. Amounts and other 64-bit integers are decimal strings; `scaled` is the amount in whole \
    tokens. Keys are base58. Lists have `next_cursor`: pass it as `cursor` for the next page. Transactions \
    are returned unsigned: only the owner of the wallet can sign and send them.";

/// The operations of the document as tools, each carried out by `router`.
pub fn router(document: &utoipa::openapi::OpenApi, router: Router) -> Router {
    let document = serde_json::to_value(document).expect("the document serialises to JSON");
    let tools = Tools {
        operations: operation::all(&document).into(),
        router,
    };
    let config = StreamableHttpServerConfig::default()
        // A page of another site can read nothing here that everybody can't.
        .disable_allowed_hosts()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_BODY_BYTES);
    let service = StreamableHttpService::new(
        move || Ok(tools.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    Router::new().route_service("/mcp", service)
}

#[derive(Clone)]
struct Tools {
    operations: Arc<[Operation]>,
    router: Router,
}

impl Tools {
    fn find(&self, name: &str) -> Option<&Operation> {
        self.operations
            .iter()
            .find(|operation| operation.tool.name == name)
    }

    /// Sends the request, and returns the body. The error is the problem.
    async fn send(&self, request: Request) -> Result<Value, Value> {
        let Ok(response) = self.router.clone().oneshot(request).await;
        let is_success = response.status().is_success();
        // An answer is in memory, and complete.
        let body = to_bytes(response.into_body(), usize::MAX).await;
        let body = body.unwrap_or_default();
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
        if is_success { Ok(body) } else { Err(body) }
    }
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        info.server_info = Implementation::new("driftshield-api", env!("CARGO_PKG_VERSION"));
        info.with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.operations.iter();
        let tools = tools.map(|operation| operation.tool.clone());
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.find(name).map(|operation| operation.tool.clone())
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let operation = self.find(&call.name).ok_or_else(|| {
            let message = format!("no tool `{}`; list the tools", call.name);
            ErrorData::invalid_params(message, None)
        })?;
        let arguments = call.arguments.unwrap_or_default();
        let mut request = operation
            .request(arguments)
            .map_err(|reason| ErrorData::invalid_params(reason, None))?;
        // Limits count for the client of the tool.
        let parts = context.extensions.get::<request::Parts>();
        if let Some(client) = parts.and_then(|parts| parts.extensions.get::<ClientAddress>()) {
            request.extensions_mut().insert(*client);
        }
        let result = match self.send(request.map(Body::from)).await {
            // A statement is a table in text, and only an object can be structured.
            Ok(Value::String(text)) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Ok(body) => CallToolResult::structured(body),
            Err(problem) => CallToolResult::error(vec![ContentBlock::text(problem.to_string())]),
        };
        Ok(result.into())
    }
}

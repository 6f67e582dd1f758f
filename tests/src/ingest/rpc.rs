//! The RPC node of a [`Chain`] that begins with an empty block and without accounts.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::chain::{Chain, FIRST_SLOT, blockhash};

/// Serves the chain on a loopback port until the handle is aborted. Returns the URL.
pub async fn serve(chain: Arc<Chain>) -> anyhow::Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/", post(answer)).with_state(chain);
    let serving = tokio::spawn(async move {
        let served = axum::serve(listener, router).await;
        served.expect("the RPC server serves");
    });
    Ok((url, serving))
}

async fn answer(State(chain): State<Arc<Chain>>, Json(request): Json<Value>) -> Json<Value> {
    let slot = chain.tip();
    let base = FIRST_SLOT - 1;
    let result = match request["method"].as_str() {
        Some("getSlot") if request["params"][0]["commitment"] == "finalized" => json!(base),
        Some("getSlot") => json!(slot),
        Some("getFirstAvailableBlock") => json!(0),
        // The program has no transactions before the first slot.
        Some("getSignaturesForAddress") => json!([]),
        Some("getBlocks") => json!([base]),
        Some("getBlock") if request["params"][0] == base => json!({
            "blockhash": blockhash(base),
            "previousBlockhash": blockhash(base - 1),
            "parentSlot": base - 1,
            "blockTime": null,
            "transactions": [],
        }),
        // The indexer compares the node's fork with its own.
        Some("getBlock") if request["params"][1]["transactionDetails"] == "none" => {
            let slot = request["params"][0].as_u64().unwrap_or_default();
            json!({ "blockhash": blockhash(slot) })
        }
        // The indexer asks for the accounts before the first slot.
        Some("getProgramAccounts") => json!({ "context": { "slot": slot }, "value": [] }),
        method => {
            let message = format!("the replay has no {method:?}: the stream replays all slots");
            let error = json!({ "code": -32601, "message": message });
            return Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }));
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
}

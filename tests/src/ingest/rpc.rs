//! The RPC node of a [`Chain`] that begins with an empty block and without accounts.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::post};
use base64::{Engine, prelude::BASE64_STANDARD};
use driftshield_sdk::ID;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use yellowstone_grpc_proto::prelude::SubscribeUpdateAccountInfo;

use super::chain::{Block, Chain, FIRST_SLOT};

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
    let base = Block::BASE.slot;
    let params = &request["params"];
    let result = match request["method"].as_str() {
        Some("getSlot") if params[0]["commitment"] == "finalized" => json!(base),
        Some("getSlot") => json!(chain.tip().slot),
        Some("getFirstAvailableBlock") => json!(0),
        // The program has no transactions before the first slot.
        Some("getSignaturesForAddress") => json!([]),
        Some("getBlocks") => json!([base]),
        // The indexer compares the node's fork with its own.
        Some("getBlock") if params[1]["transactionDetails"] == "none" => {
            let slot = params[0].as_u64().unwrap_or_default();
            let block = chain.block(slot);
            block.map_or(Value::Null, |block| json!({ "blockhash": block.hash() }))
        }
        Some("getBlock") if params[0] == base => json!({
            "blockhash": Block::BASE.hash(),
            "previousBlockhash": Block::unforked(FIRST_SLOT - 2).hash(),
            "parentSlot": base - 1,
            "blockTime": null,
            "transactions": [],
        }),
        Some("getProgramAccounts") => program_accounts(&chain, &params[1]),
        Some("getMultipleAccounts") => accounts(&chain, &params[0]),
        method => {
            let message = format!("the replay has no {method:?}: the stream replays all slots");
            let error = json!({ "code": -32601, "message": message });
            return Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }));
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
}

/// The accounts whose data begin with the bytes that the request names, if any.
fn program_accounts(chain: &Chain, config: &Value) -> Value {
    let (slot, used) = chain.progress();
    let prefix = config["filters"][0]["memcmp"]["bytes"].as_str();
    let prefix = prefix.and_then(|text| bs58::decode(text).into_vec().ok());
    let prefix = prefix.unwrap_or_default();
    let accounts = chain.recording.accounts(used).into_values();
    let accounts = accounts.filter(|account| account.data.starts_with(&prefix));
    let accounts = accounts.map(|account| {
        let key = bs58::encode(&account.pubkey).into_string();
        json!({ "pubkey": key, "account": encoded(account) })
    });
    json!({ "context": { "slot": slot }, "value": accounts.collect::<Vec<_>>() })
}

fn accounts(chain: &Chain, keys: &Value) -> Value {
    let (slot, used) = chain.progress();
    let accounts = chain.recording.accounts(used);
    let keys = keys.as_array().into_iter().flatten();
    let asked = keys.map(|key| {
        let key = bs58::decode(key.as_str()?).into_vec().ok()?;
        accounts.get(&key[..]).map(|account| encoded(account))
    });
    json!({ "context": { "slot": slot }, "value": asked.collect::<Vec<_>>() })
}

fn encoded(account: &SubscribeUpdateAccountInfo) -> Value {
    json!({
        "lamports": account.lamports,
        "data": [BASE64_STANDARD.encode(&account.data), "base64"],
        "owner": ID.to_string(),
        "executable": false,
        "rentEpoch": account.rent_epoch,
        "space": account.data.len(),
    })
}

//! Configuration of a monitoring agent: the crank, for one model.

use std::{net::SocketAddr, num::NonZeroU32};

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{
    bytes::Key,
    extract::{InPath, JsonRequest, MinSlot},
    problem::{Problem, ProblemBody},
    reason::refuse,
    reply::Reply,
    values::U64,
};

use super::{Model, require};

const FILE_NAME: &str = "crank.toml";
/// Maximum length of an evidence document's URI on chain, in bytes.
const MAX_URI_BYTES: usize = 128;
/// Length of what the crank appends to the URL: `/evidence/`, a SHA-256 in hex and `.json`.
const URI_SUFFIX_BYTES: usize = 10 + 64 + 5;

/// What the configuration is for. Paths are on the machine that will run the crank; relative ones are
/// relative to the configuration file.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentRequest {
    /// URL of a single RPC node, not of a pool whose nodes lag behind one another.
    #[serde(deserialize_with = "url")]
    #[schema(pattern = "^https?://", example = "http://127.0.0.1:8899")]
    rpc_url: String,
    /// Keypair file: the fee payer and, with `oracle`, the oracle. `keypair.json` by default.
    keypair: Option<String>,
    /// Milliseconds from the start of one round to the start of the next; at least 1. The crank's default
    /// is 400.
    #[schema(value_type = Option<u32>, minimum = 1)]
    poll_ms: Option<NonZeroU32>,
    /// Priority fee of all transactions, in micro-lamports per compute unit; 0 by default.
    priority_fee: Option<U64>,
    /// Smallest reward of an oracle that is collected while more can follow, in base units; by default a
    /// ten-thousandth of the model's `min_bond`.
    min_reward: Option<U64>,
    /// What an oracle needs in addition. Without it, the crank is a keeper: it needs no data.
    oracle: Option<OracleRequest>,
}

/// What an oracle of the model needs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OracleRequest {
    /// Key of the oracle. If given, it must be one of the model's oracles.
    key: Option<Key>,
    /// File of the metric-spec document whose SHA-256 is the model's `spec_hash`; `spec.json` by default.
    spec: Option<String>,
    /// File of the model's outputs, `.parquet` or `.csv`.
    #[schema(example = "outputs.parquet")]
    data: String,
    /// How rows are assigned to windows.
    windows: WindowsRequest,
    /// Public base URL of the evidence: `<url>/evidence/<sha256>.json` goes on chain. At most 49 bytes.
    #[serde(deserialize_with = "url")]
    #[schema(pattern = "^https?://", example = "https://oracle.example.com")]
    evidence_url: String,
    /// Directory of the evidence; `evidence` by default.
    evidence_directory: Option<String>,
    /// Address and port on which the crank serves the evidence. Omit it if another web server does.
    #[serde(default, deserialize_with = "address_with_port")]
    #[schema(value_type = Option<String>, example = "0.0.0.0:9100")]
    evidence_listen: Option<SocketAddr>,
}

/// How rows are assigned to windows: give either `time`, or `order_by` and `rows`.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WindowsRequest {
    /// Column with the time of a row, which belongs to the window in which the time lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// Integer column by which rows are sorted.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_by: Option<String>,
    /// Number of rows of a window, in that order; at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    rows: Option<NonZeroU32>,
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let url = String::deserialize(deserializer)?;
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(url);
    }
    let reason = format!("`{url}` is no URL; give one that begins with http:// or https://");
    Err(refuse(false, reason))
}

fn address_with_port<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let parse = |text: String| {
        let reason = format!("`{text}` is no address with a port; write for example 0.0.0.0:9100");
        text.parse().map_err(|_| refuse(true, reason))
    };
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(parse).transpose()
}

/// A configuration file of the crank.
#[derive(Serialize, ToSchema)]
pub struct AgentConfig {
    pub model: Key,
    /// Name to save `content` under.
    #[schema(example = "crank.toml")]
    pub file_name: &'static str,
    /// The file, in TOML. docs/crank.md explains each field.
    pub content: String,
    /// Command that runs the crank with the file.
    #[schema(example = "crank run --config crank.toml")]
    pub command: String,
    /// What to do before the crank can work, in words.
    pub steps: Vec<String>,
}

/// The file's content, in the order and with the names of the crank's configuration.
#[derive(Serialize)]
struct File {
    rpc_url: String,
    keypair: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll_ms: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority_fee: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
    models: [ModelSection; 1],
}

#[derive(Serialize)]
struct Evidence {
    directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    url: String,
}

#[derive(Serialize)]
struct ModelSection {
    address: Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_reward: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    windows: Option<WindowsRequest>,
}

/// A configuration file with which `crank` serves the model, as a keeper or as one of its oracles.
///
/// Nothing is stored: the answer depends on the request and on the model. Keys and data stay on the machine
/// that runs the crank.
#[utoipa::path(
    post,
    path = "/models/{model}/monitoring-agent/config",
    tag = "models",
    params(("model" = Key, Path, description = "Address of the model"), MinSlot),
    request_body = AgentRequest,
    responses(
        (status = 200, body = AgentConfig),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn config(
    InPath(key): InPath<Key>,
    request: JsonRequest<AgentRequest>,
) -> Result<Reply<AgentConfig>, Problem> {
    let JsonRequest {
        body: request,
        mut snapshot,
    } = request;
    let model = require(&mut snapshot.tx, &key).await?;
    let config = AgentConfig::new(&model, request)?;
    Ok(snapshot.reply(config).await?.untagged())
}

impl AgentConfig {
    fn new(model: &Model, request: AgentRequest) -> Result<Self, Problem> {
        request.check(model)?;
        let steps = steps(model, &request);
        Ok(Self {
            model: model.key,
            file_name: FILE_NAME,
            content: file(model.key, request)?,
            command: format!("crank run --config {FILE_NAME}"),
            steps,
        })
    }
}

impl AgentRequest {
    /// Refuses what the crank would refuse.
    fn check(&self, model: &Model) -> Result<(), Problem> {
        let Some(oracle) = &self.oracle else {
            return Ok(());
        };
        let url_bytes = oracle.evidence_url.trim_end_matches('/').len();
        if MAX_URI_BYTES < url_bytes + URI_SUFFIX_BYTES {
            return Err(Problem::InvalidValue(format!(
                "`oracle.evidence_url` has {url_bytes} bytes; give at most {}",
                MAX_URI_BYTES - URI_SUFFIX_BYTES
            )));
        }
        let WindowsRequest {
            time,
            order_by,
            rows,
        } = &oracle.windows;
        match (time, order_by, rows) {
            (Some(_), None, None) => {}
            (None, Some(_), Some(_)) => {}
            _ => {
                let text = "`oracle.windows` needs either `time`, or `order_by` and `rows`";
                return Err(Problem::InvalidValue(text.to_owned()));
            }
        }
        match oracle.key {
            Some(key) if !model.oracles.iter().any(|listed| listed.oracle == key) => {
                Err(Problem::InvalidValue(format!(
                    "`oracle.key` is {key}, which is no oracle of the model; give one of its oracles, or \
                     omit `oracle` for a keeper"
                )))
            }
            _ => Ok(()),
        }
    }
}

fn file(model: Key, request: AgentRequest) -> Result<String, Problem> {
    let mut file = File {
        rpc_url: request.rpc_url,
        keypair: request.keypair.unwrap_or_else(|| "keypair.json".to_owned()),
        poll_ms: request.poll_ms,
        priority_fee: integer("priority_fee", request.priority_fee)?,
        evidence: None,
        models: [ModelSection {
            address: model,
            min_reward: integer("min_reward", request.min_reward)?,
            spec: None,
            data: None,
            windows: None,
        }],
    };
    if let Some(oracle) = request.oracle {
        file.evidence = Some(Evidence {
            directory: oracle
                .evidence_directory
                .unwrap_or_else(|| "evidence".to_owned()),
            listen: oracle.evidence_listen,
            url: oracle.evidence_url,
        });
        let [section] = &mut file.models;
        section.spec = Some(oracle.spec.unwrap_or_else(|| "spec.json".to_owned()));
        section.data = Some(oracle.data);
        section.windows = Some(oracle.windows);
    }
    Ok(toml::to_string(&file).expect("texts and integers serialise to TOML"))
}

/// An integer of a TOML file, which has 63 bits.
fn integer(field: &str, number: Option<U64>) -> Result<Option<i64>, Problem> {
    let number = number.map(|U64(number)| i64::try_from(number)).transpose();
    number.map_err(|_| {
        Problem::InvalidValue(format!(
            "`{field}` is too large for a TOML file; give at most {}",
            i64::MAX
        ))
    })
}

fn steps(model: &Model, request: &AgentRequest) -> Vec<String> {
    let keypair = request.keypair.as_deref().unwrap_or("keypair.json");
    let mut steps = vec![
        format!("Save `content` as {FILE_NAME}."),
        format!(
            "Create the keypair file {keypair} beside it, and fund its key with SOL for fees and rent."
        ),
    ];
    if let Some(oracle) = &request.oracle {
        let spec = oracle.spec.as_deref().unwrap_or("spec.json");
        steps.push(format!(
            "Get the metric-spec document with the SHA-256 {}, and save it as {spec}.",
            model.spec_hash
        ));
        steps.push(format!(
            "Write the model's outputs to {}. To change them, write a new file and rename it into place.",
            oracle.data
        ));
        steps.push(format!(
            "Bond at least {} of the token {} with the oracle's key: its seat counts from then on.",
            model.min_bond.scaled, model.bond_mint
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPER: &str = r#"{ "rpc_url": "http://node:8899" }"#;

    fn request(json: &str) -> AgentRequest {
        serde_json::from_str(json).unwrap()
    }

    fn oracle(windows: &str, url: &str) -> AgentRequest {
        request(&format!(
            r#"{{ "rpc_url": "https://node", "poll_ms": 1000, "priority_fee": "5", "min_reward": "7",
                 "oracle": {{ "data": "a \"b\".csv", "windows": {windows}, "evidence_url": "{url}",
                              "evidence_listen": "0.0.0.0:9100" }} }}"#
        ))
    }

    #[test]
    fn a_keeper_needs_little() {
        let key = Key::from(driftshield_sdk::ID);
        let content = file(key, request(KEEPER)).unwrap();
        let expected = format!(
            "rpc_url = \"http://node:8899\"\nkeypair = \"keypair.json\"\n\n[[models]]\naddress = \"{key}\"\n"
        );
        assert_eq!(content, expected);
    }

    #[test]
    fn texts_are_quoted_and_sections_complete() {
        let request = oracle(r#"{ "order_by": "id", "rows": 5000 }"#, "https://evidence");
        let content = file(Key::default(), request).unwrap();
        let read: toml::Table = content.parse().unwrap();
        assert_eq!(read["poll_ms"].as_integer(), Some(1_000));
        assert_eq!(read["evidence"]["url"].as_str(), Some("https://evidence"));
        let model = &read["models"][0];
        assert_eq!(model["data"].as_str(), Some("a \"b\".csv"));
        assert_eq!(model["min_reward"].as_integer(), Some(7));
        assert_eq!(model["windows"]["rows"].as_integer(), Some(5_000));
        assert!(model["windows"].get("time").is_none());
    }

    #[test]
    fn numbers_that_toml_cannot_hold_are_refused() {
        let big = format!(
            r#"{{ "rpc_url": "http://a", "priority_fee": "{}" }}"#,
            u64::MAX
        );
        assert!(file(Key::default(), request(&big)).is_err());
    }

    #[test]
    fn a_listener_that_is_no_address_is_an_invalid_value() {
        let text =
            r#"{ "data": "a", "windows": {}, "evidence_url": "http://a", "evidence_listen": "a" }"#;
        let error = serde_json::from_str::<OracleRequest>(text).err().unwrap();
        let problem = crate::reason::body_problem(&error.to_string());
        assert!(matches!(problem, Problem::InvalidValue(_)), "{problem}");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let unknown = r#"{ "rpc_url": "http://a", "keypare": "k" }"#;
        let no_url = r#"{ "rpc_url": "ftp://a" }"#;
        let no_time = r#"{ "rpc_url": "http://a", "poll_ms": 0 }"#;
        for refused in [unknown, no_url, no_time] {
            assert!(serde_json::from_str::<AgentRequest>(refused).is_err());
        }
    }
}

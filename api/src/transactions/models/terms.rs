//! Registration of models, and changes of their terms.

use axum::Json;
use chrono::{DateTime, Utc};
use driftshield_sdk::{
    Address, Collateral, Config, DriftShieldError, MetricSpec, ModelTerms, address, defaults,
    error, instruction, spec::SpecDocument,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::ModelAccounts;
use crate::{
    bytes::{Hash, Key},
    extract::InPath,
    problem::{Problem, ProblemBody},
    quote::program_error,
    state::AppState,
    transactions::{
        TransactionReply, View,
        build::Draft,
        request::{MinSlot, TransactionRequest, require_count, require_text, require_wallet},
        vaults::create::not_registered,
    },
    values::U64,
};

const MAX_ORACLES: usize = 7;
const NAME_BYTES: usize = 32;
const URI_BYTES: usize = 128;

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(post_model))
        .routes(routes!(patch_model))
}

/// A model to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
    "mint": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    "spec": "{\"version\":1,\"metric\":\"psi\",\"measure\":{\"column\":{\"name\":\"score\",\"edges\":[0.5]}},\
             \"reference\":[6000,4000],\"min_samples\":500,\"reference_sha256\":\"9f86d081884c7d65\"}",
    "genesis": "2026-12-01T12:00:00Z", "window_secs": 86400,
    "oracles": ["5ZiE3vAkrdXBgyFL7KqG3RoEGBws4CjRcXVbABDLZTgx"], "quorum": 1, "name": "Credit scores"
}))]
struct ModelRequest {
    /// The owner's wallet.
    account: Key,
    /// Mint of the bonds, the markets and the cover: a registered collateral.
    mint: Key,
    /// Id of the model, unique for its owner. By default the current slot.
    id: Option<U64>,
    /// Text of the metric-spec document, byte by byte as it is published: the model pins its SHA-256.
    spec: String,
    /// Start of window 0, from now to 31 days ahead.
    genesis: DateTime<Utc>,
    /// Length of a window in seconds.
    window_secs: i64,
    /// 1 to 7 distinct keys.
    #[schema(min_items = 1, max_items = 7)]
    oracles: Vec<Key>,
    /// Number of submissions that a window needs: more than half of the oracles, and fewer than all if
    /// there are three or more.
    quorum: u8,
    /// Largest distance of a submission from the median, or from a ruling, to count as in agreement, in
    /// micro-units. By default the largest allowed: an eighth of the noise floor.
    max_spread: Option<U64>,
    /// Rent of secured stakes and cover, in basis points a year; 200 by default.
    security_rent_bps: Option<u16>,
    /// Part of what the bonds secure that stakes may reach, in basis points; 5,000 by default.
    market_budget_bps: Option<u16>,
    /// Part of what the bonds secure that cover may reach, in basis points; 5,000 by default.
    cover_budget_bps: Option<u16>,
    /// UTF-8, at most 32 bytes.
    name: String,
    /// URI of the model's description; UTF-8, at most 128 bytes.
    #[serde(default)]
    uri: String,
    /// SHA-256 of the document at `uri`.
    metadata_hash: Option<Hash>,
    /// SHA-256 of the model artifact.
    artifact_hash: Option<Hash>,
}

/// Changes of a model's terms. Fields that are left out keep their value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin", "name": "Credit scores v2"
}))]
struct ModelChange {
    /// The owner's wallet.
    account: Key,
    /// All oracles, in order: replaces the list.
    #[schema(min_items = 1, max_items = 7)]
    oracles: Option<Vec<Key>>,
    quorum: Option<u8>,
    /// Micro-units.
    max_spread: Option<U64>,
    /// Basis points a year.
    security_rent_bps: Option<u16>,
    market_budget_bps: Option<u16>,
    cover_budget_bps: Option<u16>,
    /// UTF-8, at most 32 bytes.
    name: Option<String>,
    /// UTF-8, at most 128 bytes.
    uri: Option<String>,
    metadata_hash: Option<Hash>,
    artifact_hash: Option<Hash>,
}

/// Refuses terms that the program can't store.
fn check(terms: &ModelTerms) -> Result<(), Problem> {
    require_text("name", &terms.name, NAME_BYTES)?;
    require_text("uri", &terms.uri, URI_BYTES)
}

fn keys(keys: &[Key]) -> Vec<Address> {
    keys.iter().map(Key::address).collect()
}

fn hash(given: Option<Hash>, default: [u8; 32]) -> [u8; 32] {
    given.map_or(default, |hash| hash.bytes())
}

impl ModelRequest {
    /// The metric that the document and the request define.
    fn metric_spec(&self, config: &Config) -> Result<MetricSpec, Problem> {
        let bytes = self.spec.as_bytes();
        let document = SpecDocument::parse(bytes).map_err(|error| {
            let reason = std::error::Error::source(&error);
            let reason = reason
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            Problem::InvalidValue(format!("`spec`: {error}{reason}"))
        })?;
        let spec = document.metric_spec(bytes, self.genesis.timestamp(), self.window_secs);
        // The noise floor is that of a valid spec.
        spec.validate().map_err(program_error)?;
        let (shortest, longest) = (config.params.min_window_secs, config.params.max_window_secs);
        if !(shortest..=longest).contains(&self.window_secs) {
            let invalid = DriftShieldError::InvalidWindowLength;
            return Err(program_error(error::code(invalid)));
        }
        Ok(spec)
    }

    fn terms(&self, spec: &MetricSpec) -> ModelTerms {
        ModelTerms {
            oracles: keys(&self.oracles),
            quorum: self.quorum,
            max_spread: self
                .max_spread
                .map_or_else(|| spec.widest_spread(), |U64(spread)| spread),
            security_rent_bps: self
                .security_rent_bps
                .unwrap_or(defaults::SECURITY_RENT_BPS),
            market_budget_bps: self.market_budget_bps.unwrap_or(defaults::BUDGET_BPS),
            cover_budget_bps: self.cover_budget_bps.unwrap_or(defaults::BUDGET_BPS),
            name: self.name.clone(),
            uri: self.uri.clone(),
            metadata_hash: hash(self.metadata_hash, [0; 32]),
            artifact_hash: hash(self.artifact_hash, [0; 32]),
        }
    }
}

impl ModelChange {
    /// `base`, changed by the fields that are given.
    fn apply_to(self, base: ModelTerms) -> ModelTerms {
        ModelTerms {
            oracles: self.oracles.map_or(base.oracles, |given| keys(&given)),
            quorum: self.quorum.unwrap_or(base.quorum),
            max_spread: self
                .max_spread
                .map_or(base.max_spread, |U64(spread)| spread),
            security_rent_bps: self.security_rent_bps.unwrap_or(base.security_rent_bps),
            market_budget_bps: self.market_budget_bps.unwrap_or(base.market_budget_bps),
            cover_budget_bps: self.cover_budget_bps.unwrap_or(base.cover_budget_bps),
            name: self.name.unwrap_or(base.name),
            uri: self.uri.unwrap_or(base.uri),
            metadata_hash: hash(self.metadata_hash, base.metadata_hash),
            artifact_hash: hash(self.artifact_hash, base.artifact_hash),
        }
    }
}

/// Registers a model.
async fn register(mut view: View, request: ModelRequest) -> Result<TransactionReply, Problem> {
    let owner = request.account.address();
    require_count("oracles", &request.oracles, MAX_ORACLES)?;
    require_wallet(&owner)?;
    let collateral = address::collateral(&request.mint.address());
    let accounts = view.accounts(&[address::config(), collateral]).await?;
    let config: Config = accounts.get(&address::config())?;
    let bonds: Option<Collateral> = accounts.find(&collateral)?;
    let bonds = bonds.ok_or_else(|| not_registered(&request.mint))?;
    let spec = request.metric_spec(&config)?;
    let terms = request.terms(&spec);
    check(&terms)?;
    let id = request.id.map_or(accounts.slot, |U64(id)| id);
    let register = instruction::register_model(owner, id, &bonds, spec, terms);
    let draft = Draft::new(owner, &accounts, bonds.decimals);
    let draft = draft.creates("model", address::model(&owner, id));
    view.finish(draft.push(register)).await
}

/// Changes a model's terms.
async fn change(
    mut view: View,
    key: Address,
    request: ModelChange,
) -> Result<TransactionReply, Problem> {
    let owner = request.account.address();
    if let Some(oracles) = &request.oracles {
        require_count("oracles", oracles, MAX_ORACLES)?;
    }
    require_wallet(&owner)?;
    let read = ModelAccounts::read(&mut view, key, |_| vec![]).await?;
    let terms = request.apply_to(defaults::model_terms(&read.model));
    check(&terms)?;
    let update = instruction::update_model(owner, key, &read.model, terms);
    view.finish(read.draft(owner).push(update)).await
}

/// Builds a transaction that registers a model and pins its metric.
///
/// `created` in the answer has the model's address.
#[utoipa::path(
    post,
    path = "/models",
    tag = "transactions",
    params(MinSlot),
    request_body = ModelRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_model(
    request: TransactionRequest<ModelRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    Ok(Json(register(request.view, request.body).await?))
}

/// Builds a transaction that changes a model's oracles, limits and texts.
///
/// It is refused while a market with bets, a policy or an open receipt depends on the model. It begins a
/// new version of the model, with new statistics.
#[utoipa::path(
    patch,
    path = "/models/{model}",
    tag = "transactions",
    params(("model" = Key, Path, description = "Address of the model"), MinSlot),
    request_body = ModelChange,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn patch_model(
    InPath(key): InPath<Key>,
    request: TransactionRequest<ModelChange>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = change(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_what_it_leaves_out() {
        let key = driftshield_sdk::ID.to_string();
        let change: ModelChange =
            serde_json::from_str(&format!(r#"{{"account":"{key}","quorum":2}}"#)).unwrap();
        let base = ModelTerms {
            oracles: vec![driftshield_sdk::ID],
            quorum: 1,
            max_spread: 7,
            security_rent_bps: 200,
            market_budget_bps: 1,
            cover_budget_bps: 2,
            name: "a".into(),
            uri: "b".into(),
            metadata_hash: [3; 32],
            artifact_hash: [4; 32],
        };
        let changed = change.apply_to(base.clone());
        assert_eq!(changed, ModelTerms { quorum: 2, ..base });
    }
}

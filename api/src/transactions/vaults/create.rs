//! Creation of vaults.

use axum::Json;
use driftshield_sdk::{Collateral, VaultTerms, address, defaults, instruction};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    problem::{Problem, ProblemBody},
    state::AppState,
    transactions::{
        Failure, TransactionReply, View,
        build::Draft,
        request::{MinSlot, TransactionRequest, require_wallet},
    },
    values::U64,
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(post_vault))
}

/// A vault to create. Prices are per year, in basis points of the cover; durations are in seconds.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
    "mint": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "manager_fee_bps": 1000
}))]
struct VaultRequest {
    /// The manager's wallet.
    account: Key,
    /// Mint of the capital and the cover: a registered collateral.
    mint: Key,
    /// Id of the vault, unique for its manager. By default the current slot.
    id: Option<U64>,
    /// Cooldown of withdrawal requests; 14 days by default. It never changes. It must cover the submit,
    /// challenge and ruling periods of each listed model, and as many of its windows as the largest
    /// persistence.
    cooldown_secs: Option<i64>,
    /// The manager's part of premiums; 0 by default. It never changes.
    #[serde(default)]
    manager_fee_bps: u16,
    /// Smallest cover of a policy, in base units; 1 token by default.
    min_cover: Option<U64>,
    /// Largest cover of a policy, in base units; 100,000 tokens by default.
    max_cover: Option<U64>,
    /// Shortest time from a purchase to the end of the last covered window; a day by default.
    min_duration_secs: Option<i64>,
    /// Longest time from a purchase to the end of the last covered window; 400 days by default.
    max_duration_secs: Option<i64>,
    /// Price of any cover; 200 by default.
    base_bps: Option<u16>,
    /// Price of utilisation at the kink, and proportionally less below it; 400 by default.
    slope1_bps: Option<u16>,
    /// Additional price of full utilisation, and proportionally less down to the kink; 6,000 by default.
    slope2_bps: Option<u16>,
    /// Utilisation above which the price rises by `slope2_bps`; 8,000 by default.
    kink_bps: Option<u16>,
    /// Price of a drift at the trigger, and proportionally less below it; 1,000 by default.
    risk_slope_bps: Option<u16>,
    /// Parts of `risk_slope_bps` for a persistence of 1 to 4: 10,000 first, and not rising;
    /// 10,000, 9,000, 8,000, 7,000 by default.
    #[schema(min_items = 4, max_items = 4)]
    persistence_bps: Option<[u16; 4]>,
    /// Largest part of the capital that policies may lock; 9,000 by default.
    max_utilisation_bps: Option<u16>,
    /// Part of the unused premium that is kept when a policy is cancelled; 1,000 by default.
    cancel_fee_bps: Option<u16>,
}

impl VaultRequest {
    /// `base`, changed by the fields that are given.
    fn apply_to(&self, base: VaultTerms) -> VaultTerms {
        let amount = |given: Option<U64>, base| given.map_or(base, |U64(amount)| amount);
        VaultTerms {
            min_cover: amount(self.min_cover, base.min_cover),
            max_cover: amount(self.max_cover, base.max_cover),
            min_duration_secs: self.min_duration_secs.unwrap_or(base.min_duration_secs),
            max_duration_secs: self.max_duration_secs.unwrap_or(base.max_duration_secs),
            base_bps: self.base_bps.unwrap_or(base.base_bps),
            slope1_bps: self.slope1_bps.unwrap_or(base.slope1_bps),
            slope2_bps: self.slope2_bps.unwrap_or(base.slope2_bps),
            kink_bps: self.kink_bps.unwrap_or(base.kink_bps),
            risk_slope_bps: self.risk_slope_bps.unwrap_or(base.risk_slope_bps),
            persistence_bps: self.persistence_bps.unwrap_or(base.persistence_bps),
            max_utilisation_bps: self.max_utilisation_bps.unwrap_or(base.max_utilisation_bps),
            cancel_fee_bps: self.cancel_fee_bps.unwrap_or(base.cancel_fee_bps),
            ..base
        }
    }
}

/// Creates a vault.
async fn create(mut view: View, request: VaultRequest) -> Result<TransactionReply, Problem> {
    let manager = request.account.address();
    require_wallet(&manager)?;
    let mint = request.mint.address();
    let collateral = address::collateral(&mint);
    let accounts = view.accounts(&[collateral]).await?;
    let collateral: Option<Collateral> = accounts.find(&collateral)?;
    let collateral = collateral.ok_or_else(|| not_registered(&request.mint))?;
    let defaults = defaults::vault_terms(collateral.decimals).ok_or_else(|| {
        let text =
            "the default amounts in this token exceed 64 bits; use a token with fewer decimals";
        Failure::WouldFail(text.to_owned())
    })?;
    let id = request.id.map_or(accounts.slot, |U64(id)| id);
    let create = instruction::create_vault(
        manager,
        id,
        &collateral,
        request.cooldown_secs.unwrap_or(defaults::COOLDOWN_SECS),
        request.manager_fee_bps,
        request.apply_to(defaults),
    );
    let draft = Draft::new(manager, &accounts, collateral.decimals);
    let draft = draft.creates("vault", address::vault(&manager, id));
    view.finish(draft.push(create)).await
}

/// The admin has not allowed the token.
pub fn not_registered(mint: &Key) -> Failure {
    Failure::Nothing(format!(
        "token {mint} is not registered as collateral; check `mint`, or use another token"
    ))
}

/// Builds a transaction that creates a vault, whose capital backs cover.
///
/// `created` in the answer has the vault's address. The manager then lists models in it.
#[utoipa::path(
    post,
    path = "/insurance/vaults",
    tag = "transactions",
    params(MinSlot),
    request_body = VaultRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_vault(
    request: TransactionRequest<VaultRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    Ok(Json(create(request.view, request.body).await?))
}

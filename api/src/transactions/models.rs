//! Transactions of models and of the pay of their oracles.

mod terms;

use axum::Json;
use chrono::{DateTime, Utc};
use driftshield_sdk::{Address, Collateral, Model, TokenProgram, address, instruction, rpc};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    TransactionReply, View,
    build::{Draft, require_balance},
    failure::Failure,
    markets::WalletRequest,
    request::{MinSlot, TransactionRequest, require_amount, require_wallet},
};
use crate::{
    bytes::Key,
    extract::InPath,
    problem::{Problem, ProblemBody},
    state::AppState,
    values::U64,
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(terms::router())
        .routes(routes!(delete_model))
        .routes(routes!(post_fund))
        .routes(routes!(post_collect))
}

/// A payment to a model's oracles.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
    "amount": "100000000", "until": "2027-06-01T00:00:00Z"
}))]
pub struct FundRequest {
    /// The wallet that pays.
    pub account: Key,
    /// Base units of the model's bond mint.
    pub amount: U64,
    /// End of the time that is paid, at most 400 days ahead.
    pub until: DateTime<Utc>,
}

/// A reward to collect.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
    "model": "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi"
}))]
pub struct CollectRequest {
    /// Wallet that signs and pays the fee.
    pub account: Key,
    /// The model that lists the oracle.
    pub model: Key,
}

/// A model and the collateral of its bonds, as of one slot.
struct ModelAccounts {
    accounts: rpc::Accounts,
    model: Model,
    collateral: Collateral,
}

impl ModelAccounts {
    /// `others` are further accounts to read, by the model.
    async fn read(
        view: &mut View,
        key: Address,
        others: impl FnOnce(&Model) -> Vec<Address>,
    ) -> Result<Self, Problem> {
        // A model's bond mint never changes.
        let model: Model = view.accounts(&[key]).await?.get(&key)?;
        let collateral = address::collateral(&model.bond_mint);
        let addresses = [vec![key, collateral], others(&model)].concat();
        let accounts = view.accounts(&addresses).await?;
        Ok(Self {
            model: accounts.get(&key)?,
            collateral: accounts.get(&collateral)?,
            accounts,
        })
    }

    fn draft(&self, payer: Address) -> Draft {
        Draft::new(payer, &self.accounts, self.collateral.decimals)
    }
}

/// `owner`'s associated token account for the bond mint of a model.
fn tokens_of(owner: &Address, model: &Model) -> Address {
    address::token_account(owner, &model.bond_mint, model.token_program.into())
}

/// Retires a model.
async fn retire(
    mut view: View,
    key: Address,
    request: WalletRequest,
) -> Result<TransactionReply, Problem> {
    let owner = request.account.address();
    require_wallet(&owner)?;
    let read = ModelAccounts::read(&mut view, key, |_| vec![]).await?;
    let retire = instruction::retire_model(owner, key);
    view.finish(read.draft(owner).push(retire)).await
}

/// Adds to the pay of a model's oracles.
pub async fn fund(
    mut view: View,
    key: Address,
    request: FundRequest,
) -> Result<TransactionReply, Problem> {
    let funder = request.account.address();
    require_wallet(&funder)?;
    let U64(amount) = request.amount;
    require_amount("amount", amount)?;
    let source = |model: &Model| vec![tokens_of(&funder, model)];
    let read = ModelAccounts::read(&mut view, key, source).await?;
    let source = tokens_of(&funder, &read.model);
    require_balance(&read.accounts, &source, amount, read.collateral.decimals)?;
    let until = request.until.timestamp();
    let fund = instruction::fund_oracles(funder, key, &read.model, source, amount, until);
    view.finish(read.draft(funder).push(fund)).await
}

/// Pays the reward of an oracle on one model to the oracle.
pub async fn collect(
    mut view: View,
    oracle: Address,
    request: CollectRequest,
) -> Result<TransactionReply, Problem> {
    let payer = request.account.address();
    require_wallet(&payer)?;
    let key = request.model.address();
    let destination = |model: &Model| vec![tokens_of(&oracle, model)];
    let read = ModelAccounts::read(&mut view, key, destination).await?;
    let index = read.model.oracle_index(&oracle).ok_or_else(|| {
        Failure::Nothing(format!(
            "{oracle} is not an oracle of model {key}; check both addresses"
        ))
    })?;
    let program: TokenProgram = read.model.token_program.into();
    let mint = &read.model.bond_mint;
    let draft = read.draft(payer);
    let draft = draft.with_token_account(&read.accounts, &oracle, mint, program);
    let collect = instruction::collect_reward(key, &read.model, index);
    view.finish(draft.push(collect)).await
}

/// Builds a transaction that retires a model for good.
///
/// A retired model takes no new markets, bets or cover. The model's owner has to sign it.
#[utoipa::path(
    delete,
    path = "/models/{model}",
    tag = "transactions",
    params(("model" = Key, Path, description = "Address of the model"), MinSlot),
    request_body(content = WalletRequest,
        example = json!({ "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin" })),
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn delete_model(
    InPath(key): InPath<Key>,
    request: TransactionRequest<WalletRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = retire(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

/// Builds a transaction that adds to the pay of a model's oracles.
///
/// Any wallet can pay. The payment streams to the windows until its end.
#[utoipa::path(
    post,
    path = "/models/{model}/fund",
    tag = "transactions",
    params(("model" = Key, Path, description = "Address of the model"), MinSlot),
    request_body = FundRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_fund(
    InPath(key): InPath<Key>,
    request: TransactionRequest<FundRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = fund(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

/// Builds a transaction that pays an oracle's reward on a model to the oracle.
///
/// Any wallet can sign it. It creates the oracle's associated token account if that is missing.
#[utoipa::path(
    post,
    path = "/oracles/{oracle}/collect",
    tag = "transactions",
    params(("oracle" = Key, Path, description = "Key of the oracle"), MinSlot),
    request_body = CollectRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_collect(
    InPath(oracle): InPath<Key>,
    request: TransactionRequest<CollectRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = collect(request.view, oracle.address(), request.body).await?;
    Ok(Json(reply))
}

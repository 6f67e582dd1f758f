//! Transactions of policies.

use axum::Json;
use driftshield_sdk::{
    Address, DriftShieldError, Exposure, Instruction, Model, Policy, PolicyTerms, Series, Vault,
    address, defaults, error, instruction, quote, quote_renewal, rpc,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    TransactionReply, View,
    build::{Draft, require_balance},
    markets::WalletRequest,
    reply::Bound,
    request::{MinSlot, TransactionRequest, require_amount, require_wallet},
};
use crate::{
    bytes::Key,
    extract::InPath,
    problem::{Problem, ProblemBody},
    quote::{not_listed, program_error, refused},
    state::AppState,
    values::{Scaled, U64},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(post_policy))
        .routes(routes!(post_claim))
        .routes(routes!(post_renew))
        .routes(routes!(delete_policy))
}

/// Cover to buy. Amounts are in base units of the vault's mint, drift is in micro-units.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
    "vault": "Ha1Sf8MXBpcf7b9xVfH5ALXNd6iZbSNnFRWkm9SMoHH",
    "model": "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi",
    "cover": "100000000", "trigger": "250000", "windows": "30"
}))]
pub struct PolicyRequest {
    /// The holder's wallet.
    pub account: Key,
    pub vault: Key,
    pub model: Key,
    /// Id of the policy, unique for its vault and holder. By default the current slot.
    pub id: Option<U64>,
    /// Highest total payment.
    pub cover: U64,
    /// Drift from which the policy pays.
    pub trigger: U64,
    /// Drift from which the policy pays all of its cover. By default the lowest: the trigger plus eight
    /// times the model's `max_spread`.
    pub exhaustion: Option<U64>,
    /// Number of consecutive windows in which drift has to reach the trigger, 1 to 4; 1 by default.
    pub persistence: Option<u8>,
    /// Number of covered windows, from the earliest possible one on.
    pub windows: U64,
    /// First covered window. The program accepts only the earliest possible one, which is the default.
    pub first_window: Option<U64>,
    /// Highest premium, security rent included, of the purchase and of each renewal. By default 1%
    /// above the price now.
    pub max_premium: Option<U64>,
    /// Highest cancel fee in basis points. By default the vault's present one.
    pub max_cancel_fee_bps: Option<u16>,
    /// Whether anyone may renew the policy with tokens that the holder has approved; false by default.
    #[serde(default)]
    pub auto_renew: bool,
    /// Version of the model that the holder has seen. By default the current one.
    pub model_version: Option<u32>,
}

/// What a vault offers on a model, as of one slot, with its premiums streamed until then.
struct Offer {
    accounts: rpc::Accounts,
    vault: Vault,
    model: Model,
    exposure: Exposure,
    now: i64,
}

impl Offer {
    /// `others` are further accounts to read, by the vault.
    async fn read(
        view: &mut View,
        vault: Address,
        model: Address,
        others: impl FnOnce(&Vault) -> Vec<Address>,
    ) -> Result<Self, Problem> {
        // A vault's mint never changes.
        let state: Vault = view.accounts(&[vault]).await?.get(&vault)?;
        let exposure = address::exposure(&vault, &model);
        let addresses = [vec![vault, model, exposure, rpc::CLOCK], others(&state)].concat();
        let accounts = view.accounts(&addresses).await?;
        let (mut state, now): (Vault, _) = (accounts.get(&vault)?, accounts.unix_timestamp()?);
        state.accrue(now);
        let listed: Option<Exposure> = accounts.find(&exposure)?;
        Ok(Self {
            vault: state,
            model: accounts.get(&model)?,
            exposure: listed.ok_or_else(not_listed)?,
            now,
            accounts,
        })
    }

    /// What `terms` cost now, security rent included.
    fn price(&self, terms: &PolicyTerms) -> Result<u64, Problem> {
        let mut vault = self.vault; // a copy
        quote(&mut vault, &self.exposure, &self.model, terms, self.now)
            .map(|quote| quote.price())
            .map_err(|refusal| refused(refusal, vault.decimals))
    }

    fn draft(&self, payer: Address) -> Draft {
        Draft::new(payer, &self.accounts, self.vault.decimals)
    }

    /// The terms to buy, but for the limit on the premium.
    fn terms(&self, request: &PolicyRequest) -> PolicyTerms {
        let (U64(cover), U64(trigger), U64(windows)) =
            (request.cover, request.trigger, request.windows);
        let (vault, model) = (&self.vault, &self.model);
        let defaults = defaults::policy_terms(vault, model, self.now, cover, trigger, windows);
        let or = |given: Option<U64>, default| given.map_or(default, |U64(value)| value);
        PolicyTerms {
            model_version: request.model_version.unwrap_or(defaults.model_version),
            exhaustion: or(request.exhaustion, defaults.exhaustion),
            persistence: request.persistence.unwrap_or(defaults.persistence),
            first_window: or(request.first_window, defaults.first_window),
            max_premium: or(request.max_premium, defaults.max_premium),
            auto_renew: request.auto_renew,
            ..defaults
        }
    }
}

/// Buys cover.
pub async fn buy(mut view: View, request: PolicyRequest) -> Result<TransactionReply, Problem> {
    let holder = request.account.address();
    require_wallet(&holder)?;
    require_amount("cover", request.cover.0)?;
    let (vault, model) = (request.vault.address(), request.model.address());
    let source =
        |state: &Vault| address::token_account(&holder, &state.mint, state.token_program.into());
    let offer = Offer::read(&mut view, vault, model, |state| vec![source(state)]).await?;
    let mut terms = offer.terms(&request);
    let (max_cancel_fee, fee) = Bound::or(
        "max_cancel_fee_bps",
        request.max_cancel_fee_bps.map(|bps| U64(bps.into())),
        terms.max_cancel_fee_bps.into(),
        |raw| Scaled::new(raw, 2),
        "highest cancel fee of the vault, in percent of the unused premium",
    );
    terms.max_cancel_fee_bps = u16::try_from(max_cancel_fee).unwrap_or(u16::MAX); // both have 16 bits
    let price = offer.price(&terms)?;
    let (max_premium, premium) = Bound::or(
        "max_premium",
        request.max_premium,
        defaults::max_premium(price),
        |raw| Scaled::new(raw, offer.vault.decimals),
        "highest premium, security rent included, of the purchase and of each renewal",
    );
    terms.max_premium = max_premium;
    let (source, decimals) = (source(&offer.vault), offer.vault.decimals);
    require_balance(&offer.accounts, &source, price, decimals)?;
    let id = request.id.map_or(offer.accounts.slot, |U64(id)| id);
    let buy = instruction::buy_policy(holder, id, vault, &offer.vault, model, source, terms);
    let draft = offer.draft(holder).bound(premium).bound(fee);
    let draft = draft.creates("policy", address::policy(&vault, &holder, id));
    view.finish(draft.push(buy)).await
}

/// A policy, and what its payments read: as of one slot.
struct PolicyAccounts {
    accounts: rpc::Accounts,
    policy: Policy,
    vault: Vault,
    model: Model,
    now: i64,
}

impl PolicyAccounts {
    async fn read(view: &mut View, key: Address) -> Result<Self, Problem> {
        // The page of the first window to examine can only be one that an examination in between
        // moves on from: then the next request reads the next one.
        let policy: Policy = view.accounts(&[key]).await?.get(&key)?;
        let page = address::series(&policy.model, policy.returned_until);
        let addresses = [key, policy.vault, policy.model, page, rpc::CLOCK];
        let accounts = view.accounts(&addresses).await?;
        Ok(Self {
            policy: accounts.get(&key)?,
            vault: accounts.get(&policy.vault)?,
            model: accounts.get(&policy.model)?,
            now: accounts.unix_timestamp()?,
            accounts,
        })
    }

    /// The instruction that examines the policy; `None` if that would find no decided window.
    fn examination(&self) -> Result<Option<Instruction>, Problem> {
        let (policy, model, now) = (&self.policy, &self.model, self.now);
        let Some(first) = defaults::first_to_examine(policy, model, now) else {
            return Ok(None);
        };
        let page = address::series(&policy.model, first);
        let page: Option<Series> = self.accounts.find(&page)?;
        let is_decided = defaults::is_decided(first, page.as_ref(), model, now);
        Ok(is_decided.then(|| {
            let windows = policy.windows_to_examine(model, now, usize::MAX);
            instruction::examine_policy(policy, windows)
        }))
    }

    /// Examines what is decided, and makes sure that the holder's token account exists.
    fn draft(&self, payer: Address) -> Result<Draft, Problem> {
        let mut draft = Draft::new(payer, &self.accounts, self.vault.decimals);
        if let Some(examine) = self.examination()? {
            draft = draft.push(examine);
        }
        let (holder, mint) = (&self.policy.holder, &self.vault.mint);
        let program = self.vault.token_program.into();
        let create = instruction::create_token_account(&payer, holder, mint, program);
        Ok(draft.push(create))
    }
}

/// Examines a policy's windows and pays what it owes to its holder.
pub async fn claim(
    mut view: View,
    key: Address,
    request: WalletRequest,
) -> Result<TransactionReply, Problem> {
    let payer = request.account.address();
    require_wallet(&payer)?;
    let read = PolicyAccounts::read(&mut view, key).await?;
    let claim = instruction::claim_policy(&read.policy, &read.vault);
    view.finish(read.draft(payer)?.push(claim)).await
}

/// Cancels a policy. Examines its windows before, since windows that aren't examined are worth nothing
/// to a cancelled policy.
pub async fn cancel(
    mut view: View,
    key: Address,
    request: WalletRequest,
) -> Result<TransactionReply, Problem> {
    let payer = request.account.address();
    require_wallet(&payer)?;
    let read = PolicyAccounts::read(&mut view, key).await?;
    if read.policy.holder != payer {
        return Err(program_error(error::code(DriftShieldError::NotHolder)));
    }
    let cancel = instruction::cancel_policy(&read.policy, &read.vault);
    view.finish(read.draft(payer)?.push(cancel)).await
}

/// Renews a policy by another term.
pub async fn renew(
    mut view: View,
    key: Address,
    request: WalletRequest,
) -> Result<TransactionReply, Problem> {
    let payer = request.account.address();
    require_wallet(&payer)?;
    let policy: Policy = view.accounts(&[key]).await?.get(&key)?;
    let source = |state: &Vault| {
        address::token_account(&policy.holder, &state.mint, state.token_program.into())
    };
    let others = |state: &Vault| vec![key, source(state)];
    let offer = Offer::read(&mut view, policy.vault, policy.model, others).await?;
    let policy: Policy = offer.accounts.get(&key)?;
    let is_signed = policy.holder == payer;
    let mut vault = offer.vault; // a copy
    let (exposure, model) = (&offer.exposure, &offer.model);
    let quote = quote_renewal(&mut vault, exposure, model, &policy, is_signed, offer.now)
        .map_err(|refusal| refused(refusal, vault.decimals))?;
    let (source, decimals) = (source(&offer.vault), offer.vault.decimals);
    require_balance(&offer.accounts, &source, quote.price(), decimals)?;
    let max_premium = Bound {
        name: "max_premium",
        value: Scaled::new(policy.max_premium, decimals),
        given: true,
        meaning: "highest premium of a renewal, security rent included, as the policy was bought",
    };
    let renew = instruction::renew_policy(&policy, &offer.vault, source, is_signed);
    view.finish(offer.draft(payer).bound(max_premium).push(renew))
        .await
}

/// Builds a transaction that buys cover against a model's drift.
///
/// The price is that of `POST /insurance/quote`, on the state of the RPC node. `created` in the answer has
/// the policy's address. A refusal says what the rule would allow.
#[utoipa::path(
    post,
    path = "/insurance/policies",
    tag = "transactions",
    params(MinSlot),
    request_body = PolicyRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_policy(
    request: TransactionRequest<PolicyRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    Ok(Json(buy(request.view, request.body).await?))
}

/// Builds a transaction that examines a policy's windows and pays what the policy owes to its holder.
///
/// Any wallet can sign it. It creates the holder's associated token account if that is missing.
#[utoipa::path(
    post,
    path = "/insurance/policies/{policy}/claim",
    tag = "transactions",
    params(("policy" = Key, Path, description = "Address of the policy"), MinSlot),
    request_body(content = WalletRequest,
        example = json!({ "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin" })),
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_claim(
    InPath(key): InPath<Key>,
    request: TransactionRequest<WalletRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = claim(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

/// Builds a transaction that extends a policy by another term, at its price now.
///
/// Another wallet than the holder's can renew a policy with `auto_renew`, at the holder's expense.
#[utoipa::path(
    post,
    path = "/insurance/policies/{policy}/renew",
    tag = "transactions",
    params(("policy" = Key, Path, description = "Address of the policy"), MinSlot),
    request_body(content = WalletRequest,
        example = json!({ "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin" })),
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_renew(
    InPath(key): InPath<Key>,
    request: TransactionRequest<WalletRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = renew(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

/// Builds a transaction that cancels a policy and refunds its unused premium, less a fee.
///
/// It examines the policy's windows before, so that the policy also pays what they are worth.
#[utoipa::path(
    delete,
    path = "/insurance/policies/{policy}",
    tag = "transactions",
    params(("policy" = Key, Path, description = "Address of the policy"), MinSlot),
    request_body(content = WalletRequest,
        example = json!({ "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin" })),
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn delete_policy(
    InPath(key): InPath<Key>,
    request: TransactionRequest<WalletRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = cancel(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

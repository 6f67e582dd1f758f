//! Transactions of vaults: their creation, deposits and withdrawals.

pub mod create;

use axum::Json;
use driftshield_sdk::{
    Address, DepositLimits, TokenProgram, Vault, WithdrawRequest, address, defaults, instruction,
    rpc,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    TransactionReply, View,
    build::{Draft, require_balance},
    failure::Failure,
    reply::Bound,
    request::{MinSlot, TransactionRequest, require_amount, require_wallet},
};
use crate::{
    bytes::Key,
    extract::InPath,
    problem::{Problem, ProblemBody},
    quote::program_error,
    state::AppState,
    values::{Scaled, U64},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(create::router())
        .routes(routes!(post_deposit))
        .routes(routes!(post_withdraw))
}

/// A deposit into a vault.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin", "amount": "1000000000"
}))]
pub struct DepositRequest {
    /// The wallet that pays, and gets the shares.
    pub account: Key,
    /// Base units of the vault's mint.
    pub amount: U64,
    /// Fewest shares for the deposit. By default 0.1% less than it would buy now: premiums that stream
    /// until it lands raise the price of a share.
    pub min_shares: Option<U64>,
    /// Most losses of the vault that may be pending, in base units: the deposit bears its part of them.
    /// By default 0.1% of the vault's capital.
    pub max_pending_losses: Option<U64>,
}

/// A withdrawal from a vault.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin" }))]
pub struct WithdrawalRequest {
    /// The wallet that owns the shares.
    pub account: Key,
    /// Shares to request, in the share mint's base units. If they are given, the transaction requests
    /// them, which starts the cooldown of an earlier request anew.
    pub shares: Option<U64>,
}

/// A vault with its premiums streamed, and what belongs to a liquidity provider: as of one slot.
struct ProviderAccounts {
    accounts: rpc::Accounts,
    vault: Vault,
    request: Option<WithdrawRequest>,
    /// The provider's associated token account of the vault's mint.
    tokens: Address,
    /// The provider's associated token account of shares.
    shares: Address,
    now: i64,
}

impl ProviderAccounts {
    async fn read(view: &mut View, key: Address, owner: &Address) -> Result<Self, Problem> {
        // A vault's mints never change.
        let vault: Vault = view.accounts(&[key]).await?.get(&key)?;
        let tokens = address::token_account(owner, &vault.mint, vault.token_program.into());
        let shares = address::share_account(owner, &vault);
        let request = address::withdraw_request(&key, owner);
        let addresses = [key, request, tokens, shares, rpc::CLOCK];
        let accounts = view.accounts(&addresses).await?;
        let (mut vault, now): (Vault, _) = (accounts.get(&key)?, accounts.unix_timestamp()?);
        vault.accrue(now);
        Ok(Self {
            vault,
            request: accounts.find(&request)?,
            tokens,
            shares,
            now,
            accounts,
        })
    }

    fn draft(&self, payer: Address) -> Draft {
        Draft::new(payer, &self.accounts, self.vault.decimals)
    }
}

/// Deposits tokens for shares.
pub async fn deposit(
    mut view: View,
    key: Address,
    request: DepositRequest,
) -> Result<TransactionReply, Problem> {
    let owner = request.account.address();
    require_wallet(&owner)?;
    let U64(amount) = request.amount;
    require_amount("amount", amount)?;
    let read = ProviderAccounts::read(&mut view, key, &owner).await?;
    let vault = &read.vault;
    let (max_pending_losses, losses) = Bound::or(
        "max_pending_losses",
        request.max_pending_losses,
        defaults::max_pending_losses(vault),
        |raw| Scaled::new(raw, vault.decimals),
        "most losses of the vault that may be pending; the deposit bears its part of them",
    );
    let least = defaults::min_shares(vault, amount, max_pending_losses).map_err(program_error)?;
    let (min_shares, shares) = Bound::or(
        "min_shares",
        request.min_shares,
        least,
        |raw| Scaled::shares(raw, vault.decimals),
        "fewest shares for the deposit",
    );
    require_balance(&read.accounts, &read.tokens, amount, vault.decimals)?;
    let limits = DepositLimits {
        min_shares,
        revision: vault.revision,
        max_pending_losses,
    };
    let mut draft = read.draft(owner).bound(shares).bound(losses);
    if !read.accounts.contains(&read.shares) {
        let create = instruction::create_share_account(&owner, &owner, vault);
        draft = draft.push(create).creates("share_account", read.shares);
    }
    let deposit = instruction::deposit(owner, key, vault, read.tokens, amount, limits);
    view.finish(draft.push(deposit)).await
}

/// What a withdrawal does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Requests these shares, with what a request that is too old to be paid holds.
    Request(u64),
    /// Pays the present request, or says why it can't be paid yet.
    Withdraw,
}

/// Chooses the step. `balance`: shares in the owner's token account.
///
/// A request is paid in its exit window; before that, the program says that it is cooling down. After
/// it, nothing can be paid without another request, which takes back in what the first one holds.
fn step(given: Option<U64>, request: Option<&WithdrawRequest>, balance: u64, now: i64) -> Step {
    match (given, request) {
        (Some(U64(shares)), _) => Step::Request(shares),
        (None, Some(request)) if request.shares == 0 && now < request.lapses_at => Step::Withdraw,
        (None, _) => Step::Request(balance),
    }
}

/// Requests a withdrawal, or withdraws what a request can be paid.
pub async fn withdraw(
    mut view: View,
    key: Address,
    request: WithdrawalRequest,
) -> Result<TransactionReply, Problem> {
    let owner = request.account.address();
    require_wallet(&owner)?;
    let read = ProviderAccounts::read(&mut view, key, &owner).await?;
    let vault = &read.vault;
    let shares = read.accounts.token_account(&read.shares)?;
    let balance = shares.map_or(0, |account| account.amount);
    let (created, draft) = (read.request.is_none(), read.draft(owner));
    let draft = match step(request.shares, read.request.as_ref(), balance, read.now) {
        Step::Request(0) if created => {
            return Err(Failure::Nothing(format!(
                "{owner} has no shares of vault {key} and no withdrawal request; check both addresses"
            ))
            .into());
        }
        Step::Request(shares) => {
            require_shares(shares, balance, vault.decimals)?;
            let request = address::withdraw_request(&key, &owner);
            let draft = match created {
                true => draft.creates("withdraw_request", request),
                false => draft,
            };
            draft.push(instruction::request_withdraw(owner, key, vault, shares))
        }
        Step::Withdraw => {
            let program: TokenProgram = vault.token_program.into();
            draft
                .with_token_account(&read.accounts, &owner, &vault.mint, program)
                .push(instruction::withdraw(owner, key, vault))
        }
    };
    view.finish(draft).await
}

/// Refuses to request more shares than the owner has.
fn require_shares(shares: u64, balance: u64, decimals: u8) -> Result<(), Problem> {
    if shares <= balance {
        return Ok(());
    }
    let [has, needs] = [balance, shares].map(|shares| Scaled::shares(shares, decimals).scaled);
    Err(Failure::WouldFail(format!(
        "insufficient shares: the wallet has {has}, and `shares` are {needs}; request at most what it \
         has"
    ))
    .into())
}

/// Builds a transaction that deposits tokens into a vault in exchange for shares.
///
/// It creates the wallet's token account for shares if that is missing.
#[utoipa::path(
    post,
    path = "/insurance/vaults/{vault}/deposit",
    tag = "transactions",
    params(("vault" = Key, Path, description = "Address of the vault"), MinSlot),
    request_body = DepositRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_deposit(
    InPath(key): InPath<Key>,
    request: TransactionRequest<DepositRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = deposit(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

/// Builds a transaction that takes the next step of a withdrawal from a vault.
///
/// Without `shares`, it depends on the wallet's withdrawal request. If there is none, the transaction
/// requests the withdrawal of all shares. If the cooldown of the request is over, it withdraws. If the exit
/// window is over, too, it requests again. While the request cools down, the answer is the program's error
/// `StillCoolingDown`. `summary` in the answer says which step it is.
#[utoipa::path(
    post,
    path = "/insurance/vaults/{vault}/withdraw",
    tag = "transactions",
    params(("vault" = Key, Path, description = "Address of the vault"), MinSlot),
    request_body = WithdrawalRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_withdraw(
    InPath(key): InPath<Key>,
    request: TransactionRequest<WithdrawalRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = withdraw(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{Account, AccountKind};

    use super::*;

    fn request(shares: u64) -> WithdrawRequest {
        let Account::WithdrawRequest(zeroed) = Account::zeroed(AccountKind::WithdrawRequest) else {
            panic!("another kind of account");
        };
        WithdrawRequest {
            shares,
            unlock_at: 100,
            lapses_at: 200,
            ..*zeroed
        }
    }

    #[test]
    fn a_request_is_paid_until_it_lapses_and_requested_again_afterwards() {
        let open = request(0);
        let at = |now| step(None, Some(&open), 7, now);
        // Before 100 the program refuses the withdrawal.
        assert_eq!(
            (at(99), at(100), at(199)),
            (Step::Withdraw, Step::Withdraw, Step::Withdraw)
        );
        assert_eq!(at(200), Step::Request(7));
        let lapsed = request(5);
        assert_eq!(step(None, Some(&lapsed), 0, 150), Step::Request(0));
    }

    #[test]
    fn shares_that_are_given_are_requested_whatever_else_is_due() {
        let open = request(0);
        for request in [None, Some(&open)] {
            assert_eq!(step(Some(U64(3)), request, 7, 150), Step::Request(3));
        }
        assert_eq!(step(None, None, 7, 150), Step::Request(7));
    }

    #[test]
    fn no_more_shares_than_there_are_can_be_requested() {
        assert!(require_shares(7, 7, 6).is_ok());
        let text = require_shares(8_000_000_000, 7, 6).unwrap_err().to_string();
        assert!(text.contains("`shares` are 8"), "{text}");
    }
}

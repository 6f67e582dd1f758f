//! Transactions of markets and positions.

mod create;
mod sales;

use axum::Json;
use driftshield_sdk::{Address, Market, Model, Position, address, instruction, rpc};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::sales::{buy, set_ask};
use super::{
    View,
    build::{Draft, require_balance},
    failure::Failure,
    reply::{Bound, TransactionReply},
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
        .merge(sales::router())
        .routes(routes!(post_bet))
        .routes(routes!(post_resolve))
        .routes(routes!(post_claim))
}

/// The body of a request that has only the wallet.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WalletRequest {
    /// Wallet that signs and pays the fee.
    pub account: Key,
}

/// A bet.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin", "outcome": 1, "amount": "1500000"
}))]
pub struct BetRequest {
    /// The bettor's wallet.
    pub account: Key,
    /// Index of the outcome; 0 is the lowest drift.
    pub outcome: u8,
    /// Stake in base units of the market's mint.
    pub amount: U64,
    /// Smallest payout multiple right after the bet, in thousandths of the stake. By default the
    /// multiple that the bet has if nobody else bets before.
    pub min_multiple: Option<U64>,
    /// Highest security rent, which is paid beside the stake, in base units. By default the rent now,
    /// which only falls.
    pub max_rent: Option<U64>,
}

/// A market, and what its transactions read: as of one slot.
struct MarketAccounts {
    accounts: rpc::Accounts,
    market: Market,
    model: Model,
    now: i64,
}

impl MarketAccounts {
    /// `others` are further accounts to read, by the market.
    async fn read(
        view: &mut View,
        key: Address,
        others: impl FnOnce(&Market) -> Vec<Address>,
    ) -> Result<Self, Problem> {
        // A market's model and mint never change.
        let market: Market = view.accounts(&[key]).await?.get(&key)?;
        let mut addresses = vec![key, market.model, rpc::CLOCK];
        addresses.extend(others(&market));
        let accounts = view.accounts(&addresses).await?;
        Ok(Self {
            market: accounts.get(&key)?,
            model: accounts.get(&market.model)?,
            now: accounts.unix_timestamp()?,
            accounts,
        })
    }

    fn draft(&self, payer: Address) -> Draft {
        Draft::new(payer, &self.accounts, self.market.decimals)
    }

    fn amount(&self, raw: u64) -> Scaled {
        Scaled::new(raw, self.market.decimals)
    }
}

/// `owner`'s associated token account for the mint of a market.
fn tokens_of(owner: &Address, market: &Market) -> Address {
    address::token_account(owner, &market.mint, market.token_program.into())
}

/// Places a bet.
pub async fn bet(
    mut view: View,
    key: Address,
    request: BetRequest,
) -> Result<TransactionReply, Problem> {
    let bettor = request.account.address();
    require_wallet(&bettor)?;
    let U64(amount) = request.amount;
    require_amount("amount", amount)?;
    let position = address::position(&key, &bettor);
    let read = MarketAccounts::read(&mut view, key, |market| {
        vec![position, tokens_of(&bettor, market)]
    });
    let read = read.await?;
    let market = &read.market;
    // The program's own rules, so the bounds are exactly what the program computes on this state.
    let multiple = market
        .clone()
        .bet(usize::from(request.outcome), amount, 0, read.now)
        .map_err(program_error)?;
    let (rent, _) = market
        .rent(&read.model, amount, read.now)
        .map_err(program_error)?;
    let (min_multiple, least) = Bound::or(
        "min_multiple",
        request.min_multiple,
        multiple,
        Scaled::multiple,
        "smallest payout multiple right after the bet; later bets still change it",
    );
    let (max_rent, highest) = Bound::or(
        "max_rent",
        request.max_rent,
        rent,
        |raw| read.amount(raw),
        "highest security rent, which is paid beside the stake",
    );
    let source = tokens_of(&bettor, market);
    let needed = amount.saturating_add(rent);
    require_balance(&read.accounts, &source, needed, market.decimals)?;
    let bet = instruction::Bet {
        outcome: request.outcome,
        amount,
        min_multiple,
        max_rent,
    };
    let draft = read.draft(bettor).bound(least).bound(highest);
    let draft = draft.creates_if_missing(&read.accounts, "position", position);
    let bet = instruction::place_bet(bettor, key, market, source, bet);
    view.finish(draft.push(bet)).await
}

/// Settles every window that is decided.
pub async fn resolve(
    mut view: View,
    key: Address,
    request: WalletRequest,
) -> Result<TransactionReply, Problem> {
    let payer = request.account.address();
    require_wallet(&payer)?;
    let read = MarketAccounts::read(&mut view, key, |_| vec![]).await?;
    let settle = instruction::settle_market(key, &read.market);
    view.finish(read.draft(payer).push(settle)).await
}

/// Pays the wallet's position in a settled market.
pub async fn claim(
    mut view: View,
    key: Address,
    request: WalletRequest,
) -> Result<TransactionReply, Problem> {
    let owner = request.account.address();
    require_wallet(&owner)?;
    let position = address::position(&key, &owner);
    let read = MarketAccounts::read(&mut view, key, |market| {
        vec![position, tokens_of(&owner, market)]
    });
    let read = read.await?;
    let market = &read.market;
    let position: Option<Position> = read.accounts.find(&position)?;
    let position = position.ok_or_else(|| no_position(&owner, &key))?;
    let paid = market.clone().claim(&position).map_err(program_error)?;
    let mut draft = read.draft(owner);
    // A payout of 0 needs no token account.
    if 0 < paid {
        let program = market.token_program.into();
        draft = draft.with_token_account(&read.accounts, &owner, &market.mint, program);
    }
    view.finish(draft.push(instruction::claim(owner, key, market)))
        .await
}

fn no_position(owner: &Address, market: &Address) -> Failure {
    Failure::Nothing(format!(
        "{owner} has no position in market {market}, or it is claimed or sold already; check both \
         addresses"
    ))
}

/// Builds a transaction that bets on an outcome of a market.
///
/// The stake is paid from the wallet's associated token account. The answer's `bounds` say what the
/// bettor accepts if others bet first.
#[utoipa::path(
    post,
    path = "/markets/{market}/bet",
    tag = "transactions",
    params(("market" = Key, Path, description = "Address of the market"), MinSlot),
    request_body = BetRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_bet(
    InPath(key): InPath<Key>,
    request: TransactionRequest<BetRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = bet(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

/// Builds a transaction that settles every decided window of a market.
///
/// Anyone can settle. The instruction that settles the last window resolves the market.
#[utoipa::path(
    post,
    path = "/markets/{market}/resolve",
    tag = "transactions",
    params(("market" = Key, Path, description = "Address of the market"), MinSlot),
    request_body(content = WalletRequest,
        example = json!({ "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin" })),
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_resolve(
    InPath(key): InPath<Key>,
    request: TransactionRequest<WalletRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = resolve(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

/// Builds a transaction that pays the wallet's position in a settled market and closes it.
///
/// It creates the wallet's associated token account if that is missing.
#[utoipa::path(
    post,
    path = "/markets/{market}/claim",
    tag = "transactions",
    params(("market" = Key, Path, description = "Address of the market"), MinSlot),
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

//! Sales of stakes: asks, and purchases from them.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use driftshield_sdk::{
    Address, Ask, Position, address,
    instruction::{self, Purchase},
    math,
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{MarketAccounts, no_position, tokens_of};
use crate::{
    bytes::Key,
    extract::{self, InPath},
    problem::{Problem, ProblemBody},
    quote::program_error,
    state::AppState,
    transactions::{
        Failure, TransactionReply, View,
        build::require_balance,
        reply::Bound,
        request::{MinSlot, TransactionRequest, require_amount, require_wallet},
    },
    values::{Scaled, U64},
};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(post_ask))
        .routes(routes!(post_buy))
}

/// An offer to sell a part of a stake, in place of the previous ask on the outcome.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
    "outcome": 1, "amount": "500000", "price": 900
}))]
pub struct AskRequest {
    /// The wallet whose stake is for sale.
    pub account: Key,
    /// Index of the outcome.
    pub outcome: u8,
    /// Part of the stake to sell, in base units; 0 removes the ask.
    pub amount: U64,
    /// Lowest payment for each staked token, in thousandths. Not needed to remove the ask.
    pub price: Option<u32>,
    /// Time at which the ask ends, at the latest the next end of an observed window, which is the
    /// default.
    pub valid_until: Option<DateTime<Utc>>,
}

/// A purchase of a part of another bettor's stake.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "account": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin", "outcome": 1, "amount": "500000"
}))]
pub struct BuyRequest {
    /// The buyer's wallet.
    pub account: Key,
    /// Index of the outcome.
    pub outcome: u8,
    /// Stake to buy, in base units.
    pub amount: U64,
    /// Owner of the position to buy from. By default that of the cheapest ask of at least this amount.
    pub seller: Option<Key>,
    /// Highest payment for each staked token, in thousandths. By default the price of the ask now.
    pub max_price: Option<u32>,
}

/// Sets or removes an ask.
pub async fn set_ask(
    mut view: View,
    key: Address,
    request: AskRequest,
) -> Result<TransactionReply, Problem> {
    let owner = request.account.address();
    require_wallet(&owner)?;
    let position = address::position(&key, &owner);
    let read = MarketAccounts::read(&mut view, key, |_| vec![position]).await?;
    if !read.accounts.contains(&position) {
        return Err(no_position(&owner, &key).into());
    }
    let ask = match request.amount {
        U64(0) => Ask::default(),
        amount => read.ask(&request, amount)?,
    };
    let set = instruction::set_ask(owner, key, &read.market, request.outcome, ask);
    view.finish(read.draft(owner).push(set)).await
}

impl MarketAccounts {
    fn ask(&self, request: &AskRequest, U64(amount): U64) -> Result<Ask, Problem> {
        let price = request.price.ok_or_else(|| {
            let text = "`price` is missing; give the lowest payment for each staked token, in \
                        thousandths";
            Problem::InvalidValue(text.to_owned())
        })?;
        let valid_until = match request.valid_until {
            Some(time) => time.timestamp(),
            None => {
                let latest = self.market.latest_ask_end(&self.model, self.now);
                latest.map_err(program_error)?
            }
        };
        Ok(Ask {
            amount,
            valid_until,
            price,
            reports: self.model.reports,
        })
    }
}

/// Buys from an ask. Without a seller in the request, the mirror says who asks least.
pub async fn buy(
    mut view: View,
    app: &AppState,
    key: Address,
    request: BuyRequest,
) -> Result<TransactionReply, Problem> {
    let buyer = request.account.address();
    require_wallet(&buyer)?;
    let U64(amount) = request.amount;
    require_amount("amount", amount)?;
    let seller = match request.seller {
        Some(seller) => seller.address(),
        None => cheapest_seller(app, key.into(), &request).await?,
    };
    if seller == buyer {
        let text = "`seller` is `account`; buy from another seller";
        return Err(Problem::InvalidValue(text.to_owned()));
    }
    let [position, own] = [&seller, &buyer].map(|owner| address::position(&key, owner));
    let read = MarketAccounts::read(&mut view, key, |market| {
        let [to, from] = [&seller, &buyer].map(|owner| tokens_of(owner, market));
        vec![position, own, to, from]
    });
    let read = read.await?;
    let market = &read.market;
    let position: Option<Position> = read.accounts.find(&position)?;
    let position = position.ok_or_else(|| no_position(&seller, &key))?;
    let ask = position.asks.get(usize::from(request.outcome));
    let price = ask.map_or(0, |ask| ask.price);
    let (max_price, highest) = Bound::or(
        "max_price",
        request.max_price.map(|price| U64(price.into())),
        price.into(),
        Scaled::multiple,
        "highest payment for each staked token",
    );
    let source = tokens_of(&buyer, market);
    // A payment that does not fit is left to the program to refuse.
    let payment = math::ask_payment(amount, price).unwrap_or_default();
    require_balance(&read.accounts, &source, payment, market.decimals)?;
    let purchase = Purchase {
        outcome: request.outcome,
        amount,
        max_price: u32::try_from(max_price).unwrap_or(u32::MAX), // both have 32 bits
        reports: read.model.reports,
    };
    let program = market.token_program.into();
    let draft = read.draft(buyer).bound(highest);
    let draft = draft.creates_if_missing(&read.accounts, "position", own);
    let draft = draft.with_token_account(&read.accounts, &seller, &market.mint, program);
    let buy = instruction::buy_position(buyer, key, market, source, seller, purchase);
    view.finish(draft.push(buy)).await
}

/// Who asks least for at least the requested amount, as far as the mirror knows.
async fn cheapest_seller(
    app: &AppState,
    market: Key,
    request: &BuyRequest,
) -> Result<Address, Problem> {
    let mut snapshot = extract::snapshot(app).await?;
    let seller: Option<Key> = sqlx::query_scalar(
        "select p.owner
         from chain.ask a
         join lateral (select p.owner from chain.position p
           where p.address = a.address and p.life = a.life and p.ended_slot is null limit 1) p on true
         where a.market = $1 and a.outcome = $2 and $3 <= a.amount and p.owner <> $4
           and a.reports = (
             select model.reports
             from chain.market join chain.model on model.address = market.model and model.is_current
             where market.is_current and market.ended_slot is null and market.status = 'open'
               and market.address = $1)
           and a.valid_until > coalesce(
             (select extract(epoch from block_time) from chain.event order by id desc limit 1), 0)
         order by a.price, a.address
         limit 1",
    )
    .bind(market)
    .bind(i16::from(request.outcome))
    .bind(request.amount)
    .bind(request.account)
    .fetch_optional(&mut *snapshot.tx)
    .await?;
    snapshot.close();
    let nobody = || {
        Failure::Nothing(format!(
            "nobody sells that much of outcome {} in market {market}: buy less, or see its asks at \
             /api/v1/markets/{market}/asks",
            request.outcome
        ))
    };
    Ok(seller.ok_or_else(nobody)?.address())
}

/// Builds a transaction that offers a part of the wallet's stake for sale, or removes the offer.
#[utoipa::path(
    post,
    path = "/markets/{market}/asks",
    tag = "transactions",
    params(("market" = Key, Path, description = "Address of the market"), MinSlot),
    request_body = AskRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_ask(
    InPath(key): InPath<Key>,
    request: TransactionRequest<AskRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = set_ask(request.view, key.address(), request.body).await?;
    Ok(Json(reply))
}

/// Builds a transaction that buys a part of another bettor's stake.
///
/// It is refused if anyone has reported on the model since the ask was set.
#[utoipa::path(
    post,
    path = "/markets/{market}/buy",
    tag = "transactions",
    params(("market" = Key, Path, description = "Address of the market"), MinSlot),
    request_body = BuyRequest,
    responses(
        (status = 200, body = TransactionReply),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn post_buy(
    State(app): State<AppState>,
    InPath(key): InPath<Key>,
    request: TransactionRequest<BuyRequest>,
) -> Result<Json<TransactionReply>, Problem> {
    let reply = buy(request.view, &app, key.address(), request.body).await?;
    Ok(Json(reply))
}

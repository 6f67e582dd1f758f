//! Portfolio of a wallet: what it has, what it cost, and what it gained.

use std::collections::BTreeMap;

use driftshield_sdk::{Market, Position, math};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    bytes::Key,
    extract::{InQuery, MinSlot},
    mirror::Snapshot,
    problem::{Problem, ProblemBody},
    reply::Reply,
    signed::Signed,
    state::AppState,
    wallet::{self, holdings::Holdings, tokens::Decimals},
};

use super::totals::{Subject, Totals};

pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(portfolio))
}

/// What a wallet has in the program, what it cost, and what it gained.
#[derive(Serialize, ToSchema)]
struct Portfolio {
    wallet: Key,
    /// By token, in ascending order of `mint`.
    tokens: Vec<TokenPortfolio>,
    /// Whether open accounts or shares are counted in part only: the wallet has more than 1,000 open accounts of one
    /// type, or more than 20,000 deposits and withdrawals.
    truncated: bool,
}

/// A wallet's portfolio in one token.
#[derive(Serialize, ToSchema)]
struct TokenPortfolio {
    mint: Key,
    decimals: u8,
    stakes: StakesPart,
    cover: CoverPart,
    shares: SharesPart,
    /// Security rent that was paid with bets and premiums. Not part of any profit here.
    rents: Signed,
    /// Sum of the realised profits of stakes, cover and shares.
    realised: Signed,
    /// Sum of the unrealised profits of stakes, cover and shares.
    unrealised: Signed,
}

/// Stakes in markets.
#[derive(Serialize, ToSchema)]
struct StakesPart {
    /// Number of bets.
    #[serde(serialize_with = "crate::signed::as_text")]
    #[schema(value_type = String, pattern = "^[0-9]+$")]
    bets: i128,
    /// Sum of all bets.
    staked: Signed,
    /// Stakes of open positions. A stake counts as much as was staked for it, whoever bought it since.
    cost_basis: Signed,
    /// Value of open positions. In a market that is settled, what a claim pays. In one that is not, for each outcome
    /// its payout at the current stakes, times the outcome's part of all stakes: the mean payout if the stakes told
    /// the chances.
    value: Signed,
    /// Payouts less the stakes of the claimed positions, proceeds of sales less the stakes sold, and stakes bought
    /// less their prices. A refund by a void market therefore counts 0, once for a position, whatever the number of
    /// its bets.
    realised: Signed,
    /// `value` less `cost_basis`.
    unrealised: Signed,
}

/// Cover that the wallet bought.
#[derive(Serialize, ToSchema)]
struct CoverPart {
    /// Cover of policies that have not ended, less what they have paid.
    open: Signed,
    /// Sum of all premiums.
    premiums: Signed,
    /// Sum of all payments of policies.
    paid: Signed,
    /// Sum of all refunds of premiums.
    refunds: Signed,
    /// What claims would pay now. The cost basis of cover is 0: a premium is spent when it is paid.
    value: Signed,
    /// `paid` and `refunds` less `premiums`.
    realised: Signed,
    /// `value`.
    unrealised: Signed,
}

/// Shares of vaults, and what is requested from them.
#[derive(Serialize, ToSchema)]
struct SharesPart {
    /// Average cost of the shares and of what is requested: the deposits for them.
    cost_basis: Signed,
    /// Worth of the shares at their current price, and what is left of requests.
    value: Signed,
    /// Payments of requests less the average cost of what they paid. Of closed vaults, too.
    realised: Signed,
    /// `value` less `cost_basis`.
    unrealised: Signed,
}

/// Sums of open accounts in one token.
#[derive(Clone, Copy, Default)]
struct Open {
    stakes: i128,
    stakes_value: i128,
    cover: i128,
    due: i128,
    shares_cost: i128,
    shares_value: i128,
    shares_realised: i128,
}

/// Mean payout of a position in an unsettled market, if the stakes told the chances of the outcomes; rounded down for
/// each outcome.
fn implied_value(position: &Position, market: &Market) -> i128 {
    let of_outcome = |(&stake, &pool): (&u64, &u64)| {
        let losing = market.total.saturating_sub(pool);
        let fees = math::fee(losing, market.protocol_fee_bps)
            .saturating_add(math::fee(losing, market.creator_fee_bps));
        let payout = math::payout(stake, pool, losing.saturating_sub(fees))?;
        math::mul_div(payout, pool, market.total).map(i128::from)
    };
    let outcomes = std::iter::zip(&position.stakes, &market.pools);
    // An outcome without stakes has no payout.
    outcomes.filter_map(of_outcome).sum()
}

fn open(holdings: &Holdings) -> BTreeMap<Key, Open> {
    let mut open: BTreeMap<Key, Open> = BTreeMap::new();
    for (position, market) in &holdings.positions {
        let sums = open.entry(market.mint.into()).or_default();
        sums.stakes += i128::from(position.total());
        sums.stakes_value += match wallet::payout(position, market) {
            Some(payout) => payout.into(),
            None => implied_value(position, market),
        };
    }
    for (policy, vault) in &holdings.policies {
        let sums = open.entry(vault.mint.into()).or_default();
        sums.cover += i128::from(policy.open_cover());
        sums.due += i128::from(policy.due().unwrap_or(0));
    }
    for (request, vault) in &holdings.requests {
        let sums = open.entry(vault.mint.into()).or_default();
        sums.shares_value += i128::from(vault.requested(request));
        sums.shares_value += i128::from(vault.worth(request.shares));
    }
    for (vault, stake) in &holdings.ledger.stakes {
        let Some(mint) = holdings.vault_mints.get(vault) else {
            continue;
        };
        let sums = open.entry(*mint).or_default();
        sums.shares_realised += stake.realised;
        // A closed vault has no shares any more.
        if let Some(state) = holdings.vaults.get(vault) {
            sums.shares_cost += i128::from(stake.cost) + i128::from(stake.requested_cost);
            sums.shares_value += i128::from(wallet::worth_of(holdings, vault, state));
        }
    }
    open
}

impl TokenPortfolio {
    fn new(mint: Key, decimals: u8, open: Open, totals: Option<&Totals>) -> Self {
        let amount = |raw| Signed::new(raw, decimals);
        let total = |of: fn(&Totals) -> i128| totals.map_or(0, of);
        let (stakes, cover) = (total(Totals::stake_profit), total(Totals::cover_profit));
        let (stakes_gain, shares_gain) = (
            open.stakes_value - open.stakes,
            open.shares_value - open.shares_cost,
        );
        Self {
            mint,
            decimals,
            stakes: StakesPart {
                bets: total(|totals| totals.bets.0),
                staked: amount(total(|totals| totals.staked.0)),
                cost_basis: amount(open.stakes),
                value: amount(open.stakes_value),
                realised: amount(stakes),
                unrealised: amount(stakes_gain),
            },
            cover: CoverPart {
                open: amount(open.cover),
                premiums: amount(total(|totals| totals.premiums.0)),
                paid: amount(total(|totals| totals.cover_paid.0)),
                refunds: amount(total(|totals| totals.refunds.0)),
                value: amount(open.due),
                realised: amount(cover),
                unrealised: amount(open.due),
            },
            shares: SharesPart {
                cost_basis: amount(open.shares_cost),
                value: amount(open.shares_value),
                realised: amount(open.shares_realised),
                unrealised: amount(shares_gain),
            },
            rents: amount(total(|totals| totals.rents.0)),
            realised: amount(stakes + cover + open.shares_realised),
            unrealised: amount(stakes_gain + open.due + shares_gain),
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WalletQuery {
    /// Address of the wallet.
    wallet: Key,
}

/// Portfolio of a wallet, by token: stakes, cover and shares with their cost, value, and realised and unrealised
/// profit.
#[utoipa::path(
    get,
    path = "/analytics/portfolio",
    tag = "analytics",
    params(WalletQuery, MinSlot),
    responses(
        (status = 200, body = Portfolio),
        (status = "default", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
async fn portfolio(
    InQuery(WalletQuery { wallet }): InQuery<WalletQuery>,
    mut snapshot: Snapshot,
) -> Result<Reply<Portfolio>, Problem> {
    let db = &mut snapshot.tx;
    let holdings = Holdings::read(db, &wallet).await?;
    let decimals = Decimals::read(db).await?;
    let totals = Totals::read(db, Subject::Wallet(&wallet), None).await?;
    let totals: BTreeMap<_, _> = totals.iter().map(|totals| (totals.mint, totals)).collect();
    let mut of_tokens = open(&holdings);
    for mint in totals.keys() {
        of_tokens.entry(*mint).or_default();
    }
    let tokens = of_tokens.into_iter().map(|(mint, open)| {
        TokenPortfolio::new(mint, decimals.of(&mint), open, totals.get(&mint).copied())
    });
    let portfolio = Portfolio {
        wallet,
        tokens: tokens.collect(),
        truncated: holdings.is_truncated,
    };
    snapshot.reply(portfolio).await
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{Account, AccountKind};

    use super::*;

    fn market(pools: [u64; 3]) -> Market {
        let Account::Market(mut market) = Account::zeroed(AccountKind::Market) else {
            panic!()
        };
        market.pools[..3].copy_from_slice(&pools);
        market.total = pools.iter().sum();
        market.threshold_count = 2;
        (market.protocol_fee_bps, market.creator_fee_bps) = (200, 100);
        *market
    }

    fn position(stakes: [u64; 3]) -> Position {
        let Account::Position(mut position) = Account::zeroed(AccountKind::Position) else {
            panic!()
        };
        position.stakes[..3].copy_from_slice(&stakes);
        *position
    }

    #[test]
    fn an_open_stake_is_worth_its_mean_payout() {
        // If outcome 1 wins, a stake of 1,000 is paid 1,000 + 3,000 · 0.97 = 3,910, a quarter of which is 977.5.
        let market = market([3_000, 1_000, 0]);
        assert_eq!(implied_value(&position([0, 1_000, 0]), &market), 977);
        // If outcome 0 wins, one of 3,000 is paid 3,970, three quarters of which are 2,977.5.
        assert_eq!(
            implied_value(&position([3_000, 1_000, 0]), &market),
            2_977 + 977
        );
        assert_eq!(implied_value(&position([0, 0, 0]), &market), 0);
    }

    #[test]
    fn whoever_holds_all_stakes_loses_the_fees_of_the_mean_outcome() {
        let market = market([500, 0, 0]);
        assert_eq!(implied_value(&position([500, 0, 0]), &market), 500);
    }
}

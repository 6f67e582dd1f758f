//! What a wallet has in the program, by token.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, Market, Model, Position, Vault, math};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::{bytes::Key, signed::Signed, values::Scaled};

use super::{holdings::Holdings, tokens::Decimals};

/// What a wallet has in the program: open positions, cover, shares, requests, bonds, and what it can collect.
#[derive(Serialize, ToSchema)]
pub struct Balance {
    pub wallet: Key,
    /// By token, in ascending order of `mint`; tokens of which the wallet has nothing are left out.
    pub tokens: Vec<TokenBalance>,
    /// Shares of vaults, in ascending order of vault.
    pub shares: Vec<SharesWorth>,
    /// Whether the sums are of a part only: the wallet has more than 1,000 open accounts of one type, or more than
    /// 20,000 deposits and withdrawals.
    pub truncated: bool,
}

/// What a wallet has in one token.
#[derive(Serialize, ToSchema)]
pub struct TokenBalance {
    pub mint: Key,
    pub decimals: u8,
    /// Sum of the stakes of open positions in markets that are not settled.
    pub staked: Signed,
    /// What claims of positions in settled markets pay now, and claims of policies as far as their windows have been
    /// examined: by the program's own functions.
    pub claimable: Signed,
    /// Cover of policies that have not ended, less what they have paid: the most that they can still pay.
    pub cover: Signed,
    /// Worth of the shares under `shares`, and of the shares that requests became after their exit window: at the
    /// share price before pending losses, as of the last time at which the vault's premiums streamed.
    pub shares: Signed,
    /// Capital that is requested for withdrawal and not paid yet, less what losses have taken of it.
    pub requested: Signed,
    /// Bonds in seats, less open penalties. Includes what is unbonding.
    pub bonded: Signed,
    /// Part of `bonded` that is unbonding.
    pub unbonding: Signed,
    /// Creator's fees of markets that are not collected yet.
    pub creator_fees: Signed,
    /// Manager's part of premiums that is not collected yet.
    pub manager_fees: Signed,
    /// Oracle's rewards that are not collected yet.
    pub rewards: Signed,
    /// Credits of challenges that are not collected yet. What a ruling slashed counts once it can't be returned any
    /// more and is credited.
    pub challenge_credits: Signed,
}

/// Shares of a vault, and what they are worth.
#[derive(Serialize, ToSchema)]
pub struct SharesWorth {
    pub vault: Key,
    pub mint: Key,
    /// Shares that the wallet got for deposits and cancelled requests, less those that it gave for requests. Shares
    /// that it sent to other wallets are part of it, and shares that it got from them are not: they are tokens of
    /// another program. A share has three more decimals than the vault's token.
    pub shares: Scaled,
    /// Worth of `shares` by the program's own function.
    pub worth: Scaled,
    /// Average cost of `shares`: the deposits for them.
    pub cost: Scaled,
    /// Decimals of the shares' mint.
    pub decimals: u8,
}

/// Sums in base units of one token.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    staked: i128,
    claimable: i128,
    cover: i128,
    shares: i128,
    requested: i128,
    bonded: i128,
    unbonding: i128,
    creator_fees: i128,
    manager_fees: i128,
    rewards: i128,
    challenge_credits: i128,
}

/// Payout of a position now; `None` if its market isn't settled.
pub fn payout(position: &Position, market: &Market) -> Option<u64> {
    let mut market = *market;
    market.claim(position).ok()
}

/// The oracle's reward and open penalty in a model.
fn pay_of(oracle: &Address, model: &Model) -> (u64, u64) {
    let index = model.oracle_index(oracle);
    index.map_or((0, 0), |index| {
        (model.rewards[index], model.penalties[index])
    })
}

fn sums(wallet: &Address, holdings: &Holdings) -> BTreeMap<Key, Sums> {
    let mut sums: BTreeMap<Key, Sums> = BTreeMap::new();
    let mut of = |mint: Address, add: &dyn Fn(&mut Sums)| add(sums.entry(mint.into()).or_default());
    for (position, market) in &holdings.positions {
        match payout(position, market) {
            Some(payout) => of(market.mint, &|sums| sums.claimable += i128::from(payout)),
            None => of(market.mint, &|sums| {
                sums.staked += i128::from(position.total())
            }),
        }
    }
    for (policy, vault) in &holdings.policies {
        of(vault.mint, &|sums| {
            sums.cover += i128::from(policy.open_cover());
            sums.claimable += i128::from(policy.due().unwrap_or(0));
        });
    }
    for (request, vault) in &holdings.requests {
        of(vault.mint, &|sums| {
            sums.requested += i128::from(vault.requested(request));
            sums.shares += i128::from(vault.worth(request.shares));
        });
    }
    for (seat, model) in &holdings.seats {
        let (reward, penalty) = pay_of(wallet, model);
        of(model.bond_mint, &|sums| {
            sums.bonded += i128::from(seat.bonded.saturating_sub(penalty));
            sums.unbonding += i128::from(seat.unbonding);
            sums.rewards += i128::from(reward);
        });
    }
    for market in &holdings.created {
        of(market.mint, &|sums| {
            sums.creator_fees += i128::from(market.creator_credit)
        });
    }
    for vault in &holdings.managed {
        of(vault.mint, &|sums| {
            sums.manager_fees += i128::from(vault.manager_credit)
        });
    }
    for (receipt, model) in &holdings.challenges {
        of(model.bond_mint, &|sums| {
            sums.challenge_credits += i128::from(receipt.challenger_credit);
        });
    }
    for (vault, state) in &holdings.vaults {
        let shares = worth_of(holdings, vault, state);
        of(state.mint, &|sums| sums.shares += i128::from(shares));
    }
    sums.retain(|_, of_token| *of_token != Sums::default());
    sums
}

/// Worth of the wallet's shares of a vault.
pub fn worth_of(holdings: &Holdings, vault: &Address, state: &Vault) -> u64 {
    let stake = holdings.ledger.stakes.get(vault);
    stake.map_or(0, |stake| state.worth(stake.shares))
}

pub async fn read(db: &mut PgConnection, wallet: &Key) -> Result<Balance, sqlx::Error> {
    let holdings = Holdings::read(db, wallet).await?;
    let decimals = Decimals::read(db).await?;
    let tokens = sums(&wallet.address(), &holdings)
        .into_iter()
        .map(|(mint, sums)| TokenBalance::new(mint, decimals.of(&mint), sums));
    let shares = holdings.vaults.iter().filter_map(|(vault, state)| {
        let stake = holdings.ledger.stakes.get(vault)?;
        (0 < stake.shares).then(|| SharesWorth {
            vault: (*vault).into(),
            mint: state.mint.into(),
            shares: Scaled::shares(stake.shares, state.decimals),
            worth: Scaled::new(state.worth(stake.shares), state.decimals),
            cost: Scaled::new(stake.cost, state.decimals),
            decimals: state.decimals.saturating_add(math::SHARE_DECIMALS),
        })
    });
    Ok(Balance {
        wallet: *wallet,
        tokens: tokens.collect(),
        shares: shares.collect(),
        truncated: holdings.is_truncated,
    })
}

impl TokenBalance {
    fn new(mint: Key, decimals: u8, sums: Sums) -> Self {
        let amount = |raw| Signed::new(raw, decimals);
        Self {
            mint,
            decimals,
            staked: amount(sums.staked),
            claimable: amount(sums.claimable),
            cover: amount(sums.cover),
            shares: amount(sums.shares),
            requested: amount(sums.requested),
            bonded: amount(sums.bonded),
            unbonding: amount(sums.unbonding),
            creator_fees: amount(sums.creator_fees),
            manager_fees: amount(sums.manager_fees),
            rewards: amount(sums.rewards),
            challenge_credits: amount(sums.challenge_credits),
        }
    }
}

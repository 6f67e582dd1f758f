//! Holdings: what actors own or are owed.

use std::collections::{BTreeMap, BTreeSet};

use driftshield_sdk::{Address, ChallengePayee, FeePayee, PremiumPayee, RewardPayee, address};

use crate::soak::{
    books::{Amount, Books},
    call::Call,
};

/// A right to a payout, which may turn out to be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    Position(Address),
    Policy(Address),
    /// Vault and owner. Includes shares whose withdrawal is requested.
    Shares(Address, Address),
    /// Model and oracle.
    Bond(Address, Address),
    /// Model and oracle: rewards. Not among [`holdings`], because what an oracle will have earned
    /// depends on who else submits, and on updates of the model, which add rewards to bonds. The books
    /// follow what it has earned.
    Reward(Address, Address),
    /// The challenger's credit of a receipt.
    Challenge(Address),
    /// The creator's fee of a market.
    CreatorFee(Address),
    /// The manager's fee of a vault.
    ManagerFee(Address),
}

/// The amount paid for each holding.
pub type Payouts = BTreeMap<Holding, Amount>;

/// All holdings in a state.
pub fn holdings(books: &Books) -> BTreeSet<Holding> {
    let positions = books
        .positions
        .keys()
        .map(|address| Holding::Position(*address));
    let policies = books
        .policies
        .keys()
        .map(|address| Holding::Policy(*address));
    let requests = books.requests.values();
    let requests = requests.map(|request| Holding::Shares(request.vault, request.owner));
    let shares =
        circulating_shares(books).map(|(vault, owner, _, _)| Holding::Shares(vault, owner));
    let bonds = books.seats.values();
    let bonds = bonds.map(|seat| Holding::Bond(seat.model, seat.oracle));
    let challenges = books
        .receipts
        .iter()
        .filter(|(_, receipt)| receipt.challenger.is_some())
        .map(|(address, _)| Holding::Challenge(*address));
    let creators = books
        .markets
        .keys()
        .map(|address| Holding::CreatorFee(*address));
    let managers = books
        .vaults
        .keys()
        .map(|address| Holding::ManagerFee(*address));
    let all = positions.chain(policies).chain(requests).chain(shares);
    all.chain(bonds)
        .chain(challenges)
        .chain(creators)
        .chain(managers)
        .collect()
}

/// The holding that a call pays for, and the token account that the call pays to. `None` if the call pays
/// for no holding, or if the token account does not exist.
pub(super) fn paid_for(books: &Books, call: &Call) -> Option<(Holding, Address)> {
    Some(match call {
        Call::Claim {
            market,
            owner,
            destination,
            ..
        } => (
            Holding::Position(address::position(market, owner)),
            *destination,
        ),
        Call::ClaimPolicy {
            policy,
            destination,
            ..
        }
        | Call::ExpirePolicy {
            policy,
            destination,
            ..
        }
        | Call::BeginPolicy {
            policy,
            destination,
            ..
        }
        | Call::CancelPolicy {
            policy,
            destination,
        } => (Holding::Policy(*policy), *destination),
        Call::Withdraw {
            owner,
            vault,
            destination,
            ..
        } => (Holding::Shares(*vault, *owner), *destination),
        Call::WithdrawBond {
            oracle,
            model,
            destination,
            ..
        } => (Holding::Bond(*model, *oracle), *destination),
        Call::CollectReward {
            oracle,
            model,
            payee: RewardPayee::Oracle,
            destination,
            ..
        } => (Holding::Reward(*model, *oracle), *destination),
        Call::CollectChallenge {
            model,
            window,
            payee: ChallengePayee::Challenger,
            destination,
            ..
        } => (
            Holding::Challenge(address::receipt(model, *window)),
            *destination,
        ),
        Call::CollectFees {
            market,
            payee: FeePayee::Creator,
            destination,
            ..
        } => (Holding::CreatorFee(*market), *destination),
        Call::CollectManagerFees {
            vault,
            payee: PremiumPayee::Manager,
            destination,
            ..
        } => (Holding::ManagerFee(*vault), *destination),
        _ => return None,
    })
    .filter(|(_, destination)| books.tokens.contains_key(destination))
}

/// Shares outside of the program's token accounts: vault, owner, token account, and amount.
pub(super) fn circulating_shares(
    books: &Books,
) -> impl Iterator<Item = (Address, Address, Address, Amount)> {
    books.vaults.keys().flat_map(move |vault| {
        let mint = address::share_mint(vault);
        books
            .tokens
            .iter()
            .filter(move |(_, tokens)| {
                tokens.mint == mint && !tokens.owned_by_program && 0 < tokens.amount
            })
            .map(|(address, tokens)| (*vault, tokens.owner, *address, tokens.amount))
    })
}

//! Calls to try now so that everybody is paid and every account is closed, and the next time at which more
//! calls may succeed.

use driftshield_sdk::{Address, ChallengePayee, FeePayee, PremiumPayee, RewardPayee};

use super::holdings::circulating_shares;
use crate::soak::{
    books::{Amount, Books, Market, Policy, Pot, Receipt, Seat, pages},
    call::Call,
};

/// The payee's associated token account, and whether the payee has to sign to be paid there. The payee has
/// to sign if another actor owns the account now.
fn destination(books: &Books, payee: &Address, mint: &Address) -> (Address, bool) {
    let own = books.own_account(payee, mint);
    let is_owner = books.tokens[&own].owner == *payee;
    (own, !is_owner)
}

/// The time from which on all windows of a market can be settled. For a market without bets, the time from
/// which on anybody may cancel it.
fn ends_at(books: &Books, market: &Market) -> i64 {
    if market.total() == 0 {
        return market.terms.close_ts;
    }
    let model = &books.models[&market.model];
    model.idle_from(market.terms.last_window).expect("in range")
}

/// When all windows of a probation are decided.
fn begins_at(books: &Books, policy: &Policy) -> Option<i64> {
    let (_, last) = policy.deciding()?;
    let model = &books.models[&policy.model];
    Some(model.idle_from(last).expect("in range"))
}

fn expires_at(books: &Books, policy: &Policy) -> i64 {
    let model = &books.models[&policy.model];
    policy.expires_at(model).expect("in range")
}

fn notice_end(books: &Books, vault: &Address, since: i64) -> i64 {
    books.vaults[vault].notice_end(since)
}

/// Whether nothing is locked in a vault once it bears the losses that are due.
fn is_free(books: &Books, at: &Address) -> bool {
    let mut vault = books.vaults[at].clone();
    vault.accrue(books.now, books.is_covered(at));
    !books.is_covered(at) && vault.pending() == 0
}

/// Calls that request the withdrawal of all shares.
pub fn withdrawal_requests(books: &Books) -> Vec<Call> {
    let shares =
        circulating_shares(books).map(|(vault, signer, source, shares)| Call::RequestWithdraw {
            signer,
            vault,
            source,
            shares: shares as u64,
        });
    // Shares that an exit window gave back are requested again once nothing is locked.
    let held = books.requests.values();
    let held = held.filter(|request| 0 < request.shares && is_free(books, &request.vault));
    let again = held.map(|request| Call::RequestWithdraw {
        signer: request.owner,
        vault: request.vault,
        source: books.share_account(&request.owner, &request.vault),
        shares: 0,
    });
    shares.chain(again).collect()
}

/// Calls that request the unbonding of all bonds of models without exposure.
pub fn unbond_requests(books: &Books) -> Vec<Call> {
    let seats = books.seats.values();
    // An open penalty is paid first.
    let left = |seat: &Seat| {
        let penalties = &books.models[&seat.model].penalties;
        seat.active() - penalties.get(&seat.oracle).copied().unwrap_or(0)
    };
    let idle = seats.filter(|seat| 0 < left(seat) && books.exposure_of(&seat.model) == 0);
    let requests = idle.map(|seat| Call::RequestUnbond {
        signer: seat.oracle,
        model: seat.model,
        amount: left(seat) as u64,
    });
    requests.collect()
}

/// Calls that finalize receipts with a state transition that is due.
pub fn finalizations(books: &Books) -> Vec<Call> {
    let is_due = |receipt: &&Receipt| {
        let decided_at = books.decided_at(receipt);
        decided_at.is_some_and(|at| at <= books.now)
    };
    let due = books.receipts.values().filter(is_due);
    due.map(|receipt| Call::FinalizeReceipt {
        model: receipt.model,
        window: receipt.window,
    })
    .collect()
}

/// Calls that settle ended markets, and cancel those without bets.
pub fn settlements(books: &Books) -> Vec<Call> {
    let markets = books.markets.iter();
    let ended =
        markets.filter(|(_, market)| market.end.is_none() && ends_at(books, market) <= books.now);
    ended
        .map(|(address, market)| {
            if market.total() == 0 {
                return Call::CancelMarket {
                    market: *address,
                    signed: false,
                };
            }
            Call::SettleMarket {
                market: *address,
                pages: pages(&market.model, market.next_window, market.terms.last_window),
            }
        })
        .collect()
}

/// The credits of the treasury and of `owner` that are not 0, each as the payee, its token account, and
/// whether the payee has to sign.
fn credits<P>(
    books: &Books,
    mint: &Address,
    treasury: (P, Amount),
    own: (P, Amount),
    owner: &Address,
) -> Vec<(P, Address, bool)> {
    let mut credits = Vec::new();
    if 0 < treasury.1 {
        credits.push((treasury.0, books.collaterals[mint].treasury, false));
    }
    if 0 < own.1 {
        let (destination, signed) = destination(books, owner, mint);
        credits.push((own.0, destination, signed));
    }
    credits
}

/// Calls that claim the positions of settled markets, and collect the fees of markets.
pub fn market_payouts(books: &Books) -> Vec<Call> {
    let mut due = Vec::new();
    for position in books.positions.values() {
        let market = &books.markets[&position.market];
        if market.end.is_some() {
            let (destination, signed) = destination(books, &position.owner, &market.mint);
            due.push(Call::Claim {
                market: position.market,
                owner: position.owner,
                destination,
                signed,
            });
        }
    }
    for (address, market) in &books.markets {
        let treasury = (FeePayee::Treasury, market.protocol_credit);
        let creator = (FeePayee::Creator, market.creator_credit);
        for (payee, destination, signed) in
            credits(books, &market.mint, treasury, creator, &market.creator)
        {
            due.push(Call::CollectFees {
                market: *address,
                payee,
                destination,
                signed,
            });
        }
    }
    due
}

/// Calls that decide about terms on probation, examine policies, claim what they owe, and end those whose claim
/// grace is over.
pub fn policy_payouts(books: &Books) -> Vec<Call> {
    let mut due = Vec::new();
    for (address, policy) in &books.policies {
        let mint = books.vaults[&policy.vault].mint;
        let (destination, signed) = destination(books, &policy.holder, &mint);
        if let Some((first, last)) = policy.deciding() {
            due.push(Call::BeginPolicy {
                policy: *address,
                pages: pages(&policy.model, first, last),
                destination,
                signed,
            });
        }
        if expires_at(books, policy) <= books.now {
            let (first, last) = policy.to_expire();
            due.push(Call::ExpirePolicy {
                policy: *address,
                pages: pages(&policy.model, first, last),
                destination,
                signed,
            });
            continue;
        }
        let (first, last) = books.to_examine(policy, usize::MAX);
        if first <= last {
            due.push(Call::ExaminePolicy {
                policy: *address,
                pages: pages(&policy.model, first, last),
            });
        }
        if policy.paid < policy.claimed() {
            due.push(Call::ClaimPolicy {
                policy: *address,
                destination,
                signed,
            });
        }
    }
    due
}

/// Calls that withdraw shares whose cooldown is over, and collect the fees of vaults.
pub fn vault_payouts(books: &Books) -> Vec<Call> {
    let mut due = Vec::new();
    for request in books.requests.values() {
        if request.shares == 0 && request.unlock_at <= books.now {
            let mint = books.vaults[&request.vault].mint;
            let (destination, signed) = destination(books, &request.owner, &mint);
            due.push(Call::Withdraw {
                owner: request.owner,
                vault: request.vault,
                destination,
                signed,
            });
        }
    }
    for (address, vault) in &books.vaults {
        let treasury = (PremiumPayee::Treasury, vault.protocol_credit);
        let manager = (PremiumPayee::Manager, vault.manager_credit);
        for (payee, destination, signed) in
            credits(books, &vault.mint, treasury, manager, &vault.manager)
        {
            due.push(Call::CollectManagerFees {
                vault: *address,
                payee,
                destination,
                signed,
            });
        }
    }
    due
}

/// Calls that withdraw unbonded bonds, collect rewards and the credits of disputes, and pay what no
/// oracle can earn to the treasury.
pub fn model_payouts(books: &Books) -> Vec<Call> {
    let mut due = Vec::new();
    for seat in books.seats.values() {
        if 0 < seat.unbonding && seat.release_at <= books.now {
            let mint = books.models[&seat.model].mint;
            let (destination, signed) = destination(books, &seat.oracle, &mint);
            due.push(Call::WithdrawBond {
                oracle: seat.oracle,
                model: seat.model,
                destination,
                signed,
            });
        }
    }
    for (model, state) in &books.models {
        for oracle in state.rewards.keys() {
            let (destination, signed) = destination(books, oracle, &state.mint);
            due.push(Call::CollectReward {
                oracle: *oracle,
                model: *model,
                payee: RewardPayee::Oracle,
                destination,
                signed,
            });
        }
        if 0 < state.pot.waiting() + state.pot.unearned() {
            due.push(Call::CollectReward {
                oracle: state.oracles[0],
                model: *model,
                payee: RewardPayee::Treasury,
                destination: books.collaterals[&state.mint].treasury,
                signed: false,
            });
        }
    }
    for (model, state) in &books.models {
        due.extend(state.penalties.keys().map(|oracle| Call::SyncSeat {
            oracle: *oracle,
            model: *model,
        }));
    }
    for receipt in books.receipts.values() {
        let mint = books.models[&receipt.model].mint;
        // Once no appeal can be made, the first collection credits what is held.
        let (mut treasury, mut own) = (receipt.treasury_credit, receipt.challenger_credit);
        if receipt.appeal_until.is_some_and(|until| until <= books.now) {
            own += receipt.reward;
            treasury += receipt.slashed() - receipt.reward;
        }
        let is_owed = 0 < own;
        let treasury = (ChallengePayee::Treasury, treasury);
        let own = (ChallengePayee::Challenger, own);
        assert!(
            !is_owed || receipt.challenger.is_some(),
            "a challenger's credit without a challenger"
        );
        let challenger = receipt.challenger.unwrap_or_default();
        for (payee, destination, signed) in credits(books, &mint, treasury, own, &challenger) {
            due.push(Call::CollectChallenge {
                model: receipt.model,
                window: receipt.window,
                payee,
                destination,
                signed,
            });
        }
    }
    due
}

/// Calls that close accounts. The program refuses those on which something still depends.
pub fn closures(books: &Books) -> Vec<Call> {
    let mut due = Vec::new();
    let seats = books.seats.values().filter(|seat| seat.bonded == 0);
    due.extend(seats.map(|seat| Call::CloseSeat {
        oracle: seat.oracle,
        model: seat.model,
    }));
    let series = books.series.values();
    let expired = series.filter(|series| books.closable_at(series) <= books.now);
    due.extend(expired.map(|series| Call::CloseSeries {
        model: series.model,
        page: series.page,
    }));
    let markets = books.markets.iter().filter(|(address, market)| {
        market.end.is_some() && books.positions_of(address).next().is_none()
    });
    due.extend(markets.map(|(address, _)| Call::CloseMarket { market: *address }));
    due.extend(
        books
            .exposures
            .values()
            .filter(|exposure| {
                let (vault, model) = (&exposure.vault, &exposure.model);
                let notice = notice_end(books, vault, exposure.listed_at);
                notice <= books.now && books.policies_of(vault, Some(model)).next().is_none()
            })
            .map(|exposure| Call::CloseExposure {
                vault: exposure.vault,
                model: exposure.model,
            }),
    );
    due.extend(
        books
            .vaults
            .iter()
            .filter(|(address, vault)| {
                let listed = books
                    .exposures
                    .values()
                    .any(|exposure| exposure.vault == **address);
                !listed && notice_end(books, address, vault.created_at) <= books.now
            })
            .map(|(address, _)| Call::CloseVault {
                vault: *address,
                signed: false,
            }),
    );
    due
}

/// The next time at which one of the calls above may become possible. If no other call is due, the end of
/// the last retention period, from which on all pages can be closed.
pub fn next_due(books: &Books) -> Option<i64> {
    next_due_before_retention(books).or_else(|| {
        let kept = books.series.values();
        let kept = kept.map(|series| books.closable_at(series)).max();
        kept.filter(|until| books.now < *until)
    })
}

/// The next time at which one of the calls above may become possible, except the closing of pages.
pub fn next_due_before_retention(books: &Books) -> Option<i64> {
    let mut due: Vec<i64> = Vec::new();
    let receipts = books.receipts.values();
    due.extend(
        receipts
            .clone()
            .filter_map(|receipt| books.decided_at(receipt)),
    );
    due.extend(receipts.filter_map(|receipt| receipt.appeal_until));
    let markets = books.markets.values();
    due.extend(markets.map(|market| ends_at(books, market)));
    let policies = books.policies.values();
    due.extend(policies.clone().map(|policy| expires_at(books, policy)));
    due.extend(policies.filter_map(|policy| begins_at(books, policy)));
    for request in books.requests.values() {
        due.extend([request.unlock_at, request.lapses_at]);
    }
    due.extend(books.seats.values().map(|seat| seat.release_at));
    for exposure in books.exposures.values() {
        due.push(notice_end(books, &exposure.vault, exposure.listed_at));
    }
    for (address, vault) in &books.vaults {
        due.push(notice_end(books, address, vault.created_at));
        due.extend(vault.losses.iter().map(|loss| loss.due));
    }
    let pots = books.models.values().map(|model| &model.pot);
    let pots = pots.filter(|pot| 0 < pot.waiting() + pot.unearned());
    due.extend(pots.map(Pot::over_at));
    due.retain(|at| books.now < *at);
    due.into_iter().min()
}

//! Everybody leaves: what is anybody's is asked back and paid, and whatever can be closed is closed. No
//! step needs another signature than that of whoever the money belongs to.

use std::collections::{BTreeMap, BTreeSet};

use driftshield_sdk::{Address, ChallengePayee, FeePayee, PremiumPayee, address};

use super::{
    books::{Amount, Books, DAY, Market, Policy, Receipt, State},
    call::Call,
    run::{Checked, Driver, Step, hold},
};

/// So many receipts fit a transaction that settles a market.
const BATCH: u64 = 12;

/// What somebody has a right to, whatever it pays in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    Position(Address),
    Policy(Address),
    /// Of a vault, by their owner, with those asked back.
    Shares(Address, Address),
    /// On a model, of an oracle.
    Bond(Address, Address),
    /// What a challenger gets by a receipt.
    Challenge(Address),
    /// A creator's part of a market.
    CreatorFee(Address),
    /// A manager's part of a vault's premiums.
    ManagerFee(Address),
}

/// What was paid for each holding.
pub type Payouts = BTreeMap<Holding, Amount>;

/// Everything that is somebody's at this state.
pub fn holdings(books: &Books) -> BTreeSet<Holding> {
    let positions = books.positions.keys().map(|at| Holding::Position(*at));
    let policies = books.policies.keys().map(|at| Holding::Policy(*at));
    let requests = books.requests.values();
    let requests = requests.map(|request| Holding::Shares(request.vault, request.owner));
    let shares = in_hands(books).map(|(vault, owner, _, _)| Holding::Shares(vault, owner));
    let bonds = books.seats.values();
    let bonds = bonds.map(|seat| Holding::Bond(seat.model, seat.oracle));
    let challenges = books
        .receipts
        .iter()
        .filter(|(_, receipt)| receipt.challenger.is_some())
        .map(|(at, _)| Holding::Challenge(*at));
    let creators = books.markets.keys().map(|at| Holding::CreatorFee(*at));
    let managers = books.vaults.keys().map(|at| Holding::ManagerFee(*at));
    let all = positions.chain(policies).chain(requests).chain(shares);
    all.chain(bonds)
        .chain(challenges)
        .chain(creators)
        .chain(managers)
        .collect()
}

/// What a call pays for, if it pays somebody.
fn paid_for(books: &Books, call: &Call) -> Option<(Holding, Address)> {
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

/// Carries a call out. Returns whether it succeeded, and notes what it paid.
pub fn carry_out(driver: &mut Driver, call: Call, payouts: &mut Payouts) -> Checked<bool> {
    let paid = paid_for(&driver.books, &call);
    let held = |books: &Books| paid.map_or(0, |(_, at)| books.tokens[&at].amount);
    let (before, succeeded) = (held(&driver.books), driver.tally.succeeded());
    driver.step(Step::Call(call))?;
    let succeeded = succeeded < driver.tally.succeeded();
    if let Some((holding, _)) = paid
        && succeeded
    {
        *payouts.entry(holding).or_default() += held(&driver.books).saturating_sub(before);
    }
    Ok(succeeded)
}

/// Shares outside of the escrow: of which vault, whose, in which account, how many.
fn in_hands(books: &Books) -> impl Iterator<Item = (Address, Address, Address, Amount)> {
    books.vaults.keys().flat_map(move |vault| {
        let mint = address::share_mint(vault);
        books
            .tokens
            .iter()
            .filter(move |(_, tokens)| {
                tokens.mint == mint && !tokens.is_programs && 0 < tokens.amount
            })
            .map(|(at, tokens)| (*vault, tokens.owner, *at, tokens.amount))
    })
}

/// Where a payee is paid, and whether it has to sign for that: its own account may be somebody else's
/// by now.
fn destination(books: &Books, payee: &Address, mint: &Address) -> (Address, bool) {
    let own = books.own_account(payee, mint);
    let is_its = books.tokens[&own].owner == *payee;
    (own, !is_its)
}

/// When time decides on an open receipt, for the next step at least.
fn decided_at(books: &Books, receipt: &Receipt) -> i64 {
    let model = &books.models[&receipt.model];
    match receipt.state {
        State::Collecting => model.submit_end(receipt.window).expect("in range"),
        State::Proposed => receipt.since + model.periods.challenge_secs,
        State::Challenged => receipt.since + model.periods.ruling_secs,
        State::Final | State::Void => i64::MAX,
    }
}

fn retained_until(books: &Books, receipt: &Receipt) -> i64 {
    let model = &books.models[&receipt.model];
    model.retention_end(receipt.window).expect("in range")
}

/// When all windows of a market can be settled, or it can be cancelled.
fn over_at(books: &Books, market: &Market) -> i64 {
    if market.total() == 0 {
        return market.terms.close_ts;
    }
    let model = &books.models[&market.model];
    model
        .submit_end(market.terms.last_window)
        .expect("in range")
}

fn expires_at(books: &Books, policy: &Policy) -> i64 {
    let model = &books.models[&policy.model];
    policy.expires_at(model).expect("in range")
}

fn notice_end(books: &Books, vault: &Address, since: i64) -> i64 {
    since + books.vaults[vault].cooldown_secs + DAY
}

/// What whoever has something asks for, in the order in which it would.
pub fn asked_back(books: &Books) -> Vec<Call> {
    let shares = in_hands(books).map(|(vault, who, source, shares)| Call::RequestWithdraw {
        who,
        vault,
        source,
        shares: shares as u64,
    });
    shares.collect()
}

/// Bonds that nothing depends on, asked back by their oracles.
pub fn bonds_asked_back(books: &Books) -> Vec<Call> {
    let seats = books.seats.values();
    let idle = seats.filter(|seat| 0 < seat.active() && books.exposure_of(&seat.model) == 0);
    let ask = idle.map(|seat| Call::RequestUnbond {
        who: seat.oracle,
        model: seat.model,
        amount: seat.active() as u64,
    });
    ask.collect()
}

/// Receipts that time has decided.
pub fn decided(books: &Books) -> Vec<Call> {
    let receipts = books.receipts.values();
    let due = receipts.filter(|receipt| decided_at(books, receipt) <= books.now);
    due.map(|receipt| Call::FinalizeReceipt {
        model: receipt.model,
        window: receipt.window,
    })
    .collect()
}

/// Markets that are over.
pub fn settled(books: &Books) -> Vec<Call> {
    let markets = books.markets.iter();
    let over =
        markets.filter(|(_, market)| market.end.is_none() && over_at(books, market) <= books.now);
    over.map(|(at, market)| {
        if market.total() == 0 {
            return Call::CancelMarket {
                market: *at,
                signed: false,
            };
        }
        let last = market.terms.last_window.min(market.next_window + BATCH - 1);
        let windows = market.next_window..=last;
        Call::SettleMarket {
            market: *at,
            receipts: windows
                .map(|window| address::receipt(&market.model, window))
                .collect(),
        }
    })
    .collect()
}

/// Of the treasury's credit and that of `owner`, those that there are: whose it is, where it goes, and
/// whether its owner has to sign for that.
fn credits<P>(
    books: &Books,
    mint: &Address,
    treasury: (P, Amount),
    own: (P, Amount),
    owner: &Address,
) -> Vec<(P, Address, bool)> {
    let mut found = Vec::new();
    if 0 < treasury.1 {
        found.push((treasury.0, books.collaterals[mint].treasury, false));
    }
    if 0 < own.1 {
        let (destination, signed) = destination(books, owner, mint);
        found.push((own.0, destination, signed));
    }
    found
}

/// Stakes and fees of markets that are settled.
pub fn of_markets(books: &Books) -> Vec<Call> {
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
    for (at, market) in &books.markets {
        let treasury = (FeePayee::Treasury, market.protocol_credit);
        let creator = (FeePayee::Creator, market.creator_credit);
        for (payee, destination, signed) in
            credits(books, &market.mint, treasury, creator, &market.creator)
        {
            due.push(Call::CollectFees {
                market: *at,
                payee,
                destination,
                signed,
            });
        }
    }
    due
}

/// The run of receipts that a policy pays most for, and the lowest value in it.
fn best_run(books: &Books, policy: &Policy) -> Option<(u64, Vec<Address>)> {
    let value = |window: u64| {
        let receipt = books.receipts.get(&address::receipt(&policy.model, window));
        receipt
            .filter(|receipt| receipt.state == State::Final)
            .map(|receipt| receipt.value)
            .filter(|value| policy.terms.trigger <= *value)
    };
    let length = u64::from(policy.terms.persistence);
    let last = policy.last_window.min(policy.first_window + 400);
    let firsts = policy.first_window..=(last + 1).saturating_sub(length);
    let runs = firsts.filter_map(|first| {
        let windows = first..first + length;
        let lowest = windows.clone().map(value).min()??;
        let receipts = windows.map(|window| address::receipt(&policy.model, window));
        Some((lowest, receipts.collect()))
    });
    runs.max_by_key(|run: &(u64, Vec<Address>)| run.0)
}

/// What policies pay, and the end of those that no longer can.
pub fn of_policies(books: &Books) -> Vec<Call> {
    let mut due = Vec::new();
    for (at, policy) in &books.policies {
        if expires_at(books, policy) <= books.now {
            due.push(Call::ExpirePolicy { policy: *at });
        } else if let Some((lowest, receipts)) = best_run(books, policy)
            && policy.paid < policy.worth(lowest)
        {
            let mint = books.vaults[&policy.vault].mint;
            let (destination, signed) = destination(books, &policy.holder, &mint);
            due.push(Call::ClaimPolicy {
                policy: *at,
                receipts,
                destination,
                signed,
            });
        }
    }
    due
}

/// Capital that has cooled down, and the parts of premiums.
pub fn of_vaults(books: &Books) -> Vec<Call> {
    let mut due = Vec::new();
    for request in books.requests.values() {
        if request.unlock_at <= books.now {
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
    for (at, vault) in &books.vaults {
        let treasury = (PremiumPayee::Treasury, vault.protocol_credit);
        let manager = (PremiumPayee::Manager, vault.manager_credit);
        for (payee, destination, signed) in
            credits(books, &vault.mint, treasury, manager, &vault.manager)
        {
            due.push(Call::CollectManagerFees {
                vault: *at,
                payee,
                destination,
                signed,
            });
        }
    }
    due
}

/// Bonds that are no longer held back, and what disputes have left.
pub fn of_models(books: &Books) -> Vec<Call> {
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
    for receipt in books.receipts.values() {
        let mint = books.models[&receipt.model].mint;
        let treasury = (ChallengePayee::Treasury, receipt.treasury_credit);
        let own = (ChallengePayee::Challenger, receipt.challenger_credit);
        let is_owed = 0 < receipt.challenger_credit;
        assert!(!is_owed || receipt.challenger.is_some(), "to somebody");
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

/// Accounts that nothing depends on any more.
pub fn closable(books: &Books) -> Vec<Call> {
    let mut due = Vec::new();
    let seats = books.seats.values().filter(|seat| seat.bonded == 0);
    due.extend(seats.map(|seat| Call::CloseSeat {
        oracle: seat.oracle,
        model: seat.model,
    }));
    let receipts = books.receipts.values();
    let forgotten = receipts.filter(|receipt| retained_until(books, receipt) <= books.now);
    due.extend(forgotten.map(|receipt| Call::CloseReceipt {
        model: receipt.model,
        window: receipt.window,
    }));
    let markets = books
        .markets
        .iter()
        .filter(|(at, market)| market.end.is_some() && books.positions_of(at).next().is_none());
    due.extend(markets.map(|(at, _)| Call::CloseMarket { market: *at }));
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
            .filter(|(at, vault)| {
                let listed = books
                    .exposures
                    .values()
                    .any(|exposure| exposure.vault == **at);
                !listed && notice_end(books, at, vault.created_at) <= books.now
            })
            .map(|(at, _)| Call::CloseVault {
                vault: *at,
                signed: false,
            }),
    );
    due
}

/// When the next of all this falls due; receipts are kept so long that they come last.
pub fn next_due(books: &Books) -> Option<i64> {
    next_due_but_receipts(books).or_else(|| {
        let kept = books.receipts.values();
        let kept = kept.map(|receipt| retained_until(books, receipt)).max();
        kept.filter(|until| books.now < *until)
    })
}

/// When the next of all this falls due but the end of receipts.
pub fn next_due_but_receipts(books: &Books) -> Option<i64> {
    let mut due: Vec<i64> = Vec::new();
    let receipts = books.receipts.values();
    due.extend(receipts.map(|receipt| decided_at(books, receipt)));
    let markets = books.markets.values();
    due.extend(markets.map(|market| over_at(books, market)));
    let policies = books.policies.values();
    due.extend(policies.map(|policy| expires_at(books, policy)));
    due.extend(books.requests.values().map(|request| request.unlock_at));
    due.extend(books.seats.values().map(|seat| seat.release_at));
    for exposure in books.exposures.values() {
        due.push(notice_end(books, &exposure.vault, exposure.listed_at));
    }
    for (at, vault) in &books.vaults {
        due.push(notice_end(books, at, vault.created_at));
    }
    due.retain(|at| books.now < *at && *at < i64::MAX);
    due.into_iter().min()
}

/// Who leaves.
pub struct Leaving<'a> {
    pub driver: &'a mut Driver,
    pub payouts: Payouts,
    /// Token accounts that their mint's issuer froze, so that nothing is paid there.
    pub frozen: BTreeSet<Address>,
    /// What waits for that.
    pub waiting: BTreeSet<Holding>,
}

impl<'a> Leaving<'a> {
    pub fn new(driver: &'a mut Driver) -> Self {
        Self {
            driver,
            payouts: Payouts::new(),
            frozen: BTreeSet::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// All that can be done now is done, until nothing more can.
    pub fn now(&mut self) -> Checked {
        let kinds = [
            decided,
            settled,
            of_markets,
            of_policies,
            asked_back,
            of_vaults,
            bonds_asked_back,
            of_models,
            closable,
        ];
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            for kind in kinds {
                for call in kind(&self.driver.books) {
                    goes_on |= self.carry_out(call)?;
                }
            }
        }
        Ok(())
    }

    /// And time goes on until nothing more falls due.
    pub fn all(&mut self) -> Checked {
        self.now()?;
        while let Some(at) = next_due(&self.driver.books) {
            self.driver.step(Step::Until(at))?;
            self.now()?;
        }
        Ok(())
    }

    fn carry_out(&mut self, call: Call) -> Checked<bool> {
        let paid = paid_for(&self.driver.books, &call);
        let Some((holding, at)) = paid.filter(|(_, at)| self.frozen.contains(at)) else {
            return carry_out(self.driver, call, &mut self.payouts);
        };
        let mut fork = self.driver.fork();
        if fork.step(Step::Call(call.clone())).is_err() {
            self.waiting.insert(holding); // refused, though nothing is against it but this
            return Ok(false);
        }
        let is_nothing = fork.books.tokens[&at].amount == self.driver.books.tokens[&at].amount;
        hold(is_nothing, || format!("{holding:?} was paid while frozen"))?;
        carry_out(self.driver, call, &mut self.payouts)
    }
}

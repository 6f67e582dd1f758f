//! Liveness without privileged keys: if all of them were lost, the owners could still withdraw all of their
//! tokens and close their accounts. Only treasuries, and donations to bond vaults, would stay. Tested from
//! states that random runs reach.

use std::collections::{BTreeMap, BTreeSet};

use driftshield_sdk::{Account, Address, CollateralTerms, address, token::TokenAccount};
use driftshield_tests::{
    soak::{
        Driver, Step,
        books::Books,
        call::Call,
        checkpoints,
        wind_down::{Holding, WindDown, closures, holdings, withdrawal_requests},
    },
    world::RENTS,
};

use crate::tampering::set_frozen;

/// Number of states of a run that are tested.
const STOPS: usize = 25;

/// Restrictions that the admin sets before its key is lost.
#[derive(Clone, Copy, Debug)]
enum Restriction {
    None,
    /// All pause flags are set.
    Paused,
    /// All collateral is disabled.
    Disabled,
    PausedAndDisabled,
}

const RESTRICTIONS: [Restriction; 4] = [
    Restriction::None,
    Restriction::Paused,
    Restriction::Disabled,
    Restriction::PausedAndDisabled,
];

/// Carries out a call that must succeed.
fn must_succeed(driver: &mut Driver, call: Call) {
    let before = driver.tally.succeeded();
    driver.step(Step::Call(call)).unwrap();
    assert!(before < driver.tally.succeeded(), "{}", driver.transcript());
}

impl Restriction {
    fn apply(self, driver: &mut Driver) {
        let config = driver.books.config.clone().unwrap();
        let (paused, disabled) = match self {
            Self::None => (false, false),
            Self::Paused => (true, false),
            Self::Disabled => (false, true),
            Self::PausedAndDisabled => (true, true),
        };
        if paused {
            let pause = Call::SetPause {
                signer: config.admin,
                flags: 63,
            };
            must_succeed(driver, pause);
        }
        let all: Vec<(Address, CollateralTerms)> = driver
            .books
            .collaterals
            .iter()
            .map(|(mint, collateral)| (*mint, collateral.terms))
            .collect();
        for (mint, terms) in all.into_iter().filter(|_| disabled) {
            let disable = Call::UpdateCollateral {
                signer: config.admin,
                mint,
                terms,
                enabled: false,
            };
            must_succeed(driver, disable);
        }
    }
}

// Rent.

/// Lamports that each actor gets back when everything is closed: those of the program's accounts, and of
/// the token accounts that are closed with them.
fn rent_owed(driver: &Driver) -> BTreeMap<Address, u64> {
    let mut owed = BTreeMap::new();
    let mut owe = |to: Address, accounts: &[Address]| {
        let held = accounts.iter().map(|at| driver.world.lamports(at));
        *owed.entry(to).or_default() += held.sum::<u64>();
    };
    for (at, account) in driver.world.accounts() {
        match account {
            Account::Seat(seat) => owe(seat.oracle, &[at]),
            Account::Receipt(receipt) => owe(receipt.payer, &[at]),
            Account::Series(series) => owe(series.payer, &[at]),
            Account::Market(market) => owe(market.creator, &[at, market.vault]),
            Account::Position(position) => owe(position.owner, &[at]),
            Account::Vault(vault) => owe(vault.manager, &[at, vault.tokens]),
            Account::Exposure(exposure) => {
                let manager = driver.books.vaults[&exposure.vault].manager;
                owe(manager, &[at]);
            }
            Account::WithdrawRequest(request) => owe(request.owner, &[at]),
            Account::Policy(policy) => owe(policy.holder, &[at]),
            Account::Config(_) | Account::Collateral(_) | Account::Model(_) => {}
        }
    }
    // Lamports sent to the address of a future withdrawal request belong to the owner of that request.
    for call in withdrawal_requests(&driver.books) {
        if let Call::RequestWithdraw {
            signer: who, vault, ..
        } = call
        {
            let request = address::withdraw_request(&vault, &who);
            if !driver.books.requests.contains_key(&request) {
                owe(who, &[request]);
            }
        }
    }
    owed
}

fn lamports(driver: &Driver) -> BTreeMap<Address, u64> {
    let actors = driver.actors.addresses().into_iter();
    actors
        .map(|actor| (actor, driver.world.lamports(&actor)))
        .collect()
}

// Remains.

/// Lists accounts and tokens that should be gone, and if there are any, the outcome of each call that
/// could close an account.
fn remains(driver: &mut Driver) -> Vec<String> {
    let mut remains = Vec::new();
    for (at, account) in driver.world.accounts() {
        let is_permanent = matches!(
            account,
            Account::Config(_) | Account::Collateral(_) | Account::Model(_)
        );
        if !is_permanent {
            remains.push(format!("{} is not closed", driver.name(&at)));
        }
    }
    for (at, tokens) in token_accounts(driver) {
        let Some(held) = driver
            .books
            .tokens
            .get(&at)
            .filter(|held| held.owned_by_program)
        else {
            continue;
        };
        let kept = if driver.books.models.contains_key(&held.owner) {
            held.donated // a model is never closed, so donations to it stay
        } else {
            0
        };
        if u128::from(tokens.amount) != kept {
            let (name, amount) = (driver.name(&held.owner), tokens.amount);
            remains.push(format!("{name} still holds {amount} tokens"));
        }
    }
    if !remains.is_empty() {
        for call in closures(&driver.books) {
            let description = format!("{call:?}");
            driver.step(Step::Call(call)).unwrap();
            remains.push(format!("{description}: {:?}", driver.log.last()));
        }
    }
    remains
}

fn token_accounts(driver: &Driver) -> Vec<(Address, TokenAccount)> {
    let accounts = driver.books.tokens.keys();
    accounts
        .filter_map(|at| Some((*at, driver.world.svm.get_account(at)?)))
        .map(|(at, account)| (at, TokenAccount::decode(&account.data).unwrap()))
        .collect()
}

/// The admin withdraws everything from the treasuries.
fn withdraw_treasuries(driver: &mut Driver) {
    let admin = driver.books.config.clone().unwrap().admin;
    let collaterals = driver.books.collaterals.iter();
    let treasuries: Vec<(Address, Address)> = collaterals
        .map(|(mint, collateral)| (*mint, collateral.treasury))
        .collect();
    for (mint, treasury) in treasuries {
        let amount = driver.books.tokens[&treasury].amount as u64;
        if 0 < amount {
            let withdraw = Call::WithdrawTreasury {
                signer: admin,
                mint,
                destination: driver.books.own_account(&admin, &mint),
                amount,
            };
            must_succeed(driver, withdraw);
        }
    }
}

// The property.

/// Everybody leaves without a privileged key, and the admin empties the treasuries. Asserts that nothing
/// remains, and that everybody has its rent back.
fn assert_emptied(driver: &mut Driver, context: &str) {
    let mut expected = lamports(driver);
    for (actor, rent) in rent_owed(driver) {
        *expected.get_mut(&actor).unwrap() += rent;
    }
    if let Err(violation) = WindDown::new(driver).all() {
        panic!("{context}: {}\n{}", violation.0, driver.transcript());
    }
    withdraw_treasuries(driver);
    let remains = remains(driver);
    assert!(
        remains.is_empty(),
        "{context}: {}\n{}",
        remains.join("\n"),
        driver.transcript()
    );
    for (actor, lamports) in lamports(driver) {
        let name = driver.name(&actor);
        assert_eq!(lamports, expected[&actor], "{context}: lamports of {name}");
    }
}

/// Everybody leaves from [`STOPS`] states of a run, which are `every` steps apart.
fn assert_emptied_along_run(seed: u64, every: usize) {
    for (step, mut driver) in checkpoints(seed, every, STOPS) {
        // Given a state of the run, perhaps with a restriction, and perhaps another rent
        let restriction = RESTRICTIONS[step / every % RESTRICTIONS.len()];
        restriction.apply(&mut driver);
        driver.set_rent(RENTS[step / every % RENTS.len()]);
        // When everybody leaves, then nothing remains
        assert_emptied(
            &mut driver,
            &format!("seed {seed}, step {step}, {restriction:?}"),
        );
    }
}

#[test]
fn early_states_can_be_emptied() {
    assert_emptied_along_run(101, 4);
    assert_emptied_along_run(102, 6);
    assert_emptied_along_run(103, 8);
}

#[test]
fn states_after_some_hundred_steps_can_be_emptied() {
    assert_emptied_along_run(104, 10);
    assert_emptied_along_run(105, 12);
}

#[test]
fn other_states_after_some_hundred_steps_can_be_emptied() {
    assert_emptied_along_run(106, 9);
    assert_emptied_along_run(107, 14);
}

#[test]
fn late_states_can_be_emptied() {
    assert_emptied_along_run(108, 20);
}

// Frozen token accounts.

/// The owner of the most positions, policies, shares and bonds.
fn richest(books: &Books) -> Option<Address> {
    let mut counts: BTreeMap<Address, usize> = BTreeMap::new();
    for holding in holdings(books) {
        let owner = match holding {
            Holding::Position(at) => books.positions[&at].owner,
            Holding::Policy(at) => books.policies[&at].holder,
            Holding::Shares(_, owner) | Holding::Bond(_, owner) | Holding::Reward(_, owner) => {
                owner
            }
            _ => continue,
        };
        *counts.entry(owner).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(most.0)
}

/// Freezes or thaws token accounts.
fn set_all_frozen(driver: &mut Driver, accounts: &BTreeSet<Address>, frozen: bool) {
    for account in accounts {
        set_frozen(&mut driver.world, account, frozen);
    }
    driver.check().unwrap();
}

/// Asserts that every remaining account waits for a payout to `victim`.
fn assert_only_victim_waits(books: &Books, victim: &Address, context: &str) {
    let market_waits = |market: &Address| {
        let positions = books.positions_of(market).count();
        let fee = books.markets[market].creator_credit;
        0 < positions || (0 < fee && books.markets[market].creator == *victim)
    };
    let vault_waits = |vault: &Address| {
        let fee = books.vaults[vault].manager_credit;
        let is_fee_left = 0 < fee && books.vaults[vault].manager == *victim;
        0 < books.requests_of(vault).count() || is_fee_left
    };
    let mut positions = books.positions.values();
    assert!(
        positions.all(|position| position.owner == *victim),
        "{context}"
    );
    let mut requests = books.requests.values();
    assert!(
        requests.all(|request| request.owner == *victim),
        "{context}"
    );
    let mut seats = books.seats.values();
    assert!(seats.all(|seat| seat.oracle == *victim), "{context}");
    let mut receipts = books.receipts.values();
    assert!(
        receipts.all(|receipt| receipt.challenger == Some(*victim)),
        "{context}"
    );
    assert!(books.markets.keys().all(market_waits), "{context}");
    assert!(books.vaults.keys().all(vault_waits), "{context}");
    assert!(books.policies.is_empty(), "{context}");
}

/// Balances of all token accounts but those of the program and the `frozen` ones.
fn held_by_others(books: &Books, frozen: &BTreeSet<Address>) -> BTreeMap<Address, u128> {
    let tokens = books.tokens.iter();
    tokens
        .filter(|(at, tokens)| !tokens.owned_by_program && !frozen.contains(at))
        .map(|(at, tokens)| (*at, tokens.amount))
        .collect()
}

#[test]
fn frozen_token_accounts_block_only_payouts_to_their_owner() {
    let mut waited = 0;
    for (step, driver) in checkpoints(109, 10, STOPS) {
        // Given a state of the run, and an owner whose token accounts are all frozen
        let context = format!("step {step}");
        let Some(victim) = richest(&driver.books) else {
            continue;
        };
        let (mut free, mut driver) = (driver.fork(), driver);
        let mints = driver.books.collaterals.keys();
        let frozen: BTreeSet<Address> = mints
            .map(|mint| driver.books.own_account(&victim, mint))
            .collect();
        set_all_frozen(&mut driver, &frozen, true);

        // When everybody leaves
        let mut leaving = WindDown::new(&mut driver);
        leaving.frozen = frozen.clone();
        if let Err(violation) = leaving.all() {
            panic!("{context}: {}\n{}", violation.0, driver.transcript());
        }
        waited += leaving.waiting.len();

        // Then only that owner's payouts are missing, and the others have at least what they would have without
        // the freeze: what a policy would return stays in the vault if its time is over
        assert_only_victim_waits(&driver.books, &victim, &context);
        WindDown::new(&mut free).all().unwrap();
        let [expected, found] = [&free, &driver].map(|of| held_by_others(&of.books, &frozen));
        assert_eq!(found.len(), expected.len(), "{context}");
        for (at, least) in &expected {
            assert!(
                *least <= found[at],
                "{context}: {at} has {} instead of {least}",
                found[at]
            );
        }
        // And when the accounts are thawed, nothing remains
        set_all_frozen(&mut driver, &frozen, false);
        assert_emptied(&mut driver, &context);
    }
    assert!(STOPS < waited);
}

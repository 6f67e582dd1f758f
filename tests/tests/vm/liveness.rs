//! If every privileged key vanished, steps that need only the signature of whoever the money belongs to
//! would still empty every token account: from the states that random runs come to.

use std::collections::{BTreeMap, BTreeSet};

use driftshield_sdk::{Account, Address, CollateralTerms, address, token::TokenAccount};
use driftshield_tests::soak::{
    Driver, Step,
    books::Books,
    call::Call,
    checkpoints,
    wind_down::{Holding, WindDown, closures, holdings, withdrawal_requests},
};

/// States of a run that everybody leaves from.
const STOPS: usize = 25;

/// What is made worse before everybody leaves.
#[derive(Clone, Copy, Debug)]
enum Plight {
    None,
    Paused,
    Disabled,
    PausedAndDisabled,
}

const PLIGHTS: [Plight; 4] = [
    Plight::None,
    Plight::Paused,
    Plight::Disabled,
    Plight::PausedAndDisabled,
];

fn done(driver: &mut Driver, call: Call) {
    let before = driver.tally.succeeded();
    driver.step(Step::Call(call)).unwrap();
    assert!(before < driver.tally.succeeded(), "{}", driver.transcript());
}

impl Plight {
    fn befall(self, driver: &mut Driver) {
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
            done(driver, pause);
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
            done(driver, disable);
        }
    }
}

// Rent.

/// What each actor gets back of the lamports that the program's accounts hold, those of their token
/// accounts as well.
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
            Account::Market(market) => owe(market.creator, &[at, market.vault]),
            Account::Position(position) => owe(position.owner, &[at]),
            Account::Vault(vault) => owe(vault.manager, &[at, vault.tokens, vault.escrow]),
            Account::Exposure(exposure) => {
                let manager = driver.books.vaults[&exposure.vault].manager;
                owe(manager, &[at]);
            }
            Account::WithdrawRequest(request) => owe(request.owner, &[at]),
            Account::Policy(policy) => owe(policy.holder, &[at]),
            Account::Config(_) | Account::Collateral(_) | Account::Model(_) => {}
        }
    }
    // Somebody may have sent lamports to where a request will be made: they are its owner's.
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

// What is left.

/// Names what is left on chain that should not be, and why the program keeps it.
fn left(driver: &mut Driver) -> Vec<String> {
    let mut left = Vec::new();
    for (at, account) in driver.world.accounts() {
        let stays = matches!(
            account,
            Account::Config(_) | Account::Collateral(_) | Account::Model(_)
        );
        if !stays {
            left.push(format!("{} is left", driver.name(&at)));
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
            held.donated // to a model, which is never closed
        } else {
            0
        };
        if u128::from(tokens.amount) != kept {
            let (name, amount) = (driver.name(&held.owner), tokens.amount);
            left.push(format!("{amount} are left to {name}"));
        }
    }
    if !left.is_empty() {
        for call in closures(&driver.books) {
            let told = format!("{call:?}");
            driver.step(Step::Call(call)).unwrap();
            left.push(format!("{told}: {:?}", driver.log.last()));
        }
    }
    left
}

fn token_accounts(driver: &Driver) -> Vec<(Address, TokenAccount)> {
    let accounts = driver.books.tokens.keys();
    accounts
        .filter_map(|at| Some((*at, driver.world.svm.get_account(at)?)))
        .map(|(at, account)| (at, TokenAccount::decode(&account.data).unwrap()))
        .collect()
}

/// The treasury's money is the admin's to take.
fn take_treasuries(driver: &mut Driver) {
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
            done(driver, withdraw);
        }
    }
}

// The property.

/// Everybody leaves; nothing is left, and whoever paid rent has it back.
fn require_emptied(driver: &mut Driver, whence: &str) {
    let mut expected = lamports(driver);
    for (actor, rent) in rent_owed(driver) {
        *expected.get_mut(&actor).unwrap() += rent;
    }
    if let Err(violation) = WindDown::new(driver).all() {
        panic!("{whence}: {}\n{}", violation.0, driver.transcript());
    }
    take_treasuries(driver);
    let left = left(driver);
    assert!(
        left.is_empty(),
        "{whence}: {}\n{}",
        left.join("\n"),
        driver.transcript()
    );
    for (actor, lamports) in lamports(driver) {
        let name = driver.name(&actor);
        assert_eq!(lamports, expected[&actor], "{whence}: lamports of {name}");
    }
}

fn everybody_leaves(seed: u64, every: usize) {
    for (step, mut driver) in checkpoints(seed, every, STOPS) {
        // Given a state, with no privileged key, and perhaps worse
        let plight = PLIGHTS[step / every % PLIGHTS.len()];
        plight.befall(&mut driver);
        // When everybody leaves, then nothing is left
        require_emptied(
            &mut driver,
            &format!("seed {seed}, step {step}, {plight:?}"),
        );
    }
}

#[test]
fn everybody_leaves_early_states() {
    everybody_leaves(101, 4);
    everybody_leaves(102, 6);
    everybody_leaves(103, 8);
}

#[test]
fn everybody_leaves_states_of_some_hundred_steps() {
    everybody_leaves(104, 10);
    everybody_leaves(105, 12);
}

#[test]
fn everybody_leaves_other_states_of_some_hundred_steps() {
    everybody_leaves(106, 9);
    everybody_leaves(107, 14);
}

#[test]
fn everybody_leaves_late_states() {
    everybody_leaves(108, 20);
}

// Frozen token accounts.

/// Who has the most of all who have something.
fn richest(books: &Books) -> Option<Address> {
    let mut counts: BTreeMap<Address, usize> = BTreeMap::new();
    for holding in holdings(books) {
        let owner = match holding {
            Holding::Position(at) => books.positions[&at].owner,
            Holding::Policy(at) => books.policies[&at].holder,
            Holding::Shares(_, owner) | Holding::Bond(_, owner) => owner,
            _ => continue,
        };
        *counts.entry(owner).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(most.0)
}

/// Sets the state of a token account.
fn set_frozen(driver: &mut Driver, accounts: &BTreeSet<Address>, frozen: bool) {
    for at in accounts {
        let mut account = driver.world.svm.get_account(at).unwrap();
        account.data[108] = if frozen { 2 } else { 1 };
        driver.world.svm.set_account(*at, account).unwrap();
    }
    driver.check().unwrap();
}

/// What `victim` waits for is all that is left.
fn require_only_its(books: &Books, victim: &Address, whence: &str) {
    let waits_for = |market: &Address| {
        let its = books.positions_of(market).count();
        let fee = books.markets[market].creator_credit;
        0 < its || (0 < fee && books.markets[market].creator == *victim)
    };
    let waits_for_vault = |vault: &Address| {
        let fee = books.vaults[vault].manager_credit;
        let is_managers = 0 < fee && books.vaults[vault].manager == *victim;
        0 < books.requests_of(vault).count() || is_managers
    };
    let mut positions = books.positions.values();
    assert!(
        positions.all(|position| position.owner == *victim),
        "{whence}"
    );
    let mut requests = books.requests.values();
    assert!(requests.all(|request| request.owner == *victim), "{whence}");
    let mut seats = books.seats.values();
    assert!(seats.all(|seat| seat.oracle == *victim), "{whence}");
    let mut receipts = books.receipts.values();
    assert!(
        receipts.all(|receipt| receipt.challenger == Some(*victim)),
        "{whence}"
    );
    assert!(books.markets.keys().all(waits_for), "{whence}");
    assert!(books.vaults.keys().all(waits_for_vault), "{whence}");
    assert!(books.policies.is_empty(), "{whence}");
}

/// What all token accounts hold but the program's and those that are `frozen`.
fn held_by_others(books: &Books, frozen: &BTreeSet<Address>) -> BTreeMap<Address, u128> {
    let tokens = books.tokens.iter();
    tokens
        .filter(|(at, tokens)| !tokens.owned_by_program && !frozen.contains(at))
        .map(|(at, tokens)| (*at, tokens.amount))
        .collect()
}

#[test]
fn a_frozen_token_account_keeps_its_own_payout_waiting_and_nobody_elses() {
    let mut waited = 0;
    for (step, driver) in checkpoints(109, 10, STOPS) {
        // Given a state, and somebody whose token accounts are all frozen
        let whence = format!("step {step}");
        let Some(victim) = richest(&driver.books) else {
            continue;
        };
        let (mut free, mut driver) = (driver.fork(), driver);
        let mints = driver.books.collaterals.keys();
        let frozen: BTreeSet<Address> = mints
            .map(|mint| driver.books.own_account(&victim, mint))
            .collect();
        set_frozen(&mut driver, &frozen, true);

        // When everybody leaves
        let mut leaving = WindDown::new(&mut driver);
        leaving.frozen = frozen.clone();
        if let Err(violation) = leaving.all() {
            panic!("{whence}: {}\n{}", violation.0, driver.transcript());
        }
        waited += leaving.waiting.len();

        // Then only the owner of these waits, and the others have what they would have had
        require_only_its(&driver.books, &victim, &whence);
        WindDown::new(&mut free).all().unwrap();
        let [expected, found] = [&free, &driver].map(|of| held_by_others(&of.books, &frozen));
        assert!(
            found == expected,
            "{whence}: others have {found:?} of {expected:?}"
        );
        // And when they are thawed, nothing is left
        set_frozen(&mut driver, &frozen, false);
        require_emptied(&mut driver, &whence);
    }
    assert!(STOPS < waited);
}

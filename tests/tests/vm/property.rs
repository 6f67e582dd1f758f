//! Random calls from fixed seeds, compared with the books: an independent model of all balances.

use std::{mem::offset_of, thread};

use driftshield_sdk::{Address, Vault};
use driftshield_tests::{
    insurance::Insured,
    soak::{
        Driver, Violation, actions, driver_after,
        report::Tally,
        shrink::{find_violation, shrink},
    },
};
use solana_instruction_error::InstructionError;
use solana_transaction_error::TransactionError;

use crate::committed_idl;

/// Seeds in which every rare event happens at least once.
const SEEDS: [u64; 12] = [2, 3, 4, 6, 8, 11, 12, 14, 17, 19, 33, 38];
/// Number of actions of a seed; an action can make any number of calls.
const ACTIONS: usize = 700;

/// Runs a seed. Panics at a violation, with the smallest sequence of actions that leads to it and the
/// command that replays it.
fn run(seed: u64) -> Tally {
    let start = Driver::new();
    let sequence = actions(seed, ACTIONS);
    let mut driver = start.fork();
    for (done, action) in sequence.iter().enumerate() {
        if let Err(violation) = driver.act(action) {
            let shrunk = shrink(&start, &sequence[..=done], violation);
            let kept: Vec<String> = shrunk.kept.iter().map(usize::to_string).collect();
            panic!(
                "seed {seed}: {}\n{}replay: scripts/soak --seed {seed} --steps {ACTIONS} --keep {}",
                shrunk.violation.0,
                shrunk.transcript,
                kept.join(",")
            );
        }
    }
    driver.world.check_solvency(); // the checks that other tests run after every transaction
    driver.tally
}

#[test]
fn random_calls_match_the_books() {
    // When random calls of all roles are sent (`run` panics if the chain differs from the books)
    let tallies = thread::scope(|scope| {
        let runs = SEEDS.map(|seed| scope.spawn(move || run(seed)));
        runs.map(|run| run.join())
    });
    let mut tally = Tally::default();
    for run in tallies {
        match run {
            Ok(run) => tally.add(&run),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    println!("{}", tally.table());

    // Then at least a third of the calls succeeded, and every instruction both succeeded and was refused
    assert!(tally.steps() <= 3 * tally.succeeded());
    let instructions = committed_idl::instructions();
    assert_eq!(instructions.len(), 55);
    for instruction in instructions {
        let name = &instruction.name;
        let (succeeded, refused) = tally.calls.get(name).copied().unwrap_or_default();
        assert!(
            0 < succeeded && 0 < refused,
            "{name} succeeded {succeeded} times and was refused {refused} times"
        );
    }
    // And each of these rarer events happened
    let happened = tally.rare_events;
    let counts = [
        happened.policies_paid,
        happened.policies_ended_by_payment,
        happened.receipts_voided,
        happened.disputes_ruled,
        happened.oracles_slashed,
        happened.oracles_left,
        happened.oracles_replaced,
        happened.markets_resolved,
        happened.markets_voided,
        happened.stakes_sold,
        happened.positions_sold_out,
        happened.partly_withdrawn,
        happened.reserved,
        happened.renewed_by_anyone,
        happened.terms_begun,
        happened.terms_voided,
        happened.premiums_set_aside,
        happened.streams_cut,
        happened.premiums_returned,
        happened.premiums_lapsed,
        happened.losses_borne_later,
        happened.deposited_before_losses,
    ];
    assert!(counts.iter().all(|&count| 0 < count), "{happened:?}");
    // And accounts were closed after the rent had risen, and after it had fallen
    let closings = tally.closings;
    assert!(
        0 < closings.after_rise && 0 < closings.after_fall,
        "{closings:?}"
    );
}

#[test]
fn a_seed_determines_the_state() {
    let [first, second] = [(); 2].map(|()| driver_after(7, 150));
    assert_eq!(first.transcript(), second.transcript());
    assert_eq!(first.tally.table(), second.tally.table());
}

/// Decrements the number at `offset` of an account's data.
fn decrement(driver: &mut Driver, at: &Address, offset: usize) {
    let mut account = driver.world.svm.get_account(at).unwrap();
    let bytes: [u8; 8] = account.data[offset..offset + 8].try_into().unwrap();
    let less = u64::from_le_bytes(bytes) - 1;
    account.data[offset..offset + 8].copy_from_slice(&less.to_le_bytes());
    driver.world.svm.set_account(*at, account).unwrap();
}

#[test]
fn a_missing_unit_is_reported() {
    // Given a state that matches the books
    let mut driver = Driver::new();
    driver.check().unwrap();
    let (vault, state) = driver.books.vaults.iter().next().unwrap();
    let (vault, assets) = (*vault, state.assets);
    let tokens = driftshield_sdk::address::vault_tokens(&vault);

    // When a unit is missing from a vault's recorded capital, then the check names the field
    let mut wrong_record = driver.fork();
    decrement(&mut wrong_record, &vault, 8 + offset_of!(Vault, assets));
    let expected = format!(
        "{}: assets should be Number({assets}), but is Number({})",
        driver.name(&vault),
        assets - 1
    );
    assert_eq!(wrong_record.check(), Err(Violation(expected)));

    // When a unit is missing from its token account, then the check names the balance
    let mut missing_tokens = driver.fork();
    decrement(&mut missing_tokens, &tokens, 64);
    let Violation(message) = missing_tokens.check().unwrap_err();
    assert!(message.contains("should hold"), "{message}");
}

#[test]
fn a_violation_is_found_shrunk_and_reproduced() {
    // Given wrong books: the protocol's fee of premiums is one basis point too low
    let mut start = Driver::new();
    for vault in start.books.vaults.values_mut() {
        vault.protocol_fee_bps -= 1;
    }
    let sequence = actions(1, 100);

    // When a sequence of actions is run
    let mut driver = start.fork();
    let found = driver.run(&sequence);

    // Then a difference is found, is reduced to a single action, and is reproduced by it
    let violation = found.unwrap_err();
    let shrunk = shrink(&start, &sequence, violation.clone());
    assert_eq!(shrunk.violation, violation);
    assert_eq!(shrunk.kept.len(), 1, "{}", shrunk.transcript);
    let again = find_violation(&start, &sequence, &shrunk.kept).unwrap();
    assert_eq!(again.violation, violation);
    assert!(find_violation(&Driver::new(), &sequence, &shrunk.kept).is_none());
}

#[test]
fn a_request_for_more_shares_than_exist_returns_an_error() {
    // Given a provider who has requested shares
    let mut scene = Insured::new();
    let provider = scene.provider();
    scene.request(&provider, 1_000).unwrap();

    // When it requests more shares than can exist, then the program returns an error and does not abort
    let outcome = scene.request(&provider, u64::MAX);
    let failed = outcome.map(|sent| sent.units).unwrap_err().err;
    let abort = InstructionError::ProgramFailedToComplete;
    assert_ne!(failed, TransactionError::InstructionError(0, abort));
}

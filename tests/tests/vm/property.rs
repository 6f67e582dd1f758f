//! The whole program against the books: thousands of random calls over fixed seeds.

use std::{fs, mem::offset_of, thread};

use anchor_lang_idl::types::Idl;
use driftshield_sdk::{Address, Vault};
use driftshield_tests::{
    idl,
    insurance::Insured,
    soak::{
        Driver, Violation, actions, driver_after,
        report::Tally,
        shrink::{find_violation, shrink},
    },
};
use solana_instruction_error::InstructionError;
use solana_transaction_error::TransactionError;

const SEEDS: [u64; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
/// Actions of a seed; some make several calls, some none.
const ACTIONS: usize = 700;

/// Runs a seed; a violation is told with the least that leads to it, and how to see it again.
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
    driver.world.check_solvency(); // as other tests look for it
    driver.tally
}

#[test]
fn thousands_of_calls_go_as_the_books_say() {
    // Given, and when: random calls of everybody, compared with the books after each
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

    // Then a third of them succeeded, and every instruction did and was refused
    assert!(tally.steps() <= 3 * tally.succeeded());
    let file = fs::read_to_string(idl::root().join("idl/driftshield.json")).unwrap();
    let idl: Idl = serde_json::from_str(&file).unwrap();
    assert_eq!(idl.instructions.len(), 43);
    for name in idl
        .instructions
        .into_iter()
        .map(|instruction| instruction.name)
    {
        let (succeeded, refused) = tally.calls.get(&name).copied().unwrap_or_default();
        assert!(
            0 < succeeded && 0 < refused,
            "{name}: {succeeded}, {refused}"
        );
    }
    // And everything that a run is for came about
    let happened = tally.rare_events;
    let counts = [
        happened.policies_paid,
        happened.policies_ended_by_payment,
        happened.receipts_voided,
        happened.disputes_ruled,
        happened.oracles_slashed,
        happened.vaults_wiped_out,
        happened.markets_resolved,
        happened.markets_voided,
        happened.partly_withdrawn,
        happened.renewed_by_anyone,
    ];
    assert!(counts.iter().all(|&count| 0 < count), "{happened:?}");
}

#[test]
fn a_seed_reaches_the_same_state_again() {
    let [first, second] = [(); 2].map(|()| driver_after(7, 150));
    assert_eq!(first.transcript(), second.transcript());
    assert_eq!(first.tally.table(), second.tally.table());
}

/// Takes a unit off the number at `offset` of an account's data.
fn damage(driver: &mut Driver, at: &Address, offset: usize) {
    let mut account = driver.world.svm.get_account(at).unwrap();
    let bytes: [u8; 8] = account.data[offset..offset + 8].try_into().unwrap();
    let less = u64::from_le_bytes(bytes) - 1;
    account.data[offset..offset + 8].copy_from_slice(&less.to_le_bytes());
    driver.world.svm.set_account(*at, account).unwrap();
}

#[test]
fn a_unit_that_is_missing_is_named() {
    // Given a state that is as the books say
    let mut driver = Driver::new();
    driver.check().unwrap();
    let (vault, state) = driver.books.vaults.iter().next().unwrap();
    let (vault, assets) = (*vault, state.assets);
    let tokens = driftshield_sdk::address::vault_tokens(&vault);

    // When a vault has forgotten a unit of its capital, or holds one less, then that is told
    let mut forgetful = driver.fork();
    damage(&mut forgetful, &vault, 8 + offset_of!(Vault, assets));
    let expected = format!(
        "{}: assets should be Number({assets}), but is Number({})",
        driver.name(&vault),
        assets - 1
    );
    assert_eq!(forgetful.check(), Err(Violation(expected)));
    let mut robbed = driver.fork();
    damage(&mut robbed, &tokens, 64);
    let Violation(told) = robbed.check().unwrap_err();
    assert!(told.contains("should hold"), "{told}");
}

#[test]
fn what_goes_wrong_is_found_shrunk_and_seen_again() {
    // Given a sequence in books that forget to pay a fee: the protocol takes nothing of premiums
    let mut start = Driver::new();
    for vault in start.books.vaults.values_mut() {
        vault.protocol_fee_bps -= 1;
    }
    let sequence = actions(1, 100);

    // When it is run
    let mut driver = start.fork();
    let found = driver.run(&sequence);

    // Then the chain is found to be other than the books, and a single action is left that shows it
    let violation = found.unwrap_err();
    let shrunk = shrink(&start, &sequence, violation.clone());
    assert_eq!(shrunk.violation, violation);
    assert_eq!(shrunk.kept.len(), 1, "{}", shrunk.transcript);
    let again = find_violation(&start, &sequence, &shrunk.kept).unwrap();
    assert_eq!(again.violation, violation);
    assert!(find_violation(&Driver::new(), &sequence, &shrunk.kept).is_none());
}

#[test]
fn shares_that_nobody_has_are_refused_by_an_error() {
    // Given a provider who has asked shares back
    let mut scene = Insured::new();
    let provider = scene.provider();
    scene.request(&provider, 1_000).unwrap();

    // When it asks more back than there can be, then that is refused, and not by an abort
    let outcome = scene.request(&provider, u64::MAX);
    let failed = outcome.map(|sent| sent.units).unwrap_err().err;
    let abort = InstructionError::ProgramFailedToComplete;
    assert_ne!(failed, TransactionError::InstructionError(0, abort));
}

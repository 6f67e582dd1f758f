//! What must never change once the program is deployed, against `tests/frozen.txt`.

use std::{collections::BTreeSet, fs};

use anchor_lang_idl::types::{Idl, IdlInstructionAccountItem};
use driftshield_sdk::{Address, ID, address};
use driftshield_tests::{idl, world::key};
use solana_signer::Signer;

/// The lines of the list but for remarks: of addresses, and all others.
fn list() -> (Vec<String>, Vec<String>) {
    let file = fs::read_to_string(idl::root().join("tests/frozen.txt")).unwrap();
    let lines = file.lines().map(str::to_owned);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.partition(|line| line.starts_with("address "))
}

fn idl() -> Idl {
    let file = fs::read_to_string(idl::root().join("idl/driftshield.json")).unwrap();
    serde_json::from_str(&file).unwrap()
}

#[test]
fn nothing_changes_that_is_listed_and_all_is_listed() {
    // Given what is listed, and what the program says
    let listed: BTreeSet<_> = list().1.into_iter().collect();
    let lines = idl::frozen(&idl()).unwrap();
    let present: BTreeSet<_> = lines.iter().cloned().collect();

    // Then all that is listed is so, and what is new only has to be listed too
    let changed: Vec<_> = listed.difference(&present).collect();
    assert!(changed.is_empty(), "these may never change: {changed:#?}");
    let new: Vec<_> = lines
        .into_iter()
        .filter(|line| !listed.contains(line))
        .collect();
    assert!(
        new.is_empty(),
        "append to tests/frozen.txt:\n{}",
        new.join("\n")
    );
}

/// The number that the test gives to an id or a window.
const NUMBER: u64 = 7;

/// The key that the test gives to whom or what a seed names.
fn named(name: &str) -> Address {
    key(name).pubkey()
}

/// The address of `seeds`: texts in quotes, numbers, and names of keys.
fn derive(seeds: &str) -> Address {
    let seeds: Vec<Vec<u8>> = seeds
        .split(", ")
        .map(|seed| match seed.strip_prefix('"') {
            Some(text) => text.trim_end_matches('"').into(),
            None if ["id", "window"].contains(&seed) => NUMBER.to_le_bytes().into(),
            None => named(seed).to_bytes().into(),
        })
        .collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    anchor_lang::find_program_address(&seeds, &ID).0
}

#[test]
fn no_account_moves_to_another_address() {
    // Given every address that the program derives
    let addresses = [
        ("collateral", address::collateral(&named("mint"))),
        ("config", address::config()),
        ("event_authority", address::event_authority()),
        (
            "exposure",
            address::exposure(&named("vault"), &named("model")),
        ),
        ("market", address::market(&named("creator"), NUMBER)),
        ("model", address::model(&named("owner"), NUMBER)),
        (
            "policy",
            address::policy(&named("vault"), &named("holder"), NUMBER),
        ),
        (
            "position",
            address::position(&named("market"), &named("bettor")),
        ),
        ("receipt", address::receipt(&named("model"), NUMBER)),
        ("renewal", address::renewal_authority(&named("holder"))),
        (
            "request",
            address::withdraw_request(&named("vault"), &named("owner")),
        ),
        ("seat", address::seat(&named("model"), &named("oracle"))),
        ("vault", address::vault(&named("manager"), NUMBER)),
        // Token accounts and mints, which the IDL does not derive.
        ("bond_vault", address::bond_vault(&named("model"))),
        ("escrow", address::escrow(&named("vault"))),
        ("market_vault", address::market_vault(&named("market"))),
        ("share_mint", address::share_mint(&named("vault"))),
        ("treasury", address::treasury(&named("collateral"))),
        ("vault_tokens", address::vault_tokens(&named("vault"))),
    ];

    // Then each is of the seeds that are listed
    let listed = list().0;
    for (name, address) in addresses {
        let line = listed.iter();
        let mut line = line.filter_map(|line| line.strip_prefix(&format!("address {name} of ")));
        let seeds = line
            .next()
            .unwrap_or_else(|| panic!("{name} is not listed"));
        assert_eq!(derive(seeds), address, "{name} of {seeds}");
    }
    assert_eq!(listed.len(), addresses.len());

    // And none that the IDL derives is missing
    let idl = idl();
    let items = idl.instructions.iter().flat_map(|i| &i.accounts);
    for item in items {
        if let IdlInstructionAccountItem::Single(account) = item
            && account.pda.is_some()
        {
            let known = addresses.iter().any(|(name, _)| *name == account.name);
            assert!(known, "{}", account.name);
        }
    }
}

//! Layouts, numbers and addresses that must never change once the program is deployed, compared with
//! `tests/frozen.txt`.

use std::{collections::BTreeSet, fs};

use anchor_lang_idl::types::IdlInstructionAccountItem;
use driftshield_sdk::{Address, ID, address};
use driftshield_tests::{idl, world::key};
use solana_signer::Signer;

/// The lines of the list, without comments: first those of addresses, then all others.
fn frozen_lines() -> (Vec<String>, Vec<String>) {
    let file = fs::read_to_string(idl::root().join("tests/frozen.txt")).unwrap();
    let lines = file.lines().map(str::to_owned);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.partition(|line| line.starts_with("address "))
}

#[test]
fn no_listed_layout_or_number_changes_and_all_are_listed() {
    // Given the list, and the same lines from the IDL
    let listed: BTreeSet<_> = frozen_lines().1.into_iter().collect();
    let lines = idl::frozen(&idl::committed().unwrap()).unwrap();
    let present: BTreeSet<_> = lines.iter().cloned().collect();

    // Then no listed line has changed, and new lines are listed as well
    let changed: Vec<_> = listed.difference(&present).collect();
    assert!(changed.is_empty(), "these must never change: {changed:#?}");
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

/// The value of the seeds `id`, `window` and `page`.
const NUMBER: u64 = 7;

/// The value of any other seed: an address that is derived from the seed's name.
fn named(name: &str) -> Address {
    key(name).pubkey()
}

/// The address derived from listed `seeds`: quoted texts, numbers, and names of addresses.
fn derive(seeds: &str) -> Address {
    let seeds: Vec<Vec<u8>> = seeds
        .split(", ")
        .map(|seed| match seed.strip_prefix('"') {
            Some(text) => text.trim_end_matches('"').into(),
            None if ["id", "window", "page"].contains(&seed) => NUMBER.to_le_bytes().into(),
            None => named(seed).to_bytes().into(),
        })
        .collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    anchor_lang::find_program_address(&seeds, &ID).0
}

#[test]
fn no_derived_address_changes_and_all_are_listed() {
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
        ("series", address::series_page(&named("model"), NUMBER)),
        ("vault", address::vault(&named("manager"), NUMBER)),
        // Token accounts and mints, whose seeds are not in the IDL.
        ("bond_vault", address::bond_vault(&named("model"))),
        ("market_vault", address::market_vault(&named("market"))),
        ("share_mint", address::share_mint(&named("vault"))),
        ("treasury", address::treasury(&named("collateral"))),
        ("vault_tokens", address::vault_tokens(&named("vault"))),
    ];

    // Then each is derived from the listed seeds
    let listed = frozen_lines().0;
    for (name, address) in addresses {
        let line = listed.iter();
        let mut line = line.filter_map(|line| line.strip_prefix(&format!("address {name} of ")));
        let seeds = line
            .next()
            .unwrap_or_else(|| panic!("{name} is not listed"));
        assert_eq!(derive(seeds), address, "{name} of {seeds}");
    }
    assert_eq!(listed.len(), addresses.len());

    // And every derived address in the IDL is listed
    let idl = idl::committed().unwrap();
    let items = idl.instructions.iter().flat_map(|i| &i.accounts);
    for item in items {
        if let IdlInstructionAccountItem::Single(account) = item
            && account.pda.is_some()
        {
            let known = addresses.iter().any(|(name, _)| *name == account.name);
            assert!(known, "{} is not listed", account.name);
        }
    }
}

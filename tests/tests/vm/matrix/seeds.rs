//! What the program's addresses are derived from.

use driftshield_sdk::{Account, Address, ID};

use super::{
    idl,
    scene::Scene,
    town::{FIRST, LAST},
};

/// Where the program keeps tokens, mints and shares: PDAs of one of these and whom they serve.
const TAGS: [&[u8]; 6] = [
    b"bonds",
    b"market_vault",
    b"vault_tokens",
    b"shares",
    b"escrow",
    b"treasury",
];

impl Scene {
    /// The seeds of the account at `slot`, if it is a PDA of the program.
    pub fn seeds(&self, slot: usize) -> Option<Vec<Vec<u8>>> {
        let own = self.instruction.accounts[slot].pubkey;
        if let Some(seeds) = idl::of(&self.instruction).seeds(&self.instruction, slot) {
            return Some(seeds);
        }
        if let Some(account) = self.decoded(&own) {
            return Some(seeds_of(&account));
        }
        // What serves one of the others.
        let owners = self.instruction.accounts.iter().map(|meta| meta.pubkey);
        let of_owner = owners
            .clone()
            .flat_map(|owner| TAGS.map(|tag| vec![tag.to_vec(), owner.as_ref().to_vec()]));
        // A receipt that nobody has made.
        let receipts = owners.flat_map(|model| {
            let windows = FIRST..=LAST;
            windows.map(move |window| named(b"receipt", &model, window))
        });
        of_owner.chain(receipts).find(|seeds| {
            let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
            Address::find_program_address(&seeds, &ID).0 == own
        })
    }
}

/// The seeds of an account of the program.
fn seeds_of(account: &Account) -> Vec<Vec<u8>> {
    match account {
        Account::Config(_) => vec![b"config".to_vec()],
        Account::Collateral(at) => seeds_under(b"collateral", &[&at.mint]),
        Account::Model(at) => named(b"model", &at.owner, at.id),
        Account::Seat(at) => seeds_under(b"seat", &[&at.model, &at.oracle]),
        Account::Receipt(at) => named(b"receipt", &at.model, at.window),
        Account::Market(at) => named(b"market", &at.creator, at.id),
        Account::Position(at) => seeds_under(b"position", &[&at.market, &at.owner]),
        Account::Vault(at) => named(b"vault", &at.manager, at.id),
        Account::Exposure(at) => seeds_under(b"exposure", &[&at.vault, &at.model]),
        Account::WithdrawRequest(at) => seeds_under(b"withdraw", &[&at.vault, &at.owner]),
        Account::Policy(at) => {
            let mut seeds = seeds_under(b"policy", &[&at.vault, &at.holder]);
            seeds.push(at.id.to_le_bytes().to_vec());
            seeds
        }
    }
}

fn seeds_under(tag: &[u8], of: &[&Address]) -> Vec<Vec<u8>> {
    let of = of.iter().map(|address| address.as_ref().to_vec());
    std::iter::once(tag.to_vec()).chain(of).collect()
}

fn named(tag: &[u8], owner: &Address, id: u64) -> Vec<Vec<u8>> {
    let mut seeds = seeds_under(tag, &[owner]);
    seeds.push(id.to_le_bytes().to_vec());
    seeds
}

//! Seeds of the program's addresses.

use anchor_lang_idl::types::IdlSeed;
use driftshield_sdk::{Account, Address, ID, Instruction};

use super::scene::Scene;
use crate::committed_idl;

/// First seeds of the token accounts and mints that belong to one other account, whose address is the
/// second seed.
const TAGS: [&[u8]; 5] = [
    b"bonds",
    b"market_vault",
    b"vault_tokens",
    b"shares",
    b"treasury",
];

impl Scene {
    /// The seeds of the account in `slot`; `None` if it is not a PDA of the program.
    pub fn seeds(&self, slot: usize) -> Option<Vec<Vec<u8>>> {
        let own = self.instruction.accounts[slot].pubkey;
        if let Some(seeds) = declared_seeds(&self.instruction, slot) {
            return Some(seeds);
        }
        if let Some(account) = self.decoded(&own) {
            return Some(seeds_of(&account));
        }
        // A token account or mint of one of the instruction's other accounts.
        let owners = self.instruction.accounts.iter().map(|meta| meta.pubkey);
        let of_owner = owners
            .clone()
            .flat_map(|owner| TAGS.map(|tag| vec![tag.to_vec(), owner.as_ref().to_vec()]));
        // The first page of a model's series.
        let pages = owners.map(|model| numbered(b"series", &model, 0));
        of_owner.chain(pages).find(|seeds| {
            let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
            Address::find_program_address(&seeds, &ID).0 == own
        })
    }
}

/// The seeds that the IDL declares for the account in `slot`.
fn declared_seeds(instruction: &Instruction, slot: usize) -> Option<Vec<Vec<u8>>> {
    let definition = committed_idl::definition_of(instruction);
    let pda = committed_idl::accounts(definition)
        .nth(slot)?
        .pda
        .as_ref()?;
    let bytes = |seed: &IdlSeed| match seed {
        IdlSeed::Const(seed) => seed.value.clone(),
        IdlSeed::Account(seed) => {
            let mut accounts = committed_idl::accounts(definition);
            let slot = accounts.position(|account| account.name == seed.path);
            let slot = slot.expect("an account of the instruction");
            instruction.accounts[slot].pubkey.as_ref().to_vec()
        }
        // The only arguments among the seeds are ids and windows: the first eight bytes.
        IdlSeed::Arg(_) => {
            let arguments = &instruction.data[definition.discriminator.len()..];
            arguments[..8].to_vec()
        }
    };
    Some(pda.seeds.iter().map(bytes).collect())
}

/// The seeds of a decoded account of the program, from its own fields.
fn seeds_of(account: &Account) -> Vec<Vec<u8>> {
    match account {
        Account::Config(_) => vec![b"config".to_vec()],
        Account::Collateral(account) => tagged(b"collateral", &[&account.mint]),
        Account::Model(account) => numbered(b"model", &account.owner, account.id),
        Account::Seat(account) => tagged(b"seat", &[&account.model, &account.oracle]),
        Account::Receipt(account) => numbered(b"receipt", &account.model, account.window),
        Account::Series(account) => numbered(b"series", &account.model, account.page),
        Account::Market(account) => numbered(b"market", &account.creator, account.id),
        Account::Position(account) => tagged(b"position", &[&account.market, &account.owner]),
        Account::Vault(account) => numbered(b"vault", &account.manager, account.id),
        Account::Exposure(account) => tagged(b"exposure", &[&account.vault, &account.model]),
        Account::WithdrawRequest(account) => tagged(b"withdraw", &[&account.vault, &account.owner]),
        Account::Policy(account) => {
            let mut seeds = tagged(b"policy", &[&account.vault, &account.holder]);
            seeds.push(account.id.to_le_bytes().to_vec());
            seeds
        }
    }
}

/// Seeds of a tag and addresses.
fn tagged(tag: &[u8], addresses: &[&Address]) -> Vec<Vec<u8>> {
    let addresses = addresses.iter().map(|address| address.as_ref().to_vec());
    std::iter::once(tag.to_vec()).chain(addresses).collect()
}

/// Seeds of a tag, an address and a little-endian number.
fn numbered(tag: &[u8], owner: &Address, number: u64) -> Vec<Vec<u8>> {
    let mut seeds = tagged(tag, &[owner]);
    seeds.push(number.to_le_bytes().to_vec());
    seeds
}

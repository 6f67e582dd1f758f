//! Mutations of a single account slot.

use driftshield_sdk::{AccountMeta, Address, ID, Instruction};
use driftshield_tests::world::key;
use solana_account::Account as SvmAccount;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

use super::Mutation;
use crate::matrix::{fake_programs, kind::Kind, scene::Scene};

impl Scene {
    /// All mutations of one slot.
    pub(super) fn slot_mutations(&self, slot: usize) -> Vec<Mutation> {
        let mut all = self.missing_flags(slot);
        all.extend(self.forged_accounts(slot));
        all.extend(self.empty_accounts(slot));
        all.extend(self.other_addresses_of_seeds(slot));
        all.extend(self.accounts_of_other_slots(slot));
        all.extend(self.genuine_accounts(slot));
        all.extend(self.closed_accounts(slot));
        all
    }

    /// The same account without its signer flag or its writable flag.
    fn missing_flags(&self, slot: usize) -> Vec<Mutation> {
        let meta = &self.instruction.accounts[slot];
        let mut all = vec![];
        if meta.is_signer {
            let unsigned = self.with_meta(slot, |meta| meta.is_signer = false);
            all.push(self.slot_mutation(slot, "unsigned", unsigned));
        }
        if meta.is_writable {
            let readonly = self.with_meta(slot, |meta| meta.is_writable = false);
            all.push(self.slot_mutation(slot, "readonly", readonly));
        }
        all
    }

    /// `copy`: the same data in an account of the attacker's program. `zeroed`: an account of the
    /// original owner and size whose data are all zeros.
    fn forged_accounts(&self, slot: usize) -> Vec<Mutation> {
        let mut all = vec![];
        let Some(original) = self
            .account(slot)
            .filter(|account| !account.data.is_empty())
        else {
            return all;
        };
        let copy = SvmAccount {
            owner: fake_programs::driftshield_copy(),
            executable: false,
            ..original.clone()
        };
        all.push(self.planted(slot, "copy", copy));
        if !original.executable {
            let zeroed = SvmAccount {
                data: vec![0; original.data.len()],
                ..original
            };
            all.push(self.planted(slot, "zeroed", zeroed));
        }
        all
    }

    /// `no-account`: an unused address. `lamports-only`: an account without data. `prefunded`: the
    /// address of the account that the instruction creates, which has received lamports before.
    fn empty_accounts(&self, slot: usize) -> Vec<Mutation> {
        let mut all = vec![
            self.planted(slot, "no-account", SvmAccount::default()),
            self.planted(slot, "lamports-only", lamports_only()),
        ];
        let meta = &self.instruction.accounts[slot];
        if self.account(slot).is_none() && meta.is_writable {
            let mut prefunded = self.slot_mutation(slot, "prefunded", self.instruction.clone());
            prefunded.planted.push((meta.pubkey, lamports_only()));
            all.push(prefunded);
        }
        all
    }

    /// `other-bump`: an address of the same seeds with another bump, which can only hold lamports.
    /// `other-program-pda`: the address of the same seeds under the attacker's program, which can
    /// write any data there.
    fn other_addresses_of_seeds(&self, slot: usize) -> Vec<Mutation> {
        let Some(seeds) = self.seeds(slot) else {
            return vec![];
        };
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        let (canonical, bump) = Address::find_program_address(&seeds, &ID);
        assert_eq!(
            canonical, self.instruction.accounts[slot].pubkey,
            "the seeds of {} derive its address",
            self.slots[slot]
        );
        let with_bump = |bump: u8| {
            let bump = [bump];
            let seeds = [&seeds[..], &[&bump]].concat();
            Address::create_program_address(&seeds, &ID).ok()
        };
        let other = (0..bump).rev().find_map(with_bump);
        let other = other.expect("another bump that derives an address");
        let mut other_bump = self.swapped(slot, "other-bump", other);
        other_bump.planted.push((other, lamports_only()));

        let owner = fake_programs::driftshield_copy();
        let (address, _) = Address::find_program_address(&seeds, &owner);
        let mut other_program = self.swapped(slot, "other-program-pda", address);
        if let Some(original) = self.account(slot) {
            let account = SvmAccount { owner, ..original };
            other_program.planted.push((address, account));
        }
        vec![other_bump, other_program]
    }

    /// `=name`: the account of each other slot.
    fn accounts_of_other_slots(&self, slot: usize) -> Vec<Mutation> {
        let own = self.instruction.accounts[slot].pubkey;
        let others = self.slots.iter().zip(&self.instruction.accounts);
        others
            .filter(|(_, meta)| meta.pubkey != own)
            .filter(|(_, meta)| self.is_signable(slot, &meta.pubkey))
            .map(|(name, meta)| self.swapped(slot, &format!("={name}"), meta.pubkey))
            .collect()
    }

    /// Existing accounts, by their names. Of the same kind: every account of set `a`, and the
    /// counterpart in each other set. Of each other kind: one account.
    fn genuine_accounts(&self, slot: usize) -> Vec<Mutation> {
        let own = self.instruction.accounts[slot].pubkey;
        let kind = Kind::of(&self.fixture.world, &own);
        let role = self.role(&own);
        let mut kinds = vec![kind];
        let mut all = vec![];
        for (name, address) in self.named_accounts.iter().chain(&programs()) {
            let other = Kind::of(&self.fixture.world, address);
            let is_same_kind = other == kind
                && kind != Kind::Missing
                && match name.split_once('.') {
                    Some(("b" | "c", other_role)) => Some(other_role) == role,
                    _ => true,
                };
            let is_used = self
                .instruction
                .accounts
                .iter()
                .any(|meta| meta.pubkey == *address);
            let is_new_kind = !kinds.contains(&other) && other != Kind::Missing;
            if (is_same_kind || is_new_kind) && !is_used && self.is_signable(slot, address) {
                kinds.push(other);
                all.push(self.swapped(slot, name, *address));
            }
        }
        all
    }

    /// `closed`: the account is closed earlier in the transaction. `revived`: after that, it receives
    /// lamports again.
    fn closed_accounts(&self, slot: usize) -> Vec<Mutation> {
        let address = self.instruction.accounts[slot].pubkey;
        let Some(close) = self.close(&address) else {
            return vec![];
        };
        let mut fixture = self.fixture.clone();
        if close == self.instruction || fixture.send(close.clone()).is_err() {
            return vec![];
        }
        if fixture.world.exists(&address) {
            return vec![];
        }
        let mut closed = self.slot_mutation(slot, "closed", self.instruction.clone());
        closed.instructions.insert(0, close.clone());
        let mut revived = self.slot_mutation(slot, "revived", self.instruction.clone());
        let payer = self.fixture.world.payer.pubkey();
        let fund = transfer(&payer, &address, 10_000_000);
        revived.instructions.splice(0..0, [close, fund]);
        vec![closed, revived]
    }

    // Building blocks.

    /// The scene's instruction with a changed account meta.
    fn with_meta(&self, slot: usize, change: impl FnOnce(&mut AccountMeta)) -> Instruction {
        let mut instruction = self.instruction.clone();
        change(&mut instruction.accounts[slot]);
        instruction
    }

    fn slot_mutation(&self, slot: usize, name: &str, instruction: Instruction) -> Mutation {
        Mutation {
            slot: self.slots[slot].clone(),
            ..self.mutation(name, vec![instruction])
        }
    }

    /// Replaces the account of a slot with `address`. The stranger is the attacker and signs wherever
    /// its address is passed.
    fn swapped(&self, slot: usize, name: &str, address: Address) -> Mutation {
        let is_stranger = address == self.fixture.stranger.address();
        let instruction = self.with_meta(slot, |meta| {
            meta.pubkey = address;
            meta.is_signer |= is_stranger;
        });
        self.slot_mutation(slot, name, instruction)
    }

    /// Replaces the account of a slot with `account`, at an address whose key the attacker has.
    fn planted(&self, slot: usize, name: &str, account: SvmAccount) -> Mutation {
        let key = key(&format!("{name} {slot}"));
        let mut mutation = self.swapped(slot, name, key.pubkey());
        mutation.planted.push((key.pubkey(), account));
        mutation.keys.push(key);
        mutation
    }
}

/// Programs that are passed in other slots and in place of each other.
fn programs() -> [(String, Address); 7] {
    [
        ("token-program", anchor_spl::token::ID),
        ("token-2022", anchor_spl::token_2022::ID),
        ("system-program", Address::default()),
        ("driftshield", ID),
        ("token-program-copy", fake_programs::token_program_copy()),
        ("driftshield-copy", fake_programs::driftshield_copy()),
        ("no-op-program", fake_programs::NO_OP_PROGRAM),
    ]
    .map(|(name, address)| (name.to_owned(), address))
}

/// An account of the system program without data.
fn lamports_only() -> SvmAccount {
    SvmAccount {
        lamports: 10_000_000,
        rent_epoch: u64::MAX,
        ..SvmAccount::default()
    }
}

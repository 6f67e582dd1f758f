//! What an attacker does to an instruction, an account slot at a time.

use driftshield_sdk::{AccountMeta, Address, ID, Instruction};
use driftshield_tests::world::key;
use solana_account::Account as SvmAccount;
use solana_keypair::Keypair;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

use super::{kind::Kind, scene::Scene, town::Malice};

/// What is sent in the place of a scene's instruction.
pub struct Mutation {
    /// The account; `*` for the instruction as a whole, a site's letter for a set of its accounts.
    pub slot: String,
    pub name: String,
    /// In a transaction of its own.
    pub ahead: Option<Instruction>,
    pub instructions: Vec<Instruction>,
    /// What the attacker has put on chain ahead of it.
    pub planted: Vec<(Address, SvmAccount)>,
    /// Keys that nobody in town has.
    pub keys: Vec<Keypair>,
    pub least: Least,
}

/// What those who haven't signed have at least where a mutation succeeds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Least {
    /// What the scene's instruction leaves them.
    AsAfter,
    /// What they had before, where that is less: not all is done that the scene's instruction does.
    AsBefore,
    /// It is about others than the scene's instruction: the table says why it succeeds.
    Any,
}

impl Scene {
    pub fn mutations(&self) -> Vec<Mutation> {
        let mut all: Vec<Mutation> = (0..self.slots.len())
            .flat_map(|slot| self.at(slot))
            .collect();
        all.extend(self.again());
        all.extend(self.arguments());
        all.extend(self.remaining());
        all.extend(self.mixed());
        all
    }

    /// Everything that is done to one slot.
    fn at(&self, slot: usize) -> Vec<Mutation> {
        let mut all = self.flags(slot);
        all.extend(self.doubles(slot));
        all.extend(self.blanks(slot));
        all.extend(self.derived(slot));
        all.extend(self.repeated(slot));
        all.extend(self.others(slot));
        all.extend(self.closed(slot));
        all
    }

    // Flags.

    fn flags(&self, slot: usize) -> Vec<Mutation> {
        let meta = &self.instruction.accounts[slot];
        let mut all = vec![];
        if meta.is_signer {
            let unsigned = self.changed(slot, |meta| meta.is_signer = false);
            all.push(self.mutation(slot, "unsigned", unsigned));
        }
        if meta.is_writable {
            let readonly = self.changed(slot, |meta| meta.is_writable = false);
            all.push(self.mutation(slot, "readonly", readonly));
        }
        all
    }

    // The same bytes.

    /// Accounts of the same bytes: one of an attacker's, and one that the program or the token
    /// program owns, but that nobody has filled.
    fn doubles(&self, slot: usize) -> Vec<Mutation> {
        let mut all = vec![];
        let Some(original) = self
            .account(slot)
            .filter(|account| !account.data.is_empty())
        else {
            return all;
        };
        let copy = SvmAccount {
            owner: Malice::driftshield(),
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

    // Nothing.

    /// Addresses with nothing, or with lamports alone.
    fn blanks(&self, slot: usize) -> Vec<Mutation> {
        let mut all = vec![
            self.planted(slot, "nothing", SvmAccount::default()),
            self.planted(slot, "lamports", lamports()),
        ];
        let meta = &self.instruction.accounts[slot];
        if self.account(slot).is_none() && meta.is_writable {
            let mut ahead = self.mutation(slot, "lamports-ahead", self.instruction.clone());
            ahead.planted.push((meta.pubkey, lamports()));
            all.push(ahead);
        }
        all
    }

    // Derived addresses.

    /// The address of the same seeds with another bump, where nobody can put more than lamports,
    /// and of an attacker's program, which can put there what it likes.
    fn derived(&self, slot: usize) -> Vec<Mutation> {
        let Some(seeds) = self.seeds(slot) else {
            return vec![];
        };
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        let (at, bump) = Address::find_program_address(&seeds, &ID);
        assert_eq!(at, self.instruction.accounts[slot].pubkey, "seeds");
        let with = |bump: u8| {
            let bump = [bump];
            let seeds = [&seeds[..], &[&bump]].concat();
            Address::create_program_address(&seeds, &ID).ok()
        };
        let other = (0..bump).rev().find_map(with).expect("a second bump");
        let mut all = vec![self.swapped(slot, "bump", other)];
        all[0].planted.push((other, lamports()));

        let attacker = Malice::driftshield();
        let (double, _) = Address::find_program_address(&seeds, &attacker);
        let mut mutation = self.swapped(slot, "other-program's", double);
        if let Some(original) = self.account(slot) {
            let owner = attacker;
            mutation
                .planted
                .push((double, SvmAccount { owner, ..original }));
        }
        all.push(mutation);
        all
    }

    // Another slot's account.

    /// The key of each other slot.
    fn repeated(&self, slot: usize) -> Vec<Mutation> {
        let own = self.instruction.accounts[slot].pubkey;
        let others = self.slots.iter().zip(&self.instruction.accounts);
        others
            .filter(|(_, meta)| meta.pubkey != own)
            .filter(|(_, meta)| self.can_stand(slot, &meta.pubkey))
            .map(|(name, meta)| self.swapped(slot, &format!("={name}"), meta.pubkey))
            .collect()
    }

    // Another account of the town.

    /// Genuine accounts: of the same kind all those at the scene and the double of each other site,
    /// of every other kind one.
    fn others(&self, slot: usize) -> Vec<Mutation> {
        let own = self.instruction.accounts[slot].pubkey;
        let kind = Kind::of(&self.town.world, &own);
        let role = self.role(&own);
        let mut kinds = vec![kind];
        let mut all = vec![];
        for (name, address) in self.cast.iter().chain(&programs()) {
            let other = Kind::of(&self.town.world, address);
            let is_of_kind = other == kind
                && kind != Kind::Nothing
                && match name.split_once('.') {
                    Some(("b" | "c", theirs)) => Some(theirs) == role,
                    _ => true,
                };
            let is_used = self
                .instruction
                .accounts
                .iter()
                .any(|meta| meta.pubkey == *address);
            let is_new = !kinds.contains(&other) && other != Kind::Nothing;
            if (is_of_kind || is_new) && !is_used && self.can_stand(slot, address) {
                kinds.push(other);
                all.push(self.swapped(slot, name, *address));
            }
        }
        all
    }

    // Closed.

    /// The account is closed just before, and, in a second variant, gets lamports again.
    fn closed(&self, slot: usize) -> Vec<Mutation> {
        let address = self.instruction.accounts[slot].pubkey;
        let Some(close) = self.close(&address) else {
            return vec![];
        };
        let mut town = self.town.clone();
        if close == self.instruction || town.send(close.clone()).is_err() {
            return vec![];
        }
        if town.world.exists(&address) {
            return vec![];
        }
        let mut closed = self.mutation(slot, "closed", self.instruction.clone());
        closed.instructions.insert(0, close.clone());
        let mut revived = self.mutation(slot, "revived", self.instruction.clone());
        let payer = self.town.world.payer.pubkey();
        let send = transfer(&payer, &address, 10_000_000);
        revived.instructions.splice(0..0, [close, send]);
        vec![closed, revived]
    }

    // Parts.

    fn changed(&self, slot: usize, change: impl FnOnce(&mut AccountMeta)) -> Instruction {
        let mut instruction = self.instruction.clone();
        change(&mut instruction.accounts[slot]);
        instruction
    }

    fn mutation(&self, slot: usize, name: &str, instruction: Instruction) -> Mutation {
        Mutation {
            slot: self.slots[slot].clone(),
            ..self.of_the_whole(name, vec![instruction])
        }
    }

    pub fn of_the_whole(&self, name: &str, instructions: Vec<Instruction>) -> Mutation {
        Mutation {
            slot: "*".into(),
            name: name.into(),
            ahead: None,
            instructions,
            planted: vec![],
            keys: vec![],
            least: Least::AsAfter,
        }
    }

    /// `address` in the place of the account. The stranger, an attacker, signs wherever that could help.
    fn swapped(&self, slot: usize, name: &str, address: Address) -> Mutation {
        let stranger = address == self.town.stranger.address();
        let instruction = self.changed(slot, |meta| {
            meta.pubkey = address;
            meta.is_signer |= stranger;
        });
        self.mutation(slot, name, instruction)
    }

    /// `account` at an address of an attacker's choice.
    fn planted(&self, slot: usize, name: &str, account: SvmAccount) -> Mutation {
        let key = key(&format!("{name} {slot}"));
        let mut mutation = self.swapped(slot, name, key.pubkey());
        mutation.planted.push((key.pubkey(), account));
        mutation.keys.push(key);
        mutation
    }
}

/// Programs that could stand in a program's place.
fn programs() -> [(String, Address); 7] {
    [
        ("token-program", anchor_spl::token::ID),
        ("token-2022", anchor_spl::token_2022::ID),
        ("system-program", Address::default()),
        ("driftshield", ID),
        ("token-program's-double", Malice::token_program()),
        ("driftshield's-double", Malice::driftshield()),
        ("no-op-program", Malice::NOTHING),
    ]
    .map(|(name, address)| (name.to_owned(), address))
}

fn lamports() -> SvmAccount {
    SvmAccount {
        lamports: 10_000_000,
        rent_epoch: u64::MAX,
        ..SvmAccount::default()
    }
}

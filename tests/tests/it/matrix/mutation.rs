//! What an attacker does to an instruction, an account slot at a time.

use std::collections::HashMap;

use driftshield_sdk::{Account, AccountMeta, Address, ID, Instruction, instruction};
use driftshield_tests::world::key;
use solana_account::Account as SvmAccount;
use solana_keypair::Keypair;
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

use super::{
    idl,
    kind::Kind,
    town::{FIRST, LAST, Malice, Town},
};

/// A scene: a town in which `instruction` succeeds, and who is in it.
pub struct Scene {
    pub town: Town,
    pub instruction: Instruction,
    pub slots: Vec<String>,
    cast: Vec<(String, Address)>,
    keys: HashMap<Address, Keypair>,
}

/// What is sent in the place of a scene's instruction.
pub struct Mutation {
    /// The account, or `*` for the instruction as a whole.
    pub slot: String,
    pub name: String,
    /// In a transaction of its own.
    pub ahead: Option<Instruction>,
    pub instructions: Vec<Instruction>,
    /// What the attacker has put on chain ahead of it.
    pub planted: Vec<(Address, SvmAccount)>,
    /// Keys that nobody in town has.
    pub keys: Vec<Keypair>,
    /// Whether it asks for less than the scene's instruction: who gains by that may have to wait.
    pub asks_less: bool,
}

impl Scene {
    pub fn new(town: Town, instruction: Instruction) -> Self {
        let idl = idl::of(&instruction);
        for (expected, meta) in idl.accounts.iter().zip(&instruction.accounts) {
            let same = expected.writable == meta.is_writable && expected.signer <= meta.is_signer;
            assert!(same, "{} is not as the IDL says", expected.name);
        }
        Self {
            slots: idl.slots(&instruction),
            cast: town.cast(),
            keys: town.keys(),
            town,
            instruction,
        }
    }

    pub fn mutations(&self) -> Vec<Mutation> {
        let mut all: Vec<Mutation> = (0..self.slots.len())
            .flat_map(|slot| self.at(slot))
            .collect();
        all.extend(self.again());
        all.extend(self.remaining());
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

    pub fn keys<'a>(&'a self, mutation: &'a Mutation) -> Vec<&'a Keypair> {
        let mut signers: Vec<&Keypair> = vec![];
        let accounts = mutation.instructions.iter().flat_map(|of| &of.accounts);
        for account in accounts.filter(|account| account.is_signer) {
            let own = mutation.keys.iter();
            let mut keys = own.chain(self.keys.values());
            let key = keys.find(|key| key.pubkey() == account.pubkey);
            // Who pays the fees signs anyway.
            if let Some(key) = key.filter(|key| !signers.contains(key)) {
                signers.push(key);
            }
        }
        signers
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

    /// The seeds of the account at `slot`, if it is a PDA of the program.
    fn seeds(&self, slot: usize) -> Option<Vec<Vec<u8>>> {
        let own = self.instruction.accounts[slot].pubkey;
        if let Some(seeds) = idl::of(&self.instruction).seeds(&self.instruction, slot) {
            return Some(seeds);
        }
        if let Some(account) = self.decoded(&own) {
            return Some(seeds_of(&account));
        }
        // A token account or mint that serves one of the others.
        let tags: [&[u8]; 6] = [
            b"bonds",
            b"market_vault",
            b"vault_tokens",
            b"shares",
            b"escrow",
            b"treasury",
        ];
        let owners = self.instruction.accounts.iter().map(|meta| meta.pubkey);
        let of_owner = owners
            .clone()
            .flat_map(|owner| tags.map(|tag| vec![tag.to_vec(), owner.as_ref().to_vec()]));
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
                && match name.split_once('.') {
                    Some(("b" | "c", theirs)) => Some(theirs) == role,
                    _ => true,
                };
            let is_used = self
                .instruction
                .accounts
                .iter()
                .any(|meta| meta.pubkey == *address);
            let is_new = !kinds.contains(&other);
            if (is_of_kind || is_new) && !is_used && self.can_stand(slot, address) {
                kinds.push(other);
                all.push(self.swapped(slot, name, *address));
            }
        }
        all
    }

    /// What the account at `address` is to its site.
    fn role(&self, address: &Address) -> Option<&str> {
        let (name, _) = self.cast.iter().find(|(_, other)| other == address)?;
        name.split_once('.').map(|(_, role)| role)
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

    /// What closes the account at `address`, signed by whoever has to.
    fn close(&self, address: &Address) -> Option<Instruction> {
        let world = &self.town.world;
        Some(match self.decoded(address)? {
            Account::Position(position) => {
                let market = world.market(&position.market);
                instruction::claim(position.owner, position.market, &market)
            }
            Account::Market(market) if market.is_settled() => {
                instruction::close_market(*address, &market)
            }
            Account::Market(market) => instruction::cancel_market(*address, &market, true),
            Account::Seat(seat) => instruction::close_seat(seat.oracle, seat.model),
            Account::Receipt(receipt) => instruction::close_receipt(&receipt),
            Account::Vault(vault) => instruction::close_vault(*address, &vault, true),
            Account::Exposure(exposure) => {
                let vault = world.vault(&exposure.vault);
                instruction::close_exposure(exposure.vault, &vault, exposure.model)
            }
            Account::WithdrawRequest(request) => {
                let vault = world.vault(&request.vault);
                instruction::cancel_withdraw(request.owner, request.vault, &vault)
            }
            Account::Policy(policy) => {
                instruction::cancel_policy(&policy, &world.vault(&policy.vault))
            }
            Account::Config(_) | Account::Collateral(_) | Account::Model(_) => return None,
        })
    }

    // The instruction as a whole.

    /// Again in the same transaction, there also with lamports for what the first time closed, and
    /// again in a later one: the chain itself takes the same signatures but once.
    fn again(&self) -> Vec<Mutation> {
        let own = &self.instruction;
        let payer = self.town.world.payer.pubkey();
        let written = own.accounts.iter().filter(|meta| meta.is_writable);
        let lamports = written
            .filter(|meta| Kind::of(&self.town.world, &meta.pubkey).is_ours())
            .map(|meta| transfer(&payer, &meta.pubkey, 10_000_000));
        let mut between = vec![own.clone()];
        between.extend(lamports);
        between.push(own.clone());

        let mut later = self.of_the_whole("later", vec![own.clone()]);
        later.ahead = Some(own.clone());
        vec![
            self.of_the_whole("twice", vec![own.clone(), own.clone()]),
            self.of_the_whole("twice-with-lamports", between),
            later,
        ]
    }

    /// More accounts than were asked for and, where any number may come, other ones.
    fn remaining(&self) -> Vec<Mutation> {
        let declared = idl::of(&self.instruction).accounts.len();
        let with = |name: &str, change: &dyn Fn(&mut Vec<AccountMeta>)| {
            let mut instruction = self.instruction.clone();
            let mut remaining = instruction.accounts.split_off(declared);
            change(&mut remaining);
            instruction.accounts.extend(remaining);
            self.of_the_whole(name, vec![instruction])
        };
        let stranger = AccountMeta::new(self.town.stranger.address(), true);
        let written = self
            .instruction
            .accounts
            .iter()
            .find(|meta| meta.is_writable);
        let written = written.expect("an instruction that writes").clone();
        let mut all = vec![
            with("extra", &|remaining| remaining.push(stranger.clone())),
            with("extra-own", &|remaining| remaining.push(written.clone())),
        ];
        if declared < self.instruction.accounts.len() {
            all.push(with("reversed", &|remaining| remaining.reverse()));
            all.push(with("first-twice", &|remaining| {
                remaining.insert(0, remaining[0].clone());
            }));
            all.push(with("last-twice", &|remaining| {
                remaining.extend(remaining.last().cloned());
            }));
            all.push(with("none", &Vec::clear));
            let less = with("one-less", &|remaining| {
                remaining.truncate(remaining.len() - 1)
            });
            all.push(Mutation {
                asks_less: true,
                ..less
            });
        }
        all
    }

    // Parts.

    fn account(&self, slot: usize) -> Option<SvmAccount> {
        let address = self.instruction.accounts[slot].pubkey;
        let account = self.town.world.svm.get_account(&address);
        account.filter(|account| 0 < account.lamports)
    }

    fn decoded(&self, address: &Address) -> Option<Account> {
        let account = self.town.world.svm.get_account(address)?;
        let is_ours = account.owner == ID;
        is_ours.then(|| Account::decode(&account.data).expect("an account of the program"))
    }

    /// Where the slot signs, only what has a key can stand in it.
    fn can_stand(&self, slot: usize, address: &Address) -> bool {
        !self.instruction.accounts[slot].is_signer || self.keys.contains_key(address)
    }

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

    fn of_the_whole(&self, name: &str, instructions: Vec<Instruction>) -> Mutation {
        Mutation {
            slot: "*".into(),
            name: name.into(),
            ahead: None,
            instructions,
            planted: vec![],
            keys: vec![],
            asks_less: false,
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

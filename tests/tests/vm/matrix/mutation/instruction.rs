//! Mutations of an instruction as a whole.

use driftshield_sdk::{AccountMeta, Address};
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

use super::{BalanceFloor, Mutation};
use crate::{
    committed_idl,
    matrix::{kind::Kind, scene::Scene},
};

impl Scene {
    pub(super) fn instruction_mutations(&self) -> Vec<Mutation> {
        let mut all = self.repetitions();
        all.extend(self.wrong_data_lengths());
        all.extend(self.other_remaining_accounts());
        all.extend(self.accounts_of_other_sets());
        all
    }

    /// `twice`: the instruction twice in one transaction. `twice-with-lamports`: between the two, each
    /// DriftShield account that the instruction writes receives lamports. `twice-in-two-transactions`:
    /// the instruction again in a second transaction. The second transaction uses a new blockhash,
    /// because the runtime rejects a repeated signature.
    fn repetitions(&self) -> Vec<Mutation> {
        let original = &self.instruction;
        let payer = self.fixture.world.payer.pubkey();
        let written = original.accounts.iter().filter(|meta| meta.is_writable);
        let lamports = written
            .filter(|meta| Kind::of(&self.fixture.world, &meta.pubkey).is_driftshield())
            .map(|meta| transfer(&payer, &meta.pubkey, 10_000_000));
        let mut with_lamports = vec![original.clone()];
        with_lamports.extend(lamports);
        with_lamports.push(original.clone());

        let mut again = self.mutation("twice-in-two-transactions", vec![original.clone()]);
        again.preceding = Some(original.clone());
        vec![
            self.mutation("twice", vec![original.clone(), original.clone()]),
            self.mutation("twice-with-lamports", with_lamports),
            again,
        ]
    }

    /// `short-data`: the last byte of the instruction data is missing. `long-data`: a zero byte is
    /// appended.
    fn wrong_data_lengths(&self) -> Vec<Mutation> {
        let original = &self.instruction;
        let (mut short, mut long) = (original.clone(), original.clone());
        short.data.pop();
        long.data.push(0);
        vec![
            self.mutation("short-data", vec![short]),
            self.mutation("long-data", vec![long]),
        ]
    }

    /// `extra-stranger` appends the stranger as a signer. `extra-duplicate` appends the first account
    /// that the instruction writes. The other mutations apply only to instructions with remaining
    /// accounts: they reorder, repeat or remove these accounts.
    fn other_remaining_accounts(&self) -> Vec<Mutation> {
        let definition = committed_idl::definition_of(&self.instruction);
        let declared = definition.accounts.len();
        let with_remaining = |name: &str, change: &dyn Fn(&mut Vec<AccountMeta>)| {
            let mut instruction = self.instruction.clone();
            let mut remaining = instruction.accounts.split_off(declared);
            change(&mut remaining);
            instruction.accounts.extend(remaining);
            self.mutation(name, vec![instruction])
        };
        let stranger = AccountMeta::new(self.fixture.stranger.address(), true);
        let mut metas = self.instruction.accounts.iter();
        let written = metas.find(|meta| meta.is_writable);
        let written = written
            .expect("every instruction writes an account")
            .clone();
        let mut all = vec![
            with_remaining("extra-stranger", &|remaining| {
                remaining.push(stranger.clone());
            }),
            with_remaining("extra-duplicate", &|remaining| {
                remaining.push(written.clone());
            }),
        ];
        if declared < self.instruction.accounts.len() {
            all.push(with_remaining("remaining-reversed", &|remaining| {
                remaining.reverse();
            }));
            all.push(with_remaining("first-remaining-twice", &|remaining| {
                remaining.insert(0, remaining[0].clone());
            }));
            all.push(with_remaining("last-remaining-twice", &|remaining| {
                remaining.extend(remaining.last().cloned());
            }));
            all.push(with_remaining("no-remaining", &Vec::clear));
            let missing = with_remaining("last-remaining-missing", &|remaining| {
                remaining.truncate(remaining.len() - 1);
            });
            all.push(Mutation {
                floor: BalanceFloor::BeforeOrAfter,
                ..missing
            });
        }
        all
    }

    /// Every combination of two or more accounts that are replaced with their counterparts in another
    /// account set. The name of the mutation joins the names of the slots with `+`.
    fn accounts_of_other_sets(&self) -> Vec<Mutation> {
        let mut all = vec![];
        for set in ["b", "c"] {
            let counterparts = self.counterparts(set);
            for combination in 0..1u32 << counterparts.len() {
                if combination.count_ones() < 2 {
                    continue; // single slots have mutations of their own
                }
                let mut instruction = self.instruction.clone();
                let mut names = vec![];
                for (bit, &(slot, address)) in counterparts.iter().enumerate() {
                    if combination & 1 << bit != 0 {
                        instruction.accounts[slot].pubkey = address;
                        names.push(self.slots[slot].as_str());
                    }
                }
                all.push(Mutation {
                    slot: set.into(),
                    floor: BalanceFloor::Unchecked,
                    ..self.mutation(&names.join("+"), vec![instruction])
                });
            }
        }
        all
    }

    /// The slots whose accounts have a counterpart of the same role in account set `set`.
    fn counterparts(&self, set: &str) -> Vec<(usize, Address)> {
        let accounts = self.instruction.accounts.iter().enumerate();
        let counterpart = |(slot, meta): (usize, &AccountMeta)| {
            let name = format!("{set}.{}", self.role(&meta.pubkey)?);
            let mut named = self.named_accounts.iter();
            let (_, address) = named.find(|(other, _)| *other == name)?;
            Some((slot, *address))
        };
        accounts.filter_map(counterpart).collect()
    }
}

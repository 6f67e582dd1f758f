//! What an attacker does to an instruction as a whole.

use driftshield_sdk::{AccountMeta, Address};
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

use super::{
    idl,
    kind::Kind,
    mutation::{Least, Mutation},
    scene::Scene,
};

impl Scene {
    /// Again in the same transaction, there also with lamports for what the first time closed, and
    /// again in a later one: the chain itself takes the same signatures but once.
    pub fn again(&self) -> Vec<Mutation> {
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

    /// A byte of the arguments too few, and one too many.
    pub fn arguments(&self) -> Vec<Mutation> {
        let own = &self.instruction;
        let (mut short, mut long) = (own.clone(), own.clone());
        short.data.pop();
        long.data.push(0);
        vec![
            self.of_the_whole("short-data", vec![short]),
            self.of_the_whole("long-data", vec![long]),
        ]
    }

    /// More accounts than were asked for and, where any number may come, other ones.
    pub fn remaining(&self) -> Vec<Mutation> {
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
                least: Least::AsBefore,
                ..less
            });
        }
        all
    }

    /// Sets of two and more accounts of another site, each in the place of its double.
    pub fn mixed(&self) -> Vec<Mutation> {
        let mut all = vec![];
        for site in ["b", "c"] {
            let doubles = self.doubles_at(site);
            for set in 0..1u32 << doubles.len() {
                if set.count_ones() < 2 {
                    continue; // done to each slot
                }
                let mut instruction = self.instruction.clone();
                let mut names = vec![];
                for (bit, &(slot, address)) in doubles.iter().enumerate() {
                    if set & 1 << bit != 0 {
                        instruction.accounts[slot].pubkey = address;
                        names.push(self.slots[slot].as_str());
                    }
                }
                all.push(Mutation {
                    slot: site.into(),
                    least: Least::Any,
                    ..self.of_the_whole(&names.join("+"), vec![instruction])
                });
            }
        }
        all
    }

    /// The slots whose accounts have a double at `site`, and the doubles.
    fn doubles_at(&self, site: &str) -> Vec<(usize, Address)> {
        let accounts = self.instruction.accounts.iter().enumerate();
        let double = |(slot, meta): (usize, &AccountMeta)| {
            let name = format!("{site}.{}", self.role(&meta.pubkey)?);
            let (_, address) = self.cast.iter().find(|(other, _)| *other == name)?;
            Some((slot, *address))
        };
        accounts.filter_map(double).collect()
    }
}

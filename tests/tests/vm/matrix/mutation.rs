//! Mutations: what an attacker sends instead of a scene's instruction.

mod instruction;
mod slot;

use driftshield_sdk::{Address, Instruction};
use solana_account::Account as SvmAccount;
use solana_keypair::Keypair;
use solana_signer::Signer;

use super::{fixture, scene::Scene};

pub struct Mutation {
    /// First column of the table: the name of the changed account slot, `*` for a change of the
    /// instruction as a whole, or the letter of the account set that fills several account slots.
    pub slot: String,
    /// Second column of the table.
    pub name: String,
    /// An instruction that is sent before, in a transaction of its own.
    pub preceding: Option<Instruction>,
    /// The instructions of the mutated transaction.
    pub instructions: Vec<Instruction>,
    /// Accounts that the attacker has placed on chain before.
    pub planted: Vec<(Address, SvmAccount)>,
    /// Keys of planted accounts, which the fixture does not know.
    pub keys: Vec<Keypair>,
    pub floor: BalanceFloor,
}

/// The least that everybody who has not signed a successful mutation must have after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum BalanceFloor {
    /// Their balances after the scene's instruction. Those who sign the scene's instruction, but not the
    /// mutation, may have the lower of before and after.
    After,
    /// The lower of their balances before and after the scene's instruction, because the mutation does
    /// only a part of the instruction's work.
    BeforeOrAfter,
    /// No floor: the mutation acts on other accounts than the scene's instruction. The reason in the
    /// table explains why it may succeed.
    Unchecked,
}

impl Mutation {
    /// The keys of the mutation's signers but the fee payer, each once.
    pub fn signers<'a>(&'a self, scene: &'a Scene) -> Vec<&'a Keypair> {
        fixture::signers(&self.instructions, |address| {
            let planted = self.keys.iter().find(|key| key.pubkey() == *address);
            planted.or_else(|| scene.key(address))
        })
    }
}

impl Scene {
    pub fn mutations(&self) -> Vec<Mutation> {
        let mut all: Vec<Mutation> = (0..self.slots.len())
            .flat_map(|slot| self.slot_mutations(slot))
            .collect();
        all.extend(self.instruction_mutations());
        all
    }

    /// A mutation of the instruction as a whole.
    fn mutation(&self, name: &str, instructions: Vec<Instruction>) -> Mutation {
        Mutation {
            slot: "*".into(),
            name: name.into(),
            preceding: None,
            instructions,
            planted: vec![],
            keys: vec![],
            floor: BalanceFloor::After,
        }
    }
}

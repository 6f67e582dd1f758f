//! What the IDL says of an instruction's accounts.

use std::sync::LazyLock;

use driftshield_sdk::{Address, Instruction};
use serde::Deserialize;

#[derive(Deserialize)]
struct Idl {
    instructions: Vec<IdlInstruction>,
}

#[derive(Deserialize)]
pub struct IdlInstruction {
    pub name: String,
    discriminator: Vec<u8>,
    pub accounts: Vec<IdlAccount>,
}

#[derive(Deserialize)]
pub struct IdlAccount {
    pub name: String,
    #[serde(default)]
    pub signer: bool,
    #[serde(default)]
    pub writable: bool,
    pda: Option<Pda>,
}

#[derive(Deserialize)]
struct Pda {
    seeds: Vec<Seed>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Seed {
    Const { value: Vec<u8> },
    Account { path: String },
    Arg,
}

static IDL: LazyLock<Idl> = LazyLock::new(|| {
    let idl = include_str!("../../../../idl/driftshield.json");
    serde_json::from_str(idl).expect("the committed IDL is JSON")
});

pub fn instructions() -> &'static [IdlInstruction] {
    &IDL.instructions
}

/// What `instruction` calls.
pub fn of(instruction: &Instruction) -> &'static IdlInstruction {
    let mut all = IDL.instructions.iter();
    let found = all.find(|idl| instruction.data.starts_with(&idl.discriminator));
    found.expect("an instruction of the IDL")
}

impl IdlInstruction {
    /// The names of the accounts of `instruction`: the remaining ones are numbered.
    pub fn slots(&self, instruction: &Instruction) -> Vec<String> {
        let declared = self.accounts.iter().map(|account| account.name.clone());
        let remaining = instruction.accounts.len() - self.accounts.len();
        declared
            .chain((0..remaining).map(|index| format!("remaining{index}")))
            .collect()
    }

    /// The seeds that the IDL gives of the account at `slot`.
    pub fn seeds(&self, instruction: &Instruction, slot: usize) -> Option<Vec<Vec<u8>>> {
        let pda = self.accounts.get(slot)?.pda.as_ref()?;
        let bytes = |seed: &Seed| match seed {
            Seed::Const { value } => value.clone(),
            Seed::Account { path } => self.account(instruction, path).as_ref().to_vec(),
            // The only ones are an id or a window, and come first.
            Seed::Arg => {
                let args = &instruction.data[self.discriminator.len()..];
                args[..8].to_vec()
            }
        };
        Some(pda.seeds.iter().map(bytes).collect())
    }

    fn account(&self, instruction: &Instruction, name: &str) -> Address {
        let mut names = self.accounts.iter();
        let slot = names.position(|account| account.name == name);
        instruction.accounts[slot.expect("an account of the instruction")].pubkey
    }
}

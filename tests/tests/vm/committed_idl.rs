//! The committed IDL (`idl/driftshield.json`), for tests that have to cover every instruction.

use std::sync::LazyLock;

use anchor_lang_idl::types::{
    Idl, IdlInstruction, IdlInstructionAccount, IdlInstructionAccountItem,
};
use driftshield_sdk::Instruction;
use driftshield_tests::idl;

static IDL: LazyLock<Idl> = LazyLock::new(|| idl::committed().expect("the committed IDL"));

/// All instructions of the program.
pub fn instructions() -> &'static [IdlInstruction] {
    &IDL.instructions
}

/// The definition of the instruction that `instruction` calls, found by its discriminator.
pub fn definition_of(instruction: &Instruction) -> &'static IdlInstruction {
    let mut all = IDL.instructions.iter();
    let found = all.find(|definition| instruction.data.starts_with(&definition.discriminator));
    found.expect("an instruction of the IDL")
}

/// The accounts that an instruction declares, in order. Panics at a nested group of accounts: the
/// program has none.
pub fn accounts(instruction: &IdlInstruction) -> impl Iterator<Item = &IdlInstructionAccount> {
    instruction.accounts.iter().map(|item| match item {
        IdlInstructionAccountItem::Single(account) => account,
        IdlInstructionAccountItem::Composite(_) => panic!("{}: nested accounts", instruction.name),
    })
}

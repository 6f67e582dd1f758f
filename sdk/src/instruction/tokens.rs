//! Instructions of the token programs.

use anchor_lang::{
    Address,
    solana_program::instruction::{AccountMeta, Instruction},
};
use driftshield::{TokenProgram, Vault};
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use spl_token_interface::instruction::TokenInstruction;

use crate::address;

/// Creates `owner`'s associated token account for `mint` if it is missing. `payer` pays the
/// account's rent.
pub fn create_token_account(
    payer: &Address,
    owner: &Address,
    mint: &Address,
    program: TokenProgram,
) -> Instruction {
    create_associated_token_account_idempotent(payer, owner, mint, &program.id())
}

/// Creates `owner`'s associated token account for a vault's shares if it is missing. `payer` pays
/// the account's rent.
pub fn create_share_account(payer: &Address, owner: &Address, state: &Vault) -> Instruction {
    create_token_account(payer, owner, &state.share_mint, TokenProgram::SplToken)
}

/// Approves `amount` base units of `owner`'s associated token account for the premiums of renewals
/// of the owner's policies. A token account has one delegate: this approval replaces any earlier
/// one.
pub fn approve_renewals(
    owner: &Address,
    mint: &Address,
    program: TokenProgram,
    amount: u64,
) -> Instruction {
    let accounts = vec![
        AccountMeta::new(address::token_account(owner, mint, program), false),
        AccountMeta::new_readonly(address::renewal_authority(owner), false),
        AccountMeta::new_readonly(*owner, true),
    ];
    token_instruction(program, accounts, TokenInstruction::Approve { amount })
}

/// Revokes the approval of any delegate of `owner`'s associated token account.
pub fn revoke_renewals(owner: &Address, mint: &Address, program: TokenProgram) -> Instruction {
    let accounts = vec![
        AccountMeta::new(address::token_account(owner, mint, program), false),
        AccountMeta::new_readonly(*owner, true),
    ];
    token_instruction(program, accounts, TokenInstruction::Revoke)
}

/// An instruction of either token program. The builders of `spl-token-interface` accept SPL Token
/// only, but Token-2022 shares its encoding.
fn token_instruction(
    program: TokenProgram,
    accounts: Vec<AccountMeta>,
    instruction: TokenInstruction,
) -> Instruction {
    Instruction {
        program_id: program.id(),
        accounts,
        data: instruction.pack(),
    }
}

/// Address of the token program that is stored in an account's `token_program`.
pub(super) fn token_program_id(program: impl Into<TokenProgram>) -> Address {
    program.into().id()
}

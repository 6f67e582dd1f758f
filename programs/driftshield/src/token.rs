//! Calls of the token program, and where payouts may go.

use anchor_lang::{
    pinocchio::instruction::InstructionAccount, prelude::*, unchecked_invoke_signed_fixed,
};
use anchor_spl::token_interface::{Mint, TokenAccount, TokenInterface};

use crate::DriftShieldError;

/// `TransferChecked` of either token program.
const TRANSFER_CHECKED: u8 = 12;
/// `CloseAccount` of either token program.
const CLOSE_ACCOUNT: u8 = 9;
/// Where a token account of either token program holds its owner.
const TOKEN_ACCOUNT_OWNER: core::ops::Range<usize> = 32..64;

/// Moves `amount` base units. `seeds` sign for an authority that is the program's own.
pub fn transfer(
    program: &Interface<TokenInterface>,
    from: &mut InterfaceAccount<TokenAccount>,
    mint: &InterfaceAccount<Mint>,
    to: &mut impl AnchorAccount,
    authority: &impl AnchorAccount,
    seeds: &[&[u8]],
    amount: u64,
) {
    let mut data = [0; 10];
    data[0] = TRANSFER_CHECKED;
    data[1..9].copy_from_slice(&amount.to_le_bytes());
    data[9] = mint.decimals();
    let handles = [
        from.cpi_handle_mut().into(),
        mint.cpi_handle(),
        to.cpi_handle_mut().into(),
        authority.cpi_handle(),
    ];
    transfer_checked(program.address(), &data, &handles, seeds);
}

/// Built in place: the allocating helper of `anchor-spl` costs several thousand units more.
/// One copy for all transfers keeps the binary small.
#[inline(never)]
fn transfer_checked(program: &Address, data: &[u8; 10], handles: &[CpiHandle; 4], seeds: &[&[u8]]) {
    let accounts = [
        InstructionAccount::writable(handles[0].address()),
        InstructionAccount::readonly(handles[1].address()),
        InstructionAccount::writable(handles[2].address()),
        InstructionAccount::readonly_signer(handles[3].address()),
    ];
    let signers = [seeds];
    let signers = if seeds.is_empty() { &[][..] } else { &signers };
    unchecked_invoke_signed_fixed(program, data, &accounts, handles, signers);
}

/// Closes an empty token account of the program's, its rent to `rent_payer`.
pub fn close(
    program: &Interface<TokenInterface>,
    account: &mut InterfaceAccount<TokenAccount>,
    rent_payer: &mut UncheckedAccount,
    authority: &impl AnchorAccount,
    seeds: &[&[u8]],
) {
    let handles = [
        account.cpi_handle_mut().into(),
        rent_payer.cpi_handle_mut().into(),
        authority.cpi_handle(),
    ];
    let accounts = [
        InstructionAccount::writable(handles[0].address()),
        InstructionAccount::writable(handles[1].address()),
        InstructionAccount::readonly_signer(handles[2].address()),
    ];
    unchecked_invoke_signed_fixed(
        program.address(),
        &[CLOSE_ACCOUNT],
        &accounts,
        &handles,
        &[seeds],
    );
}

/// A payout goes to the payee's associated token account, while that is the payee's, or wherever
/// the payee says by signing. That it is a token account of the mint, the token program checks
/// when it pays.
pub fn require_destination(
    payee: &UncheckedAccount,
    destination: &UncheckedAccount,
    program: &Interface<TokenInterface>,
    mint: &InterfaceAccount<Mint>,
) -> Result<()> {
    if payee.account().is_signer() {
        return Ok(());
    }
    let seeds = [
        payee.address().as_ref(),
        program.address().as_ref(),
        mint.address().as_ref(),
    ];
    anchor_lang::find_and_verify_program_address(
        &seeds,
        &anchor_spl::associated_token::ID,
        destination.address(),
    )
    .map_err(|_| DriftShieldError::WrongDestination)?;
    // A wallet can give its associated token account away.
    let data = destination.account().try_borrow()?;
    let owner = data.get(TOKEN_ACCOUNT_OWNER);
    require!(
        owner == Some(payee.address().as_ref()),
        DriftShieldError::WrongDestination
    );
    Ok(())
}

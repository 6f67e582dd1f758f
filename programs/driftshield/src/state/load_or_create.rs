//! Creation of accounts by the first instruction that uses them.
//!
//! One function for all accounts, instead of Anchor's `init_if_needed` at each account, keeps the
//! binary small. An account that exists needs no search for its address, which costs 1,500 compute
//! units a step: the program creates accounts at their own addresses only, so the fields of an
//! account identify it.

use anchor_lang::{accounts::SlabSchema, bytemuck::Pod, prelude::*, Discriminator};

use crate::{Account, DriftShieldError};

/// Loads `account` if it exists, and otherwise creates it at the program's address of `seeds`,
/// filled with zeros, at `payer`'s expense. Returns the bump of a new account. Refuses, with
/// `wrong`, an account that has another address, or whose fields `are_expected` rejects.
pub fn load_or_create<T: Pod + SlabSchema + Discriminator>(
    payer: &AccountView,
    account: &UncheckedAccount,
    seeds: [&[u8]; 3],
    are_expected: impl FnOnce(&T) -> bool,
    wrong: DriftShieldError,
) -> Result<(Account<T>, Option<u8>)> {
    let view = *account.account();
    let bump = if view.owned_by(&System::id()) {
        let bump = find_bump(&seeds, view.address()).ok_or(wrong)?;
        create(payer, view, seeds, bump, T::DISCRIMINATOR, size_of::<T>())?;
        Some(bump)
    } else {
        None
    };
    // SAFETY: the field is an unchecked account, and no account is passed twice, so no other
    // reference to its data exists.
    let account = unsafe { Account::<T>::load_mut(view) }.map_err(|_| wrong)?;
    if bump.is_none() && !are_expected(&account) {
        return Err(wrong.into());
    }
    Ok((account, bump))
}

/// Returns the bump of the program's address of `seeds`, if that is `address`.
#[inline(never)] // one copy keeps the binary small
fn find_bump(seeds: &[&[u8]], address: &Address) -> Option<u8> {
    anchor_lang::find_and_verify_program_address(seeds, &crate::ID, address).ok()
}

#[inline(never)]
fn create(
    payer: &AccountView,
    mut account: AccountView,
    [kind, one, other]: [&[u8]; 3],
    bump: u8,
    discriminator: &[u8],
    bytes: usize,
) -> Result<()> {
    let space = discriminator.len() + bytes;
    let bump = [bump];
    let seeds: &[&[u8]] = &[kind, one, other, &bump];
    anchor_lang::create_account_with_signers(
        payer,
        &account,
        space,
        &crate::ID,
        Some(seeds),
        None,
    )?;
    account.try_borrow_mut()?[..discriminator.len()].copy_from_slice(discriminator);
    Ok(())
}

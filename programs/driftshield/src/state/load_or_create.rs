//! Creation of accounts by the first instruction that uses them.
//!
//! One function for all accounts, instead of Anchor's `init_if_needed` at each account, keeps the
//! binary small.

use anchor_lang::{accounts::SlabSchema, bytemuck::Pod, prelude::*, Discriminator};

/// Loads `account`, or creates it, filled with zeros, at `payer`'s expense. The caller has verified
/// `seeds` and the bump.
pub fn load_or_create<T: Pod + SlabSchema + Discriminator>(
    payer: &AccountView,
    account: &UncheckedAccount,
    seeds: &[&[u8]],
) -> Result<Account<T>> {
    let view = *account.account();
    if view.owned_by(&System::id()) {
        create(payer, view, seeds, T::DISCRIMINATOR, size_of::<T>())?;
    }
    // SAFETY: the field is an unchecked account, so no other reference to its data exists.
    unsafe { Account::load_mut(view) }
}

#[inline(never)]
fn create(
    payer: &AccountView,
    mut account: AccountView,
    seeds: &[&[u8]],
    discriminator: &[u8],
    bytes: usize,
) -> Result<()> {
    let space = discriminator.len() + bytes;
    let seeds = Some(seeds);
    anchor_lang::create_account_with_signers(payer, &account, space, &crate::ID, seeds, None)?;
    account.try_borrow_mut()?[..discriminator.len()].copy_from_slice(discriminator);
    Ok(())
}

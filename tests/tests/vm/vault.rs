//! Vaults: shares and their price, premiums, withdrawals, terms, listings and closing.

mod closing;
mod listing;
mod premiums;
mod shares;
mod terms;
mod withdrawal;

use driftshield_sdk::{PolicyTerms, address};
use driftshield_tests::{insurance::*, world::*};

/// The value of the owner's shares now.
fn value_of(scene: &Insured, owner: &Wallet) -> u64 {
    scene.vault_now().worth(scene.shares(owner))
}

/// A new wallet that has deposited `amount`.
fn depositor(scene: &mut Insured, amount: u64) -> Wallet {
    let wallet = scene.world.wallet(amount);
    scene.deposit(&wallet, amount).unwrap();
    wallet
}

/// Burns some of the owner's shares.
fn burn(scene: &mut Insured, owner: &Wallet, shares: u64) {
    let vault = scene.vault();
    let burn = spl_token_interface::instruction::burn(
        &spl_token_interface::ID,
        &address::share_account(&owner.address(), &vault),
        &vault.share_mint,
        &owner.address(),
        &[],
        shares,
    );
    scene.world.send(burn.unwrap(), &[&owner.key]).unwrap();
}

/// Whether the owner has requested a withdrawal.
fn has_request(scene: &Insured, owner: &Wallet) -> bool {
    let request = address::withdraw_request(&scene.vault, &owner.address());
    scene.world.exists(&request)
}

/// Terms of a policy on nearly a year of windows.
fn year_terms(scene: &Insured) -> PolicyTerms {
    PolicyTerms {
        windows: 363,
        cover: 5_000 * TOKEN,
        ..scene.terms()
    }
}

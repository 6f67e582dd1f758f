//! Tokens sent to the program's token accounts: a donation changes no price and no payout.

use driftshield_sdk::Address;
use driftshield_tests::{insurance::*, world::*};

use crate::stakeholders::Stakeholders;

/// Transfers half of the provider's shares to `escrow` without a withdrawal request. Returns their number.
fn donate_shares(all: &mut Stakeholders, escrow: &Address) -> u64 {
    let provider = all.insured.provider();
    let (shares, vault) = (all.insured.shares(&provider) / 2, all.insured.vault());
    let account = driftshield_sdk::address::share_account(&provider.address(), &vault);
    let program = &spl_token_interface::ID;
    let send = spl_token_interface::instruction::transfer(
        program,
        &account,
        escrow,
        &provider.address(),
        &[],
        shares,
    );
    all.insured
        .world
        .send(send.unwrap(), &[&provider.key])
        .unwrap();
    shares
}

#[test]
fn donations_change_no_price_and_no_payout_and_everything_still_closes() {
    // Given two equal worlds, and donations to every token account of the program in one of them
    let plain = Stakeholders::new();
    let mut donated = plain.clone();
    let escrow = donated.insured.vault().escrow;
    let accounts = donated.token_accounts();
    assert_eq!(accounts.len(), 5);
    for (account, _) in &accounts {
        if *account != escrow {
            donated.insured.world.mint_to(account, 12_345_678);
        }
    }

    // When both are compared, then the premium and the vault's totals are the same
    let terms = plain.insured.terms();
    assert_eq!(
        plain.insured.quote(&terms).unwrap(),
        donated.insured.quote(&terms).unwrap()
    );
    assert_eq!(
        plain.insured.vault().totals(),
        donated.insured.vault().totals()
    );

    // And after everything is paid and closed, everybody has the same
    assert_eq!(plain.redeem(), donated.redeem());
}

#[test]
fn shares_sent_to_the_escrow_are_lost_and_block_no_closing() {
    // Given a provider who sends half of its shares to the vault's escrow
    let mut all = Stakeholders::new();
    let escrow = all.insured.vault().escrow;
    let before = all.insured.vault_now();
    let sent = donate_shares(&mut all, &escrow);

    // Then the share price is unchanged, and the sender has half as many shares
    let after = all.insured.vault_now();
    assert_eq!((after.assets, after.shares), (before.assets, before.shares));
    let left = all.insured.shares(&all.insured.provider());
    assert_eq!(left, sent);

    // And everything can still be paid and closed, with half of the capital lost to the sender
    let provided = all.insured.world.tokens(&all.insured.lp.tokens);
    let end = all.redeem();
    let provider = end.iter().find(|(name, _)| *name == "provider").unwrap().1;
    assert!(provider - provided < CAPITAL / 2 + TOKEN);
}

//! Who sends the program tokens gives them away, and changes nothing.

use driftshield_sdk::Address;
use driftshield_tests::{insurance::*, world::*};

use super::everybody::Everybody;

/// Half of the provider's shares go to `escrow`, by nobody's request.
fn donate_shares(all: &mut Everybody, escrow: &Address) -> u64 {
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
    // Given two worlds alike, in one of which every token account of the program gets a donation
    let plain = Everybody::new();
    let mut donated = plain.clone();
    let escrow = donated.insured.vault().escrow;
    let accounts = donated.token_accounts();
    assert_eq!(accounts.len(), 5);
    for (account, _) in &accounts {
        if *account != escrow {
            donated.insured.world.mint_to(account, 12_345_678);
        }
    }

    // When everything is priced, paid and closed in both
    let terms = plain.insured.terms();
    assert_eq!(
        plain.insured.quote(&terms).unwrap(),
        donated.insured.quote(&terms).unwrap()
    );
    assert_eq!(
        plain.insured.vault().totals(),
        donated.insured.vault().totals()
    );

    // Then everybody has the same
    assert_eq!(plain.redeem(), donated.redeem());
}

#[test]
fn shares_sent_to_the_escrow_are_the_senders_loss_and_hold_nothing_open() {
    // Given a vault to whose escrow its provider sends half of its shares
    let mut all = Everybody::new();
    let escrow = all.insured.vault().escrow;
    let before = all.insured.vault_now();
    let sent = donate_shares(&mut all, &escrow);

    // Then a share is worth what it was, and the sender has half as many
    let after = all.insured.vault_now();
    assert_eq!((after.assets, after.shares), (before.assets, before.shares));
    let left = all.insured.shares(&all.insured.provider());
    assert_eq!(left, sent);

    // And all the same everything closes
    let provided = all.insured.world.tokens(&all.insured.lp.tokens);
    let end = all.redeem();
    let provider = end.iter().find(|(name, _)| *name == "provider").unwrap().1;
    assert!(provider - provided < CAPITAL / 2 + TOKEN);
}

//! Tokens sent to the program's token accounts: a donation changes no price and no payout.

use crate::stakeholders::Stakeholders;

#[test]
fn donations_change_no_price_and_no_payout_and_everything_still_closes() {
    // Given two equal worlds, and donations to every token account of the program in one of them
    let plain = Stakeholders::new();
    let mut donated = plain.clone();
    let accounts = donated.token_accounts();
    assert_eq!(accounts.len(), 4);
    for (account, _) in &accounts {
        donated.insured.world.mint_to(account, 12_345_678);
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

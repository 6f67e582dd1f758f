//! The edge: a payee's wallet is empty, and the rent has risen so much that what a closed account returns
//! is less than an account needs to exist. Anyone can add what is missing, in the same transaction.

use driftshield_sdk::{DriftShieldError, Entry, Instruction, address, instruction};
use driftshield_tests::{insurance::*, world::*};
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;

use super::{POSITION_BYTES, assert_below_rent, drain, rent_at, stakeholders_at};
use crate::stakeholders::Stakeholders;

/// Stakeholders at `before`, of whom the loser has emptied its wallet. Their market is settled at `after`.
fn settled(before: &Stakeholders, after: u64) -> Stakeholders {
    let mut all = before.clone();
    let (market, loser) = (all.market, all.loser.clone());
    drain(&mut all.insured.world, &loser);
    all.insured.world.set_rent(after);
    all.measure(200_000);
    all.insured.world.settle(&market).unwrap();
    all
}

/// Asserts that `close` fails until somebody adds the lamports that `payee`, whose wallet is empty,
/// needs besides the `returned` ones. Sends it with them, and returns their number.
#[track_caller]
fn close_with_lamports(
    world: &mut World,
    close: &Instruction,
    payee: &Wallet,
    returned: u64,
) -> u64 {
    let from = world.payer.pubkey();
    let missing = world.rent_of(0) - returned;
    let add = |lamports| transfer(&from, &payee.address(), lamports);
    assert_below_rent(world.send(close.clone(), &[]));
    assert_below_rent(world.send_all(&[add(missing - 1), close.clone()], &[]));
    world.send_all(&[add(missing), close.clone()], &[]).unwrap();
    assert_eq!(world.lamports(&payee.address()), world.rent_of(0));
    missing
}

#[test]
fn an_empty_wallet_is_paid_unless_the_rent_has_risen_above_what_it_is_due() {
    for before in RENTS {
        let all = stakeholders_at(before);
        for after in RENTS {
            // Given a bettor with an empty wallet, and a position that was paid for at another rent
            let mut all = settled(&all, after);

            // When the position is claimed, then its lamports have to be enough for a wallet
            let outcome = all.insured.world.claim(&all.market, &all.loser.address());
            let returned = rent_at(before, POSITION_BYTES);
            if rent_at(after, 0) <= returned {
                outcome.unwrap();
                let has = all.insured.world.lamports(&all.loser.address());
                assert_eq!(has, returned);
            } else {
                assert_eq!(before, 696);
                assert_below_rent(outcome);
            }
        }
    }
}

#[test]
fn a_wallet_with_any_lamports_is_paid_whatever_the_rent() {
    // Given a bettor whose wallet holds the rent of a wallet, before the rent rises tenfold
    let mut all = stakeholders_at(696);
    let (market, loser) = (all.market, all.loser.clone());
    let little = rent_at(696, 0);
    let world = &mut all.insured.world;
    let away = world.lamports(&loser.address()) - little;
    let away = transfer(&loser.address(), &world.payer.pubkey(), away);
    world.send(away, &[&loser.key]).unwrap();
    world.set_rent(6_960);
    all.measure(200_000);
    let world = &mut all.insured.world;
    world.settle(&market).unwrap();

    // When its position is claimed, then it is paid, although it still holds less than the rent
    world.claim(&market, &loser.address()).unwrap();
    let has = world.lamports(&loser.address());
    assert_eq!(has, little + rent_at(696, POSITION_BYTES));
    assert!(has < rent_at(6_960, 0));
}

#[test]
fn an_empty_wallet_delays_the_closing_of_a_market_and_no_payout() {
    // Given a settled market, and a bettor with an empty wallet after the rent rose tenfold
    let mut all = settled(&stakeholders_at(696), 6_960);
    let (market, loser) = (all.market, all.loser.clone());
    let world = &mut all.insured.world;
    let state = world.market(&market);

    // When the others are paid, then they are
    world.claim(&market, &all.winner.address()).unwrap();
    world.collect_fees(&market);

    // But the creator's rent waits
    let close = instruction::close_market(market, &state);
    let outcome = world.send(close.clone(), &[]);
    assert_refused(outcome, DriftShieldError::PositionsLeft);

    // Until anyone, here with less than 0.0007 SOL, gives the bettor what is missing
    let claim = instruction::claim(loser.address(), market, &state);
    let returned = rent_at(696, POSITION_BYTES);
    let missing = close_with_lamports(world, &claim, &loser, returned);
    assert!(missing < 700_000);
    world.send(close, &[]).unwrap();
}

#[test]
fn an_empty_wallet_keeps_a_window_open_until_anyone_adds_lamports() {
    // Given a receipt whose first oracle has emptied its wallet before the rent rose tenfold
    let mut all = stakeholders_at(696);
    let (model, window) = (all.insured.model.clone(), all.insured.window);
    let (first, world) = (&model.oracles[0], &mut all.insured.world);
    world.submit_all(&model, window, &share(CALM_DRIFT));
    drain(world, first);
    let returned = world.lamports(&address::receipt(&model.address, window));
    world.set_rent(6_960);
    world.pass(params().challenge_secs);

    // When the receipt is due, then it is settled and closed in the transaction in which anyone gives the
    // oracle what is missing
    let finalize = instruction::finalize_receipt(&world.receipt(&model.address, window));
    let missing = close_with_lamports(world, &finalize, first, returned);
    assert!(missing < 700_000);
    assert_eq!(
        world.entry(&model.address, window),
        Entry::Final(CALM_DRIFT)
    );
}

#[test]
fn an_empty_wallet_keeps_capital_locked_until_anyone_adds_lamports() {
    // Given a policy that is over, whose holder has an empty wallet after the rent rose tenfold
    let mut all = stakeholders_at(696);
    let (holder, lp) = (all.holder.clone(), all.insured.provider());
    let at = address::policy(&all.insured.vault, &holder.address(), 1);
    let returned = all.insured.world.lamports(&at);
    drain(&mut all.insured.world, &holder);
    all.insured.world.set_rent(6_960);
    let policy = all.insured.policy(&holder, 1);
    let expires = policy.expires_at(&all.insured.model()).unwrap();
    all.insured.world.warp_to(expires);
    let shares = all.insured.shares(&lp);
    all.insured.request(&lp, shares).unwrap();
    all.insured.world.pass(COOLDOWN);

    // When the provider withdraws, then it is paid all but what its capital needs to lock the cover
    all.insured.withdraw(&lp).unwrap();
    let vault = all.insured.vault();
    assert_eq!(vault.locked, policy.cover);
    assert!(0 < vault.leaving);

    // Until anyone gives the holder what is missing
    let expire = instruction::expire_policy(&policy, &vault);
    let missing = close_with_lamports(&mut all.insured.world, &expire, &holder, returned);
    assert!(missing < 700_000);
    all.insured.withdraw(&lp).unwrap();
    let vault = all.insured.vault();
    assert_eq!((vault.locked, vault.leaving), (0, 0));
}

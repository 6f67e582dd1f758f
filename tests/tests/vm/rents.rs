//! The rent changes while accounts exist: everything goes on, and all lamports return to who paid them.
//!
//! After every transaction of these and of all other tests, the world's ledger checks that a new account
//! costs its payer what was missing, and that a closed one returns everything to who paid for it.

mod blocked;
mod prefunded;
mod reuse;
mod wrapped;

use driftshield_sdk::{PAGE_WINDOWS, Position, Seat, address, instruction};
use driftshield_tests::{insurance::*, world::*};
use solana_signer::Signer;
use solana_system_interface::instruction::transfer;
use solana_transaction_error::TransactionError;

use crate::{bonds, stakeholders::Stakeholders};

/// A world whose rent is `rate` lamports per byte.
fn world_at(rate: u64) -> World {
    let mut world = World::bare();
    world.set_rent(rate);
    world.set_up(params(), insurance_terms())
}

fn stakeholders_at(rate: u64) -> Stakeholders {
    Stakeholders::around(Insured::on(world_at(rate), vault_terms()))
}

/// The lamports of an account of `bytes` bytes at a rent of `rate`.
fn rent_at(rate: u64, bytes: usize) -> u64 {
    (RENT_OVERHEAD + bytes as u64) * rate
}

/// Bytes of a position, discriminator included.
const POSITION_BYTES: usize = 8 + size_of::<Position>();

/// Asserts that the transaction failed because it would leave an account with less than its rent.
#[track_caller]
fn assert_below_rent(outcome: Outcome) {
    let failed = outcome.map(|sent| sent.events).expect_err("refused").err;
    let is_rent = matches!(failed, TransactionError::InsufficientFundsForRent { .. });
    assert!(is_rent, "{failed:?}");
}

/// Everybody leaves, and the page of the series is closed when its retention is over.
fn leave(all: &mut Stakeholders) {
    all.leave();
    let end = all.insured.model().retention_end(PAGE_WINDOWS - 1);
    let (model, world) = (all.insured.model.address, &mut all.insured.world);
    world.warp_to(end.unwrap());
    let close = instruction::close_series(&world.series(&model, 0));
    world.send(close, &[]).unwrap();
}

/// Asserts that everybody, after leaving, has the lamports that it had before it joined, except those in
/// the mint of a vault's shares, which stays.
#[track_caller]
fn assert_whole(all: &Stakeholders, context: &str) {
    let world = &all.insured.world;
    for (role, wallet) in all.wallets() {
        let stays = world.rent_paid_by(&wallet.address());
        let has = world.lamports(&wallet.address());
        assert_eq!(has + stays, WALLET_LAMPORTS, "{role}, {context}");
        assert!(stays == 0 || role == "manager");
    }
}

/// Sends all lamports of a wallet away.
fn drain(world: &mut World, wallet: &Wallet) {
    let to = world.payer.pubkey();
    let all = world.lamports(&wallet.address());
    let away = transfer(&wallet.address(), &to, all);
    world.send(away, &[&wallet.key]).unwrap();
    assert!(!world.exists(&wallet.address()));
}

#[test]
fn everybody_gets_all_lamports_back_at_every_rent_and_after_every_change() {
    for before in RENTS {
        let all = stakeholders_at(before);
        for after in RENTS {
            // Given accounts that were paid for at one rent
            let mut all = all.clone();
            all.insured.world.set_rent(after);

            // When everybody leaves at another
            leave(&mut all);

            // Then each has all lamports
            assert_whole(&all, &format!("from {before} to {after}"));
        }
    }
}

#[test]
fn a_new_account_costs_the_rent_of_the_moment() {
    // Given a market, and a bettor for each rent
    let mut all = stakeholders_at(5_080);
    let market = all.market;
    let world = &mut all.insured.world;
    for rate in RENTS {
        let bettor = world.wallet(TOKEN);
        world.set_rent(rate);

        // When the bettor bets, then its position costs the rent of that moment
        world.bet(&market, &bettor, 0, TOKEN).unwrap();
        let position = address::position(&market, &bettor.address());
        let cost = rent_at(rate, POSITION_BYTES);
        assert_eq!(world.lamports(&position), cost);
        assert_eq!(world.lamports(&bettor.address()), WALLET_LAMPORTS - cost);
    }
}

#[test]
fn the_ledger_notices_rent_that_goes_to_somebody_else() {
    // Given an empty seat, whose record names a thief as its oracle
    let mut world = World::new();
    let model = world.default_model();
    let (oracle, thief) = (model.oracles[0].clone(), world.wallet(0));
    bonds::leave(&mut world, &model, 0);
    let seat = address::seat(&model.address, &oracle.address());
    let mut record = world.svm.get_account(&seat).unwrap();
    let named = 8 + std::mem::offset_of!(Seat, oracle);
    record.data[named..named + 32].copy_from_slice(thief.address().as_ref());
    world.svm.set_account(seat, record).unwrap();

    // When the program pays the thief, then the check of the transaction fails
    let mut close = instruction::close_seat(oracle.address(), model.address);
    close.accounts[0].pubkey = thief.address();
    let closing = std::panic::AssertUnwindSafe(|| world.send(close, &[]).is_ok());
    let panic = std::panic::catch_unwind(closing).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("changed by"), "{message}");
}

#[test]
fn where_rent_has_a_threshold_of_two_years_nothing_is_created() {
    // Given a cluster that doubles the first field of the rent, which is all that the program reads
    let mut all = stakeholders_at(5_080);
    let market = all.market;
    let world = &mut all.insured.world;
    let bettor = world.wallet(TOKEN);
    world.set_rent_of_two_years(3_480);

    // When somebody bets, then the transaction fails, because the position would hold half of its rent
    let outcome = world.bet(&market, &bettor, 0, TOKEN);
    assert_below_rent(outcome);
    assert_eq!(world.lamports(&bettor.address()), WALLET_LAMPORTS);
}

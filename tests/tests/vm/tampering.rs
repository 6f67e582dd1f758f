//! Changes to token accounts that no instruction of the program can make.

use driftshield_sdk::Address;
use driftshield_tests::world::World;

/// Offsets in the data of an SPL token account.
const AMOUNT: usize = 64;
const STATE: usize = 108;

/// Sets the balance of a token account.
pub fn set_token_balance(world: &mut World, account: &Address, amount: u64) {
    let mut state = world.svm.get_account(account).expect("a token account");
    state.data[AMOUNT..AMOUNT + 8].copy_from_slice(&amount.to_le_bytes());
    world
        .svm
        .set_account(*account, state)
        .expect("the balance is set");
}

/// Freezes or thaws a token account, as the freeze authority of its mint can.
pub fn set_frozen(world: &mut World, account: &Address, frozen: bool) {
    const INITIALIZED: u8 = 1;
    const FROZEN: u8 = 2;
    let mut state = world.svm.get_account(account).expect("a token account");
    state.data[STATE] = if frozen { FROZEN } else { INITIALIZED };
    world
        .svm
        .set_account(*account, state)
        .expect("the state is set");
}

//! Programs that an attacker passes instead of the genuine ones: copies of the token program and of
//! DriftShield at other addresses, and the compute budget program, which succeeds without effect when
//! it is invoked by CPI.

use driftshield_sdk::{Address, ID};
use driftshield_tests::world::*;
use solana_signer::Signer;

/// The compute budget program.
pub const NO_OP_PROGRAM: Address =
    anchor_lang::address!("ComputeBudget111111111111111111111111111111");

/// Address of the copy of the token program.
pub fn token_program_copy() -> Address {
    key("copy of the token program").pubkey()
}

/// Address of the copy of DriftShield.
pub fn driftshield_copy() -> Address {
    key("copy of DriftShield").pubkey()
}

/// Deploys both copies.
pub fn deploy(world: &mut World) {
    for (copy, original) in [
        (token_program_copy(), anchor_spl::token::ID),
        (driftshield_copy(), ID),
    ] {
        let code = world.svm.accounts_db().try_program_elf_bytes(&original);
        let code = code.expect("the original is deployed").to_vec();
        world
            .svm
            .add_program(copy, &code)
            .expect("the copy is deployed");
    }
}

//! Scenes: at least one for each instruction, named after it. A scene's function prepares the fixture and
//! returns an instruction that succeeds in it.

mod admin;
pub mod market;
pub mod model;
pub mod policy;
pub mod receipt;
pub mod vault;

use super::check::{check, instruction_of};
use crate::committed_idl;

/// Declares a test for each scene. The name of a scene is the name of its instruction, with a suffix if
/// the instruction has several scenes.
macro_rules! scenes {
    ($($module:ident: $($scene:ident),+;)+) => {
        $($(
            #[test]
            fn $scene() {
                check(stringify!($scene), $module::$scene);
            }
        )+)+

        const NAMES: &[&str] = &[$($(stringify!($scene)),+),+];
    };
}

scenes! {
    admin: initialize, update_config, propose_admin, accept_admin, propose_arbiter, accept_arbiter,
        set_pause, register_collateral, update_collateral, withdraw_treasury;
    model: register_model, update_model, retire_model, bond, bond_first, request_unbond,
        withdraw_bond, close_seat, sync_seat, leave_seat, replace_oracle, fund_oracles, collect_reward,
        collect_reward_treasury;
    receipt: submit_receipt, submit_receipt_first, challenge_receipt,
        challenge_receipt_first, rule_receipt, finalize_receipt, collect_challenge,
        collect_challenge_treasury, return_slashes, close_series;
    market: create_market, cancel_market, cancel_market_by_anyone, place_bet, place_bet_first,
        set_ask, buy_position, buy_position_first, buy_position_signed,
        settle_market, claim, claim_lost, claim_signed, collect_fees, collect_fees_treasury, close_market;
    vault: create_vault, update_vault, list_model, list_model_first, deposit, request_withdraw,
        request_withdraw_first, cancel_withdraw, withdraw, collect_manager_fees,
        collect_manager_fees_treasury, close_exposure, close_vault;
    policy: buy_policy, claim_policy, cancel_policy, renew_policy, renew_policy_by_anyone,
        expire_policy, begin_policy, begin_policy_void, examine_policy;
}

#[test]
fn every_instruction_has_a_scene() {
    for instruction in committed_idl::instructions() {
        let has_scene = NAMES
            .iter()
            .any(|scene| instruction_of(scene) == instruction.name);
        assert!(has_scene, "{} has no scene", instruction.name);
    }
}

#[test]
fn every_table_has_a_scene() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/matrix");
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(NAMES.contains(&name), "{name}.txt has no scene");
    }
}

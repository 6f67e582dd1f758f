//! One file an instruction: its accounts, and the method that carries it out and returns its event.

mod accept_admin;
mod bond;
mod challenge_receipt;
mod claim;
mod close_market;
mod close_receipt;
mod close_seat;
mod collect_challenge;
mod collect_fees;
#[allow(unused_variables)] // `derive(Accounts)` binds the instruction's arguments once too often
mod create_market;
mod finalize_receipt;
mod initialize;
mod place_bet;
mod propose_admin;
mod register_collateral;
#[allow(unused_variables)] // `derive(Accounts)` binds the instruction's arguments once too often
mod register_model;
mod request_unbond;
mod retire_model;
mod rule_receipt;
mod set_pause;
mod settle_market;
#[allow(unused_variables)] // `derive(Accounts)` binds the instruction's arguments once too often
mod submit_receipt;
mod update_collateral;
mod update_config;
mod update_model;
mod withdraw_bond;
mod withdraw_treasury;

pub use {
    accept_admin::*, bond::*, challenge_receipt::*, claim::*, close_market::*, close_receipt::*,
    close_seat::*, collect_challenge::*, collect_fees::*, create_market::*, finalize_receipt::*,
    initialize::*, place_bet::*, propose_admin::*, register_collateral::*, register_model::*,
    request_unbond::*, retire_model::*, rule_receipt::*, set_pause::*, settle_market::*,
    submit_receipt::*, update_collateral::*, update_config::*, update_model::*, withdraw_bond::*,
    withdraw_treasury::*,
};

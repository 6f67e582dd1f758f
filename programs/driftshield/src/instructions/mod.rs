//! The program's instructions, one per file: its accounts, and the method that executes it and
//! returns its event.

mod accept_admin;
mod accept_arbiter;
mod begin_policy;
mod bond;
#[allow(unused_variables)] // `derive(Accounts)` binds the arguments a second time
mod buy_policy;
mod buy_position;
mod cancel_policy;
mod cancel_withdraw;
#[allow(unused_variables)] // `derive(Accounts)` binds the arguments a second time
mod challenge_receipt;
mod claim;
mod claim_policy;
mod close_exposure;
mod close_market;
mod close_seat;
mod close_series;
mod close_vault;
mod collect_challenge;
mod collect_fees;
mod collect_manager_fees;
mod collect_reward;
#[allow(unused_variables)] // `derive(Accounts)` binds the arguments a second time
mod create_market;
#[allow(unused_variables)] // `derive(Accounts)` binds the arguments a second time
mod create_vault;
mod deposit;
mod examine_policy;
mod expire_policy;
mod finalize_receipt;
mod fund_oracles;
mod initialize;
mod leave_seat;
mod list_model;
mod place_bet;
mod propose_admin;
mod propose_arbiter;
mod register_collateral;
#[allow(unused_variables)] // `derive(Accounts)` binds the arguments a second time
mod register_model;
mod renew_policy;
mod replace_oracle;
mod request_unbond;
mod request_withdraw;
mod retire_model;
mod return_slashes;
mod rule_receipt;
mod set_ask;
mod set_pause;
mod settle_market;
#[allow(unused_variables)] // `derive(Accounts)` binds the arguments a second time
mod submit_receipt;
mod sync_seat;
mod update_collateral;
mod update_config;
mod update_model;
mod update_vault;
mod withdraw;
mod withdraw_bond;
mod withdraw_treasury;

pub use {
    accept_admin::*, accept_arbiter::*, bond::*, buy_policy::*, buy_position::*,
    cancel_withdraw::*, challenge_receipt::*, claim::*, claim_policy::*, close_exposure::*,
    close_market::*, close_seat::*, close_series::*, close_vault::*, collect_challenge::*,
    collect_fees::*, collect_manager_fees::*, collect_reward::*, create_market::*, create_vault::*,
    deposit::*, examine_policy::*, finalize_receipt::*, fund_oracles::*, initialize::*,
    leave_seat::*, list_model::*, place_bet::*, propose_admin::*, propose_arbiter::*,
    register_collateral::*, register_model::*, renew_policy::*, replace_oracle::*,
    request_unbond::*, request_withdraw::*, retire_model::*, return_slashes::*, rule_receipt::*,
    set_ask::*, set_pause::*, settle_market::*, submit_receipt::*, sync_seat::*,
    update_collateral::*, update_config::*, update_model::*, update_vault::*, withdraw::*,
    withdraw_bond::*, withdraw_treasury::*,
};

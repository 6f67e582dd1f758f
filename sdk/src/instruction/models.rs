//! Models, and the seats, bonds and pay of their oracles.

use anchor_lang::{
    Address,
    solana_program::instruction::{AccountMeta, Instruction},
};
use driftshield::{
    Collateral, ID, MetricSpec, Model, ModelTerms, RewardPayee, accounts, instruction as data,
};

use super::tokens::token_program_id;
use crate::address;

/// Registers a model. `bonds` is the collateral of the model's bonds, markets and cover.
pub fn register_model(
    owner: Address,
    id: u64,
    bonds: &Collateral,
    spec: MetricSpec,
    terms: ModelTerms,
) -> Instruction {
    data::RegisterModel { id, spec, terms }.to_instruction(accounts::RegisterModelResolved {
        owner,
        config: address::config(),
        collateral: address::collateral(&bonds.mint),
        bond_mint: bonds.mint,
        model: address::model(&owner, id),
        token_program: token_program_id(bonds.token_program),
        bond_vault: address::bond_vault(&address::model(&owner, id)),
        program: ID,
    })
}

/// Replaces a model's terms. `state` is the model's account. The instruction passes the seats of
/// the oracles that are removed and have a reward.
pub fn update_model(
    owner: Address,
    model: Address,
    state: &Model,
    terms: ModelTerms,
) -> Instruction {
    let seats = owing_seats(&model, state, |oracle| !terms.oracles.contains(oracle));
    let mut instruction =
        data::UpdateModel { terms }.to_instruction(accounts::UpdateModelResolved {
            owner,
            config: address::config(),
            model,
            program: ID,
        });
    instruction.accounts.extend(seats);
    instruction
}

pub fn retire_model(owner: Address, model: Address) -> Instruction {
    data::RetireModel {}.to_instruction(accounts::RetireModelResolved {
        owner,
        model,
        program: ID,
    })
}

/// Lists `successor` in place of `oracle` while the model is exposed. `state` is the model's
/// account. The instruction passes the seat of `oracle` if it has a reward or open
/// penalties.
pub fn replace_oracle(
    owner: Address,
    model: Address,
    state: &Model,
    oracle: Address,
    successor: Address,
) -> Instruction {
    let seats = owing_seats(&model, state, |listed| *listed == oracle);
    let data = data::ReplaceOracle { oracle, successor };
    let mut instruction = data.to_instruction(accounts::ReplaceOracleResolved {
        owner,
        model,
        program: ID,
    });
    instruction.accounts.extend(seats);
    instruction
}

/// The seats of the oracles that have a reward or open penalties and are `removed`, in the order of
/// the model's oracles.
fn owing_seats(
    model: &Address,
    state: &Model,
    removed: impl Fn(&Address) -> bool,
) -> Vec<AccountMeta> {
    let owed = state.rewards.iter().zip(state.penalties);
    let oracles = state.oracles.iter().zip(owed);
    oracles
        .filter(|(oracle, (reward, penalty))| (0 < **reward || 0 < *penalty) && removed(oracle))
        .map(|(oracle, _)| AccountMeta::new(address::seat(model, oracle), false))
        .collect()
}

/// Starts the leaving of an oracle's seat.
pub fn leave_seat(oracle: Address, model: Address) -> Instruction {
    data::LeaveSeat {}.to_instruction(accounts::LeaveSeatResolved {
        oracle,
        model,
        program: ID,
    })
}

/// Adds to an oracle's bond; the first bond creates the seat. `state` is the model's account,
/// `source` the token account that pays.
pub fn bond(
    oracle: Address,
    model: Address,
    state: &Model,
    source: Address,
    amount: u64,
) -> Instruction {
    data::Bond { amount }.to_instruction(accounts::BondResolved {
        oracle,
        model,
        seat: address::seat(&model, &oracle),
        source,
        collateral: address::collateral(&state.bond_mint),
        bond_vault: state.bond_vault,
        mint: state.bond_mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

pub fn request_unbond(oracle: Address, model: Address, amount: u64) -> Instruction {
    data::RequestUnbond { amount }.to_instruction(accounts::RequestUnbondResolved {
        oracle,
        model,
        seat: address::seat(&model, &oracle),
        program: ID,
    })
}

/// Pays an unbonded amount to `oracle`'s associated token account.
pub fn withdraw_bond(oracle: Address, model: Address, state: &Model) -> Instruction {
    data::WithdrawBond {}.to_instruction(accounts::WithdrawBondResolved {
        oracle,
        model,
        seat: address::seat(&model, &oracle),
        bond_vault: state.bond_vault,
        destination: address::token_account(&oracle, &state.bond_mint, state.token_program.into()),
        mint: state.bond_mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

/// Takes an oracle's open penalties from its seat.
pub fn sync_seat(oracle: Address, model: Address) -> Instruction {
    data::SyncSeat {}.to_instruction(accounts::SyncSeatResolved {
        model,
        seat: address::seat(&model, &oracle),
        program: ID,
    })
}

pub fn close_seat(oracle: Address, model: Address) -> Instruction {
    data::CloseSeat {}.to_instruction(accounts::CloseSeatResolved {
        oracle,
        model,
        seat: address::seat(&model, &oracle),
        program: ID,
    })
}

/// Adds `amount` to the pay of a model's oracles for the time until `until`, in Unix seconds.
/// `state` is the model's account, `source` the token account that pays.
pub fn fund_oracles(
    funder: Address,
    model: Address,
    state: &Model,
    source: Address,
    amount: u64,
    until: i64,
) -> Instruction {
    data::FundOracles { amount, until }.to_instruction(accounts::FundOraclesResolved {
        funder,
        model,
        source,
        collateral: address::collateral(&state.bond_mint),
        bond_vault: state.bond_vault,
        mint: state.bond_mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

/// Pays the reward of the oracle at index `oracle` to its associated token account.
pub fn collect_reward(model: Address, state: &Model, oracle: usize) -> Instruction {
    collect(model, state, oracle, RewardPayee::Oracle)
}

/// Pays what is left of the pot to the treasury, once no oracle can earn it.
pub fn collect_pot(model: Address, state: &Model) -> Instruction {
    collect(model, state, 0, RewardPayee::Treasury)
}

fn collect(model: Address, state: &Model, oracle: usize, payee: RewardPayee) -> Instruction {
    let (mint, oracle) = (state.bond_mint, state.oracles[oracle]);
    let collateral = address::collateral(&mint);
    data::CollectReward { payee }.to_instruction(accounts::CollectRewardResolved {
        oracle,
        model,
        collateral,
        bond_vault: state.bond_vault,
        destination: match payee {
            RewardPayee::Treasury => address::treasury(&collateral),
            RewardPayee::Oracle => {
                address::token_account(&oracle, &mint, state.token_program.into())
            }
        },
        mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

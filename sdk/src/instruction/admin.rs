//! Administration: setup, settings, roles, pausing, collaterals and treasuries.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield::{
    Collateral, CollateralTerms, ConfigParams, ID, TokenProgram, accounts, instruction as data,
};

use super::tokens::token_program_id;
use crate::address;

/// Sets up the program. `authority` is the program's upgrade authority.
pub fn initialize(
    authority: Address,
    admin: Address,
    guardian: Address,
    arbiter: Address,
    params: ConfigParams,
) -> Instruction {
    data::Initialize {
        admin,
        guardian,
        arbiter,
        params,
    }
    .to_instruction(accounts::InitializeResolved {
        authority,
        program_data: address::program_data(),
        program: ID,
    })
}

pub fn update_config(admin: Address, guardian: Address, params: ConfigParams) -> Instruction {
    data::UpdateConfig { guardian, params }.to_instruction(accounts::UpdateConfigResolved {
        admin,
        config: address::config(),
        program: ID,
    })
}

pub fn propose_admin(admin: Address, pending_admin: Address) -> Instruction {
    data::ProposeAdmin { pending_admin }.to_instruction(accounts::ProposeAdminResolved {
        admin,
        config: address::config(),
        program: ID,
    })
}

pub fn accept_admin(pending_admin: Address) -> Instruction {
    data::AcceptAdmin {}.to_instruction(accounts::AcceptAdminResolved {
        pending_admin,
        config: address::config(),
        program: ID,
    })
}

/// Proposes the next arbiter of new and updated models. `arbiter` is the one in `Config`.
pub fn propose_arbiter(arbiter: Address, pending_arbiter: Address) -> Instruction {
    data::ProposeArbiter { pending_arbiter }.to_instruction(accounts::ProposeArbiterResolved {
        arbiter,
        config: address::config(),
        program: ID,
    })
}

pub fn accept_arbiter(pending_arbiter: Address) -> Instruction {
    data::AcceptArbiter {}.to_instruction(accounts::AcceptArbiterResolved {
        pending_arbiter,
        config: address::config(),
        program: ID,
    })
}

/// Sets the pause flags to `paused`, bits of [`crate::pause`]. `authority` is the guardian or the
/// admin.
pub fn set_pause(authority: Address, paused: u8) -> Instruction {
    data::SetPause { paused }.to_instruction(accounts::SetPauseResolved {
        authority,
        config: address::config(),
        program: ID,
    })
}

pub fn register_collateral(
    admin: Address,
    mint: Address,
    token_program: TokenProgram,
    terms: CollateralTerms,
    accepts_freeze: bool,
) -> Instruction {
    data::RegisterCollateral {
        terms,
        accepts_freeze,
    }
    .to_instruction(accounts::RegisterCollateralResolved {
        admin,
        config: address::config(),
        mint,
        token_program: token_program.id(),
        treasury: address::treasury(&address::collateral(&mint)),
        program: ID,
    })
}

pub fn update_collateral(
    admin: Address,
    mint: Address,
    terms: CollateralTerms,
    enabled: bool,
) -> Instruction {
    data::UpdateCollateral { terms, enabled }.to_instruction(accounts::UpdateCollateralResolved {
        admin,
        config: address::config(),
        collateral: address::collateral(&mint),
        program: ID,
    })
}

/// Pays `amount` base units from a collateral's treasury to the token account `destination`.
pub fn withdraw_treasury(
    admin: Address,
    state: &Collateral,
    destination: Address,
    amount: u64,
) -> Instruction {
    let mint = state.mint;
    let collateral = address::collateral(&mint);
    data::WithdrawTreasury { amount }.to_instruction(accounts::WithdrawTreasuryResolved {
        admin,
        config: address::config(),
        collateral,
        treasury: address::treasury(&collateral),
        destination,
        mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

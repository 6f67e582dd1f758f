//! Vaults: their terms, their listings of models, and the capital of liquidity providers.

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield::{
    Collateral, DepositLimits, ID, ListingTerms, PremiumPayee, Vault, VaultTerms, accounts,
    instruction as data,
};

use super::tokens::token_program_id;
use crate::address;

/// Creates a vault whose capital and cover are in `collateral`.
pub fn create_vault(
    manager: Address,
    id: u64,
    collateral: &Collateral,
    cooldown_secs: i64,
    manager_fee_bps: u16,
    terms: VaultTerms,
) -> Instruction {
    let vault = address::vault(&manager, id);
    data::CreateVault {
        id,
        cooldown_secs,
        manager_fee_bps,
        terms,
    }
    .to_instruction(accounts::CreateVaultResolved {
        manager,
        config: address::config(),
        collateral: address::collateral(&collateral.mint),
        mint: collateral.mint,
        vault,
        token_program: token_program_id(collateral.token_program),
        tokens: address::vault_tokens(&vault),
        share_mint: address::share_mint(&vault),
        program: ID,
    })
}

pub fn update_vault(manager: Address, vault: Address, terms: VaultTerms) -> Instruction {
    data::UpdateVault { terms }.to_instruction(accounts::UpdateVaultResolved {
        manager,
        vault,
        program: ID,
    })
}

pub fn list_model(
    manager: Address,
    vault: Address,
    model: Address,
    terms: ListingTerms,
) -> Instruction {
    data::ListModel { terms }.to_instruction(accounts::ListModelResolved {
        manager,
        model,
        vault,
        exposure: address::exposure(&vault, &model),
        program: ID,
    })
}

/// Deposits `amount` base units from the token account `source`. The shares go to `owner`'s
/// associated token account for shares, which must exist: put
/// [`create_share_account`](super::tokens::create_share_account) in front of the deposit. Fails if the
/// vault is no longer within the `limits`. Show the owner `state.pending_losses`: the deposit bears
/// its part of them.
pub fn deposit(
    owner: Address,
    vault: Address,
    state: &Vault,
    source: Address,
    amount: u64,
    limits: DepositLimits,
) -> Instruction {
    data::Deposit { amount, limits }.to_instruction(accounts::DepositResolved {
        owner,
        config: address::config(),
        collateral: address::collateral(&state.mint),
        vault,
        source,
        tokens: state.tokens,
        mint: state.mint,
        share_mint: state.share_mint,
        destination: address::share_account(&owner, state),
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

/// Requests the withdrawal of `shares`, which are burned from `owner`'s associated token account,
/// and of shares that an earlier exit window gave back. `shares` may be 0 if there is a request.
pub fn request_withdraw(owner: Address, vault: Address, state: &Vault, shares: u64) -> Instruction {
    data::RequestWithdraw { shares }.to_instruction(accounts::RequestWithdrawResolved {
        owner,
        vault,
        request: address::withdraw_request(&vault, &owner),
        source: address::share_account(&owner, state),
        share_mint: state.share_mint,
        program: ID,
    })
}

/// Cancels a withdrawal request. Its shares go to `owner`'s associated token account for shares, which
/// must exist.
pub fn cancel_withdraw(owner: Address, vault: Address, state: &Vault) -> Instruction {
    data::CancelWithdraw {}.to_instruction(accounts::CancelWithdrawResolved {
        owner,
        vault,
        request: address::withdraw_request(&vault, &owner),
        share_mint: state.share_mint,
        destination: address::share_account(&owner, state),
        program: ID,
    })
}

/// Takes the step of a withdrawal request that is due. A payment goes to `owner`'s associated token
/// account.
pub fn withdraw(owner: Address, vault: Address, state: &Vault) -> Instruction {
    data::Withdraw {}.to_instruction(accounts::WithdrawResolved {
        owner,
        vault,
        request: address::withdraw_request(&vault, &owner),
        tokens: state.tokens,
        destination: address::token_account(&owner, &state.mint, state.token_program.into()),
        mint: state.mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

/// Pays a share of the premiums to the treasury or to the manager's associated token account.
pub fn collect_manager_fees(vault: Address, state: &Vault, payee: PremiumPayee) -> Instruction {
    let (mint, program) = (state.mint, state.token_program.into());
    let collateral = address::collateral(&mint);
    data::CollectManagerFees { payee }.to_instruction(accounts::CollectManagerFeesResolved {
        manager: state.manager,
        vault,
        collateral,
        tokens: state.tokens,
        destination: match payee {
            PremiumPayee::Treasury => address::treasury(&collateral),
            PremiumPayee::Manager => address::token_account(&state.manager, &mint, program),
        },
        mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

pub fn close_exposure(vault: Address, state: &Vault, model: Address) -> Instruction {
    data::CloseExposure {}.to_instruction(accounts::CloseExposureResolved {
        manager: state.manager,
        model,
        vault,
        exposure: address::exposure(&vault, &model),
        share_mint: state.share_mint,
        program: ID,
    })
}

/// Closes an empty vault. The manager may close it at any time, with a signature; anyone may close
/// it after the notice period.
pub fn close_vault(vault: Address, state: &Vault, manager_signs: bool) -> Instruction {
    let collateral = address::collateral(&state.mint);
    let mut instruction = data::CloseVault {}.to_instruction(accounts::CloseVaultResolved {
        manager: state.manager,
        vault,
        collateral,
        tokens: state.tokens,
        share_mint: state.share_mint,
        treasury: address::treasury(&collateral),
        mint: state.mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    });
    instruction.accounts[0].is_signer = manager_signs;
    instruction
}

//! Policies.

use std::ops::RangeInclusive;

use anchor_lang::{Address, solana_program::instruction::Instruction};
use driftshield::{ID, Policy, PolicyTerms, Vault, accounts, instruction as data};

use super::{markets::pages, tokens::token_program_id};
use crate::address;

/// Buys a policy. `source` is the holder's token account; [`crate::quote`] computes the premium and
/// the security rent.
pub fn buy_policy(
    holder: Address,
    id: u64,
    vault: Address,
    state: &Vault,
    model: Address,
    source: Address,
    terms: PolicyTerms,
) -> Instruction {
    data::BuyPolicy { id, terms }.to_instruction(accounts::BuyPolicyResolved {
        holder,
        config: address::config(),
        collateral: address::collateral(&state.mint),
        model,
        vault,
        exposure: address::exposure(&vault, &model),
        policy: address::policy(&vault, &holder, id),
        source,
        tokens: state.tokens,
        bond_vault: address::bond_vault(&model),
        mint: state.mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

/// Claims a policy with the run that starts at `first_window` and has as many windows as the
/// policy's persistence. Pays the holder's associated token account.
pub fn claim_policy(policy: &Policy, state: &Vault, first_window: u64) -> Instruction {
    let mut instruction =
        data::ClaimPolicy { first_window }.to_instruction(claim_accounts(policy, state));
    let last_window = first_window.saturating_add(u64::from(policy.persistence) - 1);
    instruction
        .accounts
        .extend(pages(&policy.model, first_window..=last_window));
    instruction
}

/// Cancels a policy. Pays the refund to the holder's associated token account.
pub fn cancel_policy(policy: &Policy, state: &Vault) -> Instruction {
    let mut instruction = data::CancelPolicy {}.to_instruction(claim_accounts(policy, state));
    instruction.accounts[0].is_signer = true;
    instruction
}

fn claim_accounts(policy: &Policy, state: &Vault) -> accounts::ClaimPolicyResolved {
    let holder = policy.holder;
    accounts::ClaimPolicyResolved {
        holder,
        model: policy.model,
        vault: policy.vault,
        exposure: address::exposure(&policy.vault, &policy.model),
        policy: address::policy(&policy.vault, &holder, policy.id),
        tokens: state.tokens,
        destination: address::token_account(&holder, &state.mint, state.token_program.into()),
        mint: state.mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    }
}

/// Renews a policy. The premium and the security rent are paid from the holder's token account
/// `source`: by the holder's signature or, without it, by the holder's approval of
/// [`address::renewal_authority`].
pub fn renew_policy(
    policy: &Policy,
    state: &Vault,
    source: Address,
    holder_signs: bool,
) -> Instruction {
    let holder = policy.holder;
    let mut instruction = data::RenewPolicy {}.to_instruction(accounts::RenewPolicyResolved {
        holder,
        config: address::config(),
        collateral: address::collateral(&state.mint),
        model: policy.model,
        vault: policy.vault,
        exposure: address::exposure(&policy.vault, &policy.model),
        policy: address::policy(&policy.vault, &holder, policy.id),
        source,
        tokens: state.tokens,
        bond_vault: address::bond_vault(&policy.model),
        mint: state.mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    });
    instruction.accounts[0].is_signer = holder_signs;
    instruction
}

/// Decides about a term on probation. Pays a refund to the holder's associated token account.
pub fn begin_policy(policy: &Policy, state: &Vault) -> Instruction {
    let mut instruction = data::BeginPolicy {}.to_instruction(claim_accounts(policy, state));
    let pages = pages(&policy.model, policy.windows_to_begin());
    instruction.accounts.extend(pages);
    instruction
}

/// Sets aside the premium of the windows without a value among `windows`, which are those of
/// [`Policy::windows_to_set_aside`] at the time at which the transaction lands.
pub fn set_aside_premium(policy: &Policy, windows: RangeInclusive<u64>) -> Instruction {
    let accounts = accounts::SetAsidePremiumResolved {
        model: policy.model,
        vault: policy.vault,
        policy: address::policy(&policy.vault, &policy.holder, policy.id),
        program: ID,
    };
    let mut instruction = data::SetAsidePremium {}.to_instruction(accounts);
    instruction.accounts.extend(pages(&policy.model, windows));
    instruction
}

/// Ends a policy that can no longer be claimed. Pays a refund to the holder's associated token
/// account.
pub fn expire_policy(policy: &Policy, state: &Vault) -> Instruction {
    let mut instruction = data::ExpirePolicy {}.to_instruction(claim_accounts(policy, state));
    let pages = pages(&policy.model, policy.windows_to_expire());
    instruction.accounts.extend(pages);
    instruction
}

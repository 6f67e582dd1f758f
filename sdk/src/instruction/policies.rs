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

/// Pays what a policy owes for its highest run, to the holder's associated token account.
/// [`examine_policy`] finds the run.
pub fn claim_policy(policy: &Policy, state: &Vault) -> Instruction {
    data::ClaimPolicy {}.to_instruction(claim_accounts(policy, state))
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

/// Examines windows of a policy, and sets aside what they are worth. `windows` are those of
/// [`Policy::windows_to_examine`], or the first of them.
pub fn examine_policy(policy: &Policy, windows: RangeInclusive<u64>) -> Instruction {
    let accounts = accounts::ExaminePolicyResolved {
        model: policy.model,
        vault: policy.vault,
        policy: address::policy(&policy.vault, &policy.holder, policy.id),
        program: ID,
    };
    let mut instruction = data::ExaminePolicy {}.to_instruction(accounts);
    instruction.accounts.extend(pages(&policy.model, windows));
    instruction
}

/// Ends a policy whose claim grace is over. Pays what it owes to the holder's associated token account.
pub fn expire_policy(policy: &Policy, state: &Vault) -> Instruction {
    let mut instruction = data::ExpirePolicy {}.to_instruction(claim_accounts(policy, state));
    let pages = pages(&policy.model, policy.windows_to_expire());
    instruction.accounts.extend(pages);
    instruction
}

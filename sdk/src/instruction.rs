//! Instructions, ready to sign. Where an account's state decides on other accounts, the builder
//! takes the account as it was read.
//!
//! A payout goes to the payee's associated token account, which has to exist: send
//! [`create_token_account`] ahead of it in the same transaction, it does nothing where there is
//! one.

use anchor_lang::{
    Address,
    solana_program::instruction::{AccountMeta, Instruction},
};
use anchor_spl::associated_token;
use driftshield::{
    ChallengePayee, Collateral, CollateralTerms, ConfigParams, FeePayee, ID, ListingTerms, Market,
    MarketTerms, MetricSpec, Model, ModelTerms, Policy, PolicyTerms, PremiumPayee, Receipt,
    TokenProgram, Vault, VaultTerms, accounts, instruction as data,
};

use crate::address;

/// Makes `owner`'s associated token account for `mint` at `payer`'s expense, if it is missing.
pub fn create_token_account(
    payer: &Address,
    owner: &Address,
    mint: &Address,
    program: TokenProgram,
) -> Instruction {
    const CREATE_IDEMPOTENT: u8 = 1;
    Instruction {
        program_id: associated_token::ID,
        accounts: vec![
            AccountMeta::new(*payer, true),
            AccountMeta::new(address::token_account(owner, mint, program), false),
            AccountMeta::new_readonly(*owner, false),
            AccountMeta::new_readonly(*mint, false),
            AccountMeta::new_readonly(Address::default(), false), // the system program
            AccountMeta::new_readonly(program.id(), false),
        ],
        data: vec![CREATE_IDEMPOTENT],
    }
}

/// Lets `amount` base units of `owner`'s associated token account be taken for renewals of its
/// policies. A token account has one delegate: who was it before, is it no longer.
pub fn approve_renewals(
    owner: &Address,
    mint: &Address,
    program: TokenProgram,
    amount: u64,
) -> Instruction {
    const APPROVE: u8 = 4;
    Instruction {
        program_id: program.id(),
        accounts: vec![
            AccountMeta::new(address::token_account(owner, mint, program), false),
            AccountMeta::new_readonly(address::renewal_authority(owner), false),
            AccountMeta::new_readonly(*owner, true),
        ],
        data: [&[APPROVE][..], &amount.to_le_bytes()].concat(),
    }
}

/// Lets nothing more of `owner`'s associated token account be taken by anybody else.
pub fn revoke_renewals(owner: &Address, mint: &Address, program: TokenProgram) -> Instruction {
    const REVOKE: u8 = 5;
    Instruction {
        program_id: program.id(),
        accounts: vec![
            AccountMeta::new(address::token_account(owner, mint, program), false),
            AccountMeta::new_readonly(*owner, true),
        ],
        data: vec![REVOKE],
    }
}

/// Sets the program up. `authority` is its upgrade authority.
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

pub fn update_config(
    admin: Address,
    guardian: Address,
    arbiter: Address,
    params: ConfigParams,
) -> Instruction {
    data::UpdateConfig {
        guardian,
        arbiter,
        params,
    }
    .to_instruction(accounts::UpdateConfigResolved {
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

/// `paused`: bits of [`crate::pause`]. `authority` is the guardian or the admin.
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

/// Pays `amount` base units of a collateral to the token account `destination`.
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
        token_program: program_of(state.token_program),
        program: ID,
    })
}

/// `bonds` is the collateral of the model's bonds, markets and cover.
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
        token_program: program_of(bonds.token_program),
        bond_vault: address::bond_vault(&address::model(&owner, id)),
        program: ID,
    })
}

pub fn update_model(owner: Address, model: Address, terms: ModelTerms) -> Instruction {
    data::UpdateModel { terms }.to_instruction(accounts::UpdateModelResolved {
        owner,
        config: address::config(),
        model,
        program: ID,
    })
}

pub fn retire_model(owner: Address, model: Address) -> Instruction {
    data::RetireModel {}.to_instruction(accounts::RetireModelResolved {
        owner,
        model,
        program: ID,
    })
}

/// `source` is the oracle's token account.
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
        source,
        collateral: address::collateral(&state.bond_mint),
        bond_vault: state.bond_vault,
        mint: state.bond_mint,
        token_program: program_of(state.token_program),
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

/// Pays `oracle`'s associated token account.
pub fn withdraw_bond(oracle: Address, model: Address, state: &Model) -> Instruction {
    data::WithdrawBond {}.to_instruction(accounts::WithdrawBondResolved {
        oracle,
        model,
        seat: address::seat(&model, &oracle),
        bond_vault: state.bond_vault,
        destination: address::token_account(&oracle, &state.bond_mint, state.token_program.into()),
        mint: state.bond_mint,
        token_program: program_of(state.token_program),
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

/// `counts` by bin; `evidence_hash` is the SHA-256 of the document at `evidence_uri`.
pub fn submit_receipt(
    oracle: Address,
    model: Address,
    window: u64,
    counts: Vec<u32>,
    evidence_hash: [u8; 32],
    evidence_uri: String,
) -> Instruction {
    data::SubmitReceipt {
        window,
        counts,
        evidence_hash,
        evidence_uri,
    }
    .to_instruction(accounts::SubmitReceiptResolved {
        oracle,
        model,
        seat: address::seat(&model, &oracle),
        receipt: address::receipt(&model, window),
        program: ID,
    })
}

/// `source` is the challenger's token account.
pub fn challenge_receipt(
    challenger: Address,
    model: Address,
    state: &Model,
    window: u64,
    source: Address,
) -> Instruction {
    data::ChallengeReceipt {}.to_instruction(accounts::ChallengeReceiptResolved {
        challenger,
        model,
        receipt: address::receipt(&model, window),
        source,
        collateral: address::collateral(&state.bond_mint),
        bond_vault: state.bond_vault,
        mint: state.bond_mint,
        token_program: program_of(state.token_program),
        program: ID,
    })
}

/// `counts` by bin, as the arbiter finds them right. `state` and `receipt` tell whose seats the
/// ruling touches.
pub fn rule_receipt(
    model: Address,
    state: &Model,
    receipt: &Receipt,
    counts: Vec<u32>,
) -> Instruction {
    let mut instruction =
        data::RuleReceipt { counts }.to_instruction(accounts::RuleReceiptResolved {
            arbiter: state.arbiter,
            model,
            receipt: address::receipt(&model, receipt.window),
            program: ID,
        });
    let seats = receipt
        .submitters()
        .map(|oracle| address::seat(&model, &state.oracles[oracle]));
    instruction
        .accounts
        .extend(seats.map(|seat| AccountMeta::new(seat, false)));
    instruction
}

pub fn finalize_receipt(model: Address, window: u64) -> Instruction {
    data::FinalizeReceipt {}.to_instruction(accounts::FinalizeReceiptResolved {
        model,
        receipt: address::receipt(&model, window),
        program: ID,
    })
}

/// Pays the treasury, or the challenger's associated token account.
pub fn collect_challenge(
    model: Address,
    state: &Model,
    receipt: &Receipt,
    payee: ChallengePayee,
) -> Instruction {
    let mint = state.bond_mint;
    let collateral = address::collateral(&mint);
    data::CollectChallenge { payee }.to_instruction(accounts::CollectChallengeResolved {
        challenger: receipt.challenger,
        model,
        receipt: address::receipt(&model, receipt.window),
        collateral,
        bond_vault: state.bond_vault,
        destination: match payee {
            ChallengePayee::Treasury => address::treasury(&collateral),
            ChallengePayee::Challenger => {
                address::token_account(&receipt.challenger, &mint, state.token_program.into())
            }
        },
        mint,
        token_program: program_of(state.token_program),
        program: ID,
    })
}

pub fn close_receipt(receipt: &Receipt) -> Instruction {
    data::CloseReceipt {}.to_instruction(accounts::CloseReceiptResolved {
        payer: receipt.payer,
        model: receipt.model,
        receipt: address::receipt(&receipt.model, receipt.window),
        program: ID,
    })
}

/// `state` is the model.
pub fn create_market(
    creator: Address,
    id: u64,
    model: Address,
    state: &Model,
    terms: MarketTerms,
) -> Instruction {
    data::CreateMarket { id, terms }.to_instruction(accounts::CreateMarketResolved {
        creator,
        config: address::config(),
        model,
        collateral: address::collateral(&state.bond_mint),
        mint: state.bond_mint,
        market: address::market(&creator, id),
        token_program: program_of(state.token_program),
        vault: address::market_vault(&address::market(&creator, id)),
        program: ID,
    })
}

/// The creator may cancel at any time: then it signs. Anyone may once betting is closed.
pub fn cancel_market(market: Address, state: &Market, creator_signs: bool) -> Instruction {
    let mut instruction = data::CancelMarket {}.to_instruction(close_accounts(market, state));
    instruction.accounts[0].is_signer = creator_signs;
    instruction
}

/// `source` is the bettor's token account; `min_multiple` in thousandths of a stake. The bet
/// lands only on the market whose terms `state` was read with.
pub fn place_bet(
    bettor: Address,
    market: Address,
    state: &Market,
    source: Address,
    outcome: u8,
    amount: u64,
    min_multiple: u64,
) -> Instruction {
    data::PlaceBet {
        outcome,
        amount,
        min_multiple,
        terms_hash: state.terms_hash,
    }
    .to_instruction(accounts::PlaceBetResolved {
        bettor,
        config: address::config(),
        collateral: address::collateral(&state.mint),
        model: state.model,
        market,
        source,
        vault: state.vault,
        mint: state.mint,
        token_program: program_of(state.token_program),
        program: ID,
    })
}

/// Settles the next `windows` windows, as many as are left at most.
pub fn settle_market(market: Address, state: &Market, windows: u64) -> Instruction {
    let mut instruction = data::SettleMarket {}.to_instruction(accounts::SettleMarketResolved {
        model: state.model,
        market,
        program: ID,
    });
    let end = state
        .next_window
        .saturating_add(windows)
        .min(state.last_window + 1);
    let receipts = (state.next_window..end).map(|window| address::receipt(&state.model, window));
    instruction
        .accounts
        .extend(receipts.map(|receipt| AccountMeta::new(receipt, false)));
    instruction
}

/// Pays the position's owner's associated token account.
pub fn claim(owner: Address, market: Address, state: &Market) -> Instruction {
    data::Claim {}.to_instruction(accounts::ClaimResolved {
        owner,
        market,
        position: address::position(&market, &owner),
        vault: state.vault,
        destination: address::token_account(&owner, &state.mint, state.token_program.into()),
        mint: state.mint,
        token_program: program_of(state.token_program),
        program: ID,
    })
}

/// Pays the treasury, or the creator's associated token account.
pub fn collect_fees(market: Address, state: &Market, payee: FeePayee) -> Instruction {
    let collateral = address::collateral(&state.mint);
    data::CollectFees { payee }.to_instruction(accounts::CollectFeesResolved {
        creator: state.creator,
        market,
        collateral,
        vault: state.vault,
        destination: match payee {
            FeePayee::Treasury => address::treasury(&collateral),
            FeePayee::Creator => {
                address::token_account(&state.creator, &state.mint, state.token_program.into())
            }
        },
        mint: state.mint,
        token_program: program_of(state.token_program),
        program: ID,
    })
}

pub fn close_market(market: Address, state: &Market) -> Instruction {
    data::CloseMarket {}.to_instruction(close_accounts(market, state))
}

fn close_accounts(market: Address, state: &Market) -> accounts::CloseMarketResolved {
    let collateral = address::collateral(&state.mint);
    accounts::CloseMarketResolved {
        creator: state.creator,
        market,
        collateral,
        vault: state.vault,
        treasury: address::treasury(&collateral),
        mint: state.mint,
        token_program: program_of(state.token_program),
        program: ID,
    }
}

// Vaults.

/// `collateral` is of the vault's mint.
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
        token_program: program_of(collateral.token_program),
        tokens: address::vault_tokens(&vault),
        share_mint: address::share_mint(&vault),
        escrow: address::escrow(&vault),
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
        program: ID,
    })
}

/// Names the listings of `state`, the vault as it was read. Pays from the token account `source`;
/// shares go to `owner`'s associated account of them, which [`create_share_account`] makes.
pub fn deposit(
    owner: Address,
    vault: Address,
    state: &Vault,
    source: Address,
    amount: u64,
    min_shares: u64,
) -> Instruction {
    data::Deposit {
        amount,
        min_shares,
        listings: state.listings,
    }
    .to_instruction(accounts::DepositResolved {
        owner,
        config: address::config(),
        collateral: address::collateral(&state.mint),
        vault,
        source,
        tokens: state.tokens,
        mint: state.mint,
        share_mint: state.share_mint,
        destination: address::share_account(&owner, state),
        token_program: program_of(state.token_program),
        program: ID,
    })
}

/// Makes `owner`'s account of a vault's shares at `payer`'s expense, if it is missing.
pub fn create_share_account(payer: &Address, owner: &Address, state: &Vault) -> Instruction {
    create_token_account(payer, owner, &state.share_mint, TokenProgram::SplToken)
}

/// Takes the shares from `owner`'s associated account of them.
pub fn request_withdraw(owner: Address, vault: Address, state: &Vault, shares: u64) -> Instruction {
    data::RequestWithdraw { shares }.to_instruction(accounts::RequestWithdrawResolved {
        owner,
        vault,
        source: address::share_account(&owner, state),
        escrow: state.escrow,
        share_mint: state.share_mint,
        program: ID,
    })
}

/// Gives the shares back to `owner`'s associated account of them.
pub fn cancel_withdraw(owner: Address, vault: Address, state: &Vault) -> Instruction {
    data::CancelWithdraw {}.to_instruction(accounts::CancelWithdrawResolved {
        owner,
        vault,
        request: address::withdraw_request(&vault, &owner),
        escrow: state.escrow,
        share_mint: state.share_mint,
        destination: address::share_account(&owner, state),
        program: ID,
    })
}

/// Pays `owner`'s associated token account.
pub fn withdraw(owner: Address, vault: Address, state: &Vault) -> Instruction {
    data::Withdraw {}.to_instruction(accounts::WithdrawResolved {
        owner,
        vault,
        request: address::withdraw_request(&vault, &owner),
        escrow: state.escrow,
        share_mint: state.share_mint,
        tokens: state.tokens,
        destination: address::token_account(&owner, &state.mint, state.token_program.into()),
        mint: state.mint,
        token_program: program_of(state.token_program),
        program: ID,
    })
}

/// Pays the treasury, or the manager's associated token account.
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
        token_program: program_of(state.token_program),
        program: ID,
    })
}

pub fn close_exposure(vault: Address, state: &Vault, model: Address) -> Instruction {
    data::CloseExposure {}.to_instruction(accounts::CloseExposureResolved {
        manager: state.manager,
        model,
        vault,
        exposure: address::exposure(&vault, &model),
        escrow: state.escrow,
        share_mint: state.share_mint,
        program: ID,
    })
}

/// Anyone may close an empty vault; within its notice the manager signs.
pub fn close_vault(vault: Address, state: &Vault, manager_signs: bool) -> Instruction {
    let collateral = address::collateral(&state.mint);
    let mut instruction = data::CloseVault {}.to_instruction(accounts::CloseVaultResolved {
        manager: state.manager,
        vault,
        collateral,
        tokens: state.tokens,
        escrow: state.escrow,
        share_mint: state.share_mint,
        treasury: address::treasury(&collateral),
        mint: state.mint,
        token_program: program_of(state.token_program),
        program: ID,
    });
    instruction.accounts[0].is_signer = manager_signs;
    instruction
}

// Policies.

/// `source` is the holder's token account; [`crate::quote`] tells what it pays.
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
        mint: state.mint,
        token_program: program_of(state.token_program),
        program: ID,
    })
}

/// Claims by the receipts of as many windows as the policy's persistence, from `first_window` on.
/// Pays the holder's associated token account.
pub fn claim_policy(policy: &Policy, state: &Vault, first_window: u64) -> Instruction {
    let mut instruction = data::ClaimPolicy {}.to_instruction(claim_accounts(policy, state));
    let end = first_window.saturating_add(policy.persistence.into());
    let receipts = (first_window..end).map(|window| address::receipt(&policy.model, window));
    instruction
        .accounts
        .extend(receipts.map(|receipt| AccountMeta::new_readonly(receipt, false)));
    instruction
}

/// Pays the holder's associated token account.
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
        token_program: program_of(state.token_program),
        program: ID,
    }
}

/// Pays from the holder's token account `source`: by the holder's signature or, where it doesn't
/// sign, by what it delegated to [`address::renewal_authority`].
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
        mint: state.mint,
        token_program: program_of(state.token_program),
        program: ID,
    });
    instruction.accounts[0].is_signer = holder_signs;
    instruction
}

pub fn expire_policy(policy: &Policy) -> Instruction {
    let holder = policy.holder;
    data::ExpirePolicy {}.to_instruction(accounts::ExpirePolicyResolved {
        holder,
        model: policy.model,
        vault: policy.vault,
        exposure: address::exposure(&policy.vault, &policy.model),
        policy: address::policy(&policy.vault, &holder, policy.id),
        program: ID,
    })
}

fn program_of(program: impl Into<TokenProgram>) -> Address {
    program.into().id()
}

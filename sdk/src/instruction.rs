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
use anchor_spl::{associated_token, token};
use driftshield::{
    ChallengePayee, CollateralTerms, ConfigParams, FeePayee, ID, Market, MarketTerms, MetricSpec,
    Model, ModelTerms, Receipt, accounts, instruction as data,
};

use crate::address;

/// Makes `owner`'s associated token account for `mint` at `payer`'s expense, if it is missing.
pub fn create_token_account(payer: &Address, owner: &Address, mint: &Address) -> Instruction {
    const CREATE_IDEMPOTENT: u8 = 1;
    Instruction {
        program_id: associated_token::ID,
        accounts: vec![
            AccountMeta::new(*payer, true),
            AccountMeta::new(address::token_account(owner, mint), false),
            AccountMeta::new_readonly(*owner, false),
            AccountMeta::new_readonly(*mint, false),
            AccountMeta::new_readonly(Address::default(), false), // the system program
            AccountMeta::new_readonly(token::ID, false),
        ],
        data: vec![CREATE_IDEMPOTENT],
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
        token_program: token::ID,
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

/// Pays `amount` base units of `mint` to the token account `destination`.
pub fn withdraw_treasury(
    admin: Address,
    mint: Address,
    destination: Address,
    amount: u64,
) -> Instruction {
    let collateral = address::collateral(&mint);
    data::WithdrawTreasury { amount }.to_instruction(accounts::WithdrawTreasuryResolved {
        admin,
        config: address::config(),
        collateral,
        treasury: address::treasury(&collateral),
        destination,
        mint,
        token_program: token::ID,
        program: ID,
    })
}

pub fn register_model(
    owner: Address,
    id: u64,
    bond_mint: Address,
    spec: MetricSpec,
    terms: ModelTerms,
) -> Instruction {
    data::RegisterModel { id, spec, terms }.to_instruction(accounts::RegisterModelResolved {
        owner,
        config: address::config(),
        collateral: address::collateral(&bond_mint),
        bond_mint,
        model: address::model(&owner, id),
        token_program: token::ID,
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
        bond_vault: state.bond_vault,
        mint: state.bond_mint,
        token_program: token::ID,
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
        destination: address::token_account(&oracle, &state.bond_mint),
        mint: state.bond_mint,
        token_program: token::ID,
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
        bond_vault: state.bond_vault,
        mint: state.bond_mint,
        token_program: token::ID,
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
            ChallengePayee::Challenger => address::token_account(&receipt.challenger, &mint),
        },
        mint,
        token_program: token::ID,
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

/// `mint` is the model's bond mint.
pub fn create_market(
    creator: Address,
    id: u64,
    model: Address,
    mint: Address,
    terms: MarketTerms,
) -> Instruction {
    data::CreateMarket { id, terms }.to_instruction(accounts::CreateMarketResolved {
        creator,
        config: address::config(),
        model,
        collateral: address::collateral(&mint),
        mint,
        market: address::market(&creator, id),
        token_program: token::ID,
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
        token_program: token::ID,
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
        destination: address::token_account(&owner, &state.mint),
        mint: state.mint,
        token_program: token::ID,
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
            FeePayee::Creator => address::token_account(&state.creator, &state.mint),
        },
        mint: state.mint,
        token_program: token::ID,
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
        token_program: token::ID,
        program: ID,
    }
}

//! Receipts and their disputes.

use anchor_lang::{
    Address,
    solana_program::instruction::{AccountMeta, Instruction},
};
use driftshield::{ChallengePayee, ID, Model, Receipt, accounts, instruction as data};

use super::tokens::token_program_id;
use crate::address;

/// Submits an oracle's `counts`, the number of rows by bin. `evidence_hash` is the SHA-256 of the
/// document at `evidence_uri`.
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

/// Challenges a receipt's proposed value. `state` is the model's account, `source` the token
/// account that pays the challenge bond.
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
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

/// Ends a dispute. `counts` are the correct row counts by bin, as ruled by the arbiter. `state` is
/// the model's account. The instruction passes the seats of all oracles that submitted.
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

/// Pays a dispute's credit to the treasury or to the challenger's associated token account.
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
        token_program: token_program_id(state.token_program),
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

//! Receipts and their disputes.

use anchor_lang::{
    Address,
    solana_program::instruction::{AccountMeta, Instruction},
};
use driftshield::{ChallengePayee, ID, Model, Receipt, Series, accounts, instruction as data};

use super::tokens::token_program_id;
use crate::address;

/// Submits an oracle's `counts`, the number of rows by bin. Fewer rows than the model's
/// `min_samples` mean that the window is thin. `evidence_hash` is the SHA-256 of the
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
        series: address::series(&model, window),
        program: ID,
    })
}

/// Challenges what is proposed for a window, a dispute that nobody has challenged, or a window to which
/// nobody has submitted. `counts` are those that the challenger asserts, the number of rows by bin.
/// `state` is the model's account, `source` the token account that pays the challenge bond.
pub fn challenge_receipt(
    challenger: Address,
    model: Address,
    state: &Model,
    window: u64,
    counts: Vec<u32>,
    source: Address,
) -> Instruction {
    data::ChallengeReceipt { window, counts }.to_instruction(accounts::ChallengeReceiptResolved {
        challenger,
        model,
        receipt: address::receipt(&model, window),
        series: address::series(&model, window),
        source,
        collateral: address::collateral(&state.bond_mint),
        bond_vault: state.bond_vault,
        mint: state.bond_mint,
        token_program: token_program_id(state.token_program),
        program: ID,
    })
}

/// Ends a dispute. `counts` are the correct row counts by bin, as ruled by the arbiter; fewer rows than
/// the model's `min_samples` mean that the window is thin, and `None` that there is no data. `state` is
/// the model's account. The instruction passes the seats of all oracles that submitted.
pub fn rule_receipt(
    model: Address,
    state: &Model,
    receipt: &Receipt,
    counts: Option<Vec<u32>>,
) -> Instruction {
    let mut instruction =
        data::RuleReceipt { counts }.to_instruction(accounts::RuleReceiptResolved {
            arbiter: state.arbiter,
            model,
            receipt: address::receipt(&model, receipt.window),
            series: address::series(&model, receipt.window),
            payer: receipt.payer,
            program: ID,
        });
    let seats = seats(model, state, receipt.submitters());
    instruction.accounts.extend(seats);
    instruction
}

/// Returns what a ruling slashed to the seats. `state` is the model's account.
pub fn return_slashes(
    admin: Address,
    model: Address,
    state: &Model,
    receipt: &Receipt,
) -> Instruction {
    let mut instruction = data::ReturnSlashes {}.to_instruction(accounts::ReturnSlashesResolved {
        admin,
        config: address::config(),
        model,
        receipt: address::receipt(&model, receipt.window),
        payer: receipt.payer,
        program: ID,
    });
    let seats = seats(model, state, receipt.slashed());
    instruction.accounts.extend(seats);
    instruction
}

/// The seats of `oracles`, indices of the model's oracles.
fn seats(
    model: Address,
    state: &Model,
    oracles: impl Iterator<Item = usize>,
) -> impl Iterator<Item = AccountMeta> {
    oracles
        .map(move |oracle| AccountMeta::new(address::seat(&model, &state.oracles[oracle]), false))
}

/// Applies the steps of a receipt that are due. Closes the receipt if it is settled and owes nothing.
pub fn finalize_receipt(receipt: &Receipt) -> Instruction {
    let (model, window) = (receipt.model, receipt.window);
    data::FinalizeReceipt {}.to_instruction(accounts::FinalizeReceiptResolved {
        model,
        receipt: address::receipt(&model, window),
        series: address::series(&model, window),
        payer: receipt.payer,
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
        payer: receipt.payer,
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

/// Closes a page of a model's series after the retention of its last window.
pub fn close_series(series: &Series) -> Instruction {
    data::CloseSeries {}.to_instruction(accounts::CloseSeriesResolved {
        payer: series.payer,
        model: series.model,
        series: address::series_page(&series.model, series.page),
        program: ID,
    })
}

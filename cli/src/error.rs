//! Prints errors, and converts errors of the program's rules that are evaluated on the client.

use anchor_lang::solana_program::instruction::error::InstructionError;
use driftshield_sdk::{
    Refusal, error, refusal,
    rpc::{self, TransactionError, TransactionFailure},
};
use serde_json::json;

/// Prints an error to stderr, as text or JSON.
pub fn report(error: &anyhow::Error, json: bool) {
    if !json {
        eprintln!("error: {error:#}");
        return;
    }
    let program_error = match error.downcast_ref() {
        Some(rpc::Error::TransactionFailed(failure)) => failure.code().and_then(error::by_code),
        _ => None,
    };
    let error = match program_error {
        Some(info) => json!({ "code": info.code, "name": info.name, "message": info.message }),
        None => json!({ "code": null, "name": null, "message": format!("{error:#}") }),
    };
    eprintln!("{}", json!({ "error": error }));
}

/// Converts an error of the program's rules, evaluated on the client, into the failure with which
/// the transaction would end.
pub fn program_error(error: anchor_lang::Error) -> anyhow::Error {
    match error {
        anchor_lang::Error::Custom(code) => {
            let failure = TransactionFailure {
                error: TransactionError::InstructionError(0, InstructionError::Custom(code)),
                logs: vec![],
            };
            rpc::Error::from(failure).into()
        }
        error => anyhow::anyhow!("{error:?}"),
    }
}

/// Converts the refusal of a purchase or renewal into the failure with which the transaction would
/// end, and says what the rule would allow. `decimals` are those of the mint.
pub fn refused(refusal: Refusal, decimals: u8) -> anyhow::Error {
    let error = program_error(refusal::error(refusal).into());
    match refusal::advice(&refusal, decimals) {
        Some(advice) => error.context(advice),
        None => error,
    }
}

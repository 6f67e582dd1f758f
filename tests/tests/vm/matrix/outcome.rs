//! Names of transaction outcomes, as the tables write them.

use anchor_lang::ErrorCode;
use driftshield_sdk::{ID, error};
use driftshield_tests::world::Outcome;
use litesvm::types::FailedTransactionMetadata;
use solana_instruction_error::InstructionError;
use solana_system_interface::error::SystemError;
use solana_transaction_error::TransactionError;
use spl_token_interface::error::TokenError;

/// `ok`, or the name of the error.
pub fn name(outcome: &Outcome) -> String {
    match outcome {
        Ok(_) => "ok".into(),
        Err(failure) => failure_name(failure),
    }
}

/// The name of the error. It is prefixed with the name of the failing program unless that is
/// DriftShield, and with `runtime` if no instruction failed.
fn failure_name(failure: &FailedTransactionMetadata) -> String {
    let TransactionError::InstructionError(_, error) = &failure.err else {
        return format!("runtime:{:?}", failure.err);
    };
    let program = failed_program(&failure.meta.logs);
    match (error, program.as_deref()) {
        (InstructionError::Custom(code), None | Some("driftshield")) => custom(*code),
        (InstructionError::Custom(code), Some(program @ ("token" | "token-2022"))) => {
            let error = TokenError::try_from(*code);
            error.map_or_else(
                |_| format!("{program}:{code}"),
                |error| format!("{program}:{error:?}"),
            )
        }
        (InstructionError::Custom(code), Some("system")) => {
            let error = SystemError::try_from(*code);
            error.map_or_else(
                |_| format!("system:{code}"),
                |error| format!("system:{error:?}"),
            )
        }
        (error, None | Some("driftshield")) => format!("{error:?}"),
        (error, Some(program)) => format!("{program}:{error:?}"),
    }
}

/// The name of a custom error of DriftShield or of Anchor; `Custom:code` if it is unknown.
fn custom(code: u32) -> String {
    if let Some(error) = error::by_code(code) {
        return error.name.clone();
    }
    let anchor_errors = [
        (ErrorCode::ConstraintMut, "ConstraintMut"),
        (ErrorCode::ConstraintRaw, "ConstraintRaw"),
        (ErrorCode::ConstraintExecutable, "ConstraintExecutable"),
        (ErrorCode::ConstraintClose, "ConstraintClose"),
        (ErrorCode::ConstraintAddress, "ConstraintAddress"),
        (
            ErrorCode::ConstraintDuplicateMutableAccount,
            "ConstraintDuplicateMutableAccount",
        ),
    ];
    for (error, name) in anchor_errors {
        if anchor_lang::Error::from(error) == anchor_lang::Error::Custom(code) {
            return name.into();
        }
    }
    format!("Custom:{code}")
}

/// The program whose failure is logged first, which is the innermost one: its name, or its address if
/// it is unknown. `None` if no failure is logged.
fn failed_program(logs: &[String]) -> Option<String> {
    let failed = logs.iter().find_map(|line| {
        let (program, _) = line.strip_prefix("Program ")?.split_once(" failed")?;
        Some(program)
    })?;
    let names = [
        (ID, "driftshield"),
        (anchor_spl::token::ID, "token"),
        (anchor_spl::token_2022::ID, "token-2022"),
        (anchor_spl::associated_token::ID, "associated-token"),
        (anchor_lang::Address::default(), "system"),
    ];
    let mut names = names.iter();
    let name = names.find(|(id, _)| id.to_string() == failed);
    Some(name.map_or_else(|| failed.to_owned(), |(_, name)| (*name).to_owned()))
}

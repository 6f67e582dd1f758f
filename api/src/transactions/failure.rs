//! Why no transaction was built.

use driftshield_sdk::{
    Address, ID, error,
    rpc::{self, TransactionError, TransactionFailure},
};

use crate::problem::{
    Problem,
    kinds::{self, Kind},
};

/// Why no transaction was built. The message is the `detail` that the client reads.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(
        "this server has no RPC node, so it builds no transactions: its operator can set --rpc-url \
         (RPC_URL)"
    )]
    NoNode,
    /// The reason is for the operator.
    #[error("the RPC node is unreachable or refused a request; retry in a few seconds")]
    Node(String),
    #[error("the RPC node did not answer in time; retry in a few seconds")]
    NodeTooSlow,
    #[error("the RPC node has not reached `min_slot` {min_slot}; retry")]
    SlotNotReached { min_slot: u64 },
    #[error(
        "account {0} does not exist on the chain; check the address, and if the account was created \
         just now, retry with `min_slot` set to the slot of the transaction that created it"
    )]
    NoAccount(Address),
    /// The account exists, but is not what the route needs.
    #[error("{0}")]
    WrongAccount(String),
    /// What the request is about does not exist.
    #[error("{0}")]
    Nothing(String),
    /// The transaction would fail for a reason outside of the program.
    #[error("the transaction would fail: {0}")]
    WouldFail(String),
}

impl Failure {
    pub fn kind(&self) -> &'static Kind {
        match self {
            Self::NoNode => &kinds::NO_RPC_NODE,
            Self::Node(_) | Self::NodeTooSlow => &kinds::RPC_UNAVAILABLE,
            Self::SlotNotReached { .. } => &kinds::SLOT_NOT_REACHED,
            Self::NoAccount(_) | Self::WrongAccount(_) | Self::Nothing(_) => &kinds::NOT_FOUND,
            Self::WouldFail(_) => &kinds::TRANSACTION_FAILS,
        }
    }

    /// Logs what the operator has to know of.
    pub fn log(&self) {
        match self {
            Self::Node(reason) => tracing::error!(%reason, "RPC request failed"),
            Self::NodeTooSlow => tracing::error!("RPC request took too long"),
            _ => {}
        }
    }
}

impl From<rpc::Error> for Failure {
    fn from(error: rpc::Error) -> Self {
        match error {
            rpc::Error::AccountNotFound(address) => Self::NoAccount(address),
            rpc::Error::WrongOwner(_)
            | rpc::Error::WrongType { .. }
            | rpc::Error::NotATokenAccount(_)
            | rpc::Error::NotAMint(_) => Self::WrongAccount(error.to_string()),
            rpc::Error::TooLarge(_) => Self::WouldFail(error.to_string()),
            // The node's URL may contain a secret: neither the answer nor the log has it.
            error => Self::Node(error.without_url()),
        }
    }
}

impl From<rpc::Error> for Problem {
    fn from(error: rpc::Error) -> Self {
        Failure::from(error).into()
    }
}

/// The problem of a transaction that failed in its simulation: the program's own error, or what
/// failed in words.
pub fn simulated(failure: &TransactionFailure) -> Problem {
    let program = failed_program(&failure.logs);
    let is_own = program.is_none_or(|program| program == ID.to_string());
    match failure.code().filter(|_| is_own).and_then(error::by_code) {
        Some(error) => Problem::ProgramError(error),
        None => Failure::WouldFail(in_words(failure, program)).into(),
    }
}

/// The program that failed first, which is the innermost one.
fn failed_program(logs: &[String]) -> Option<&str> {
    logs.iter().find_map(|log| {
        let (program, rest) = log.strip_prefix("Program ")?.split_once(' ')?;
        rest.starts_with("failed").then_some(program)
    })
}

fn in_words(failure: &TransactionFailure, program: Option<&str>) -> String {
    let reason = match &failure.error {
        TransactionError::AccountNotFound => {
            return "the fee payer has no SOL; fund it".to_owned();
        }
        TransactionError::InsufficientFundsForFee => {
            return "the fee payer has too little SOL for the fee; fund it".to_owned();
        }
        TransactionError::InsufficientFundsForRent { .. } => {
            return "an account would be left with too little SOL for its rent; fund the fee payer"
                .to_owned();
        }
        error => error,
    };
    let advice = match (program.unwrap_or_default(), failure.code()) {
        (SYSTEM, Some(0)) => "the account already exists; choose another id",
        (SYSTEM, Some(1)) => "insufficient SOL for the rent of a new account; fund the fee payer",
        (TOKEN | TOKEN_2022, Some(1)) => {
            "insufficient tokens; fund the token account that pays or lower the amount"
        }
        (TOKEN | TOKEN_2022, Some(4)) => "the token account belongs to another owner",
        (TOKEN | TOKEN_2022, Some(17)) => {
            "the token account is frozen; ask the token's issuer to thaw it"
        }
        _ => return format!("{}: {reason}", name(program)),
    };
    format!("{}: {advice}", name(program))
}

const SYSTEM: &str = "11111111111111111111111111111111";
const TOKEN: &str = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const TOKEN_2022: &str = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb";
const TOKEN_ACCOUNTS: &str = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL";

/// Name of the program that failed.
fn name(program: Option<&str>) -> String {
    match program {
        None => "the runtime".to_owned(),
        Some(SYSTEM) => "the system program".to_owned(),
        Some(TOKEN | TOKEN_2022) => "the token program".to_owned(),
        Some(TOKEN_ACCOUNTS) => "the associated token program".to_owned(),
        Some(program) if program == ID.to_string() => "the program".to_owned(),
        Some(program) => format!("program {program}"),
    }
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::{DriftShieldError, rpc::InstructionError};

    use super::*;

    fn failure(code: u32, failed: &[&str]) -> TransactionFailure {
        let log = |program: &&str| format!("Program {program} failed: custom program error");
        TransactionFailure {
            error: TransactionError::InstructionError(0, InstructionError::Custom(code)),
            logs: failed.iter().map(log).collect(),
        }
    }

    #[test]
    fn the_programs_own_error_keeps_its_number() {
        let code = error::code(DriftShieldError::BettingClosed);
        let own = ID.to_string();
        let Problem::ProgramError(error) = simulated(&failure(code, &[&own])) else {
            panic!("not an error of the program");
        };
        assert_eq!(error.name, "BettingClosed");
        // The same number of another program is not the program's.
        let other = simulated(&failure(code, &[TOKEN, &own]));
        assert_eq!(other.code(), "transaction-fails");
    }

    #[test]
    fn errors_of_other_programs_are_put_in_words() {
        let own = ID.to_string();
        let words = |code, failed: &[&str]| simulated(&failure(code, failed)).to_string();
        assert_eq!(
            words(1, &[TOKEN, &own]),
            "the transaction would fail: the token program: insufficient tokens; fund the token \
             account that pays or lower the amount"
        );
        assert!(words(0, &[SYSTEM, &own]).contains("choose another id"));
        assert!(words(17, &[TOKEN_2022]).contains("frozen"));
        assert!(words(3_012, &[&own]).starts_with("the transaction would fail: the program: "));
    }

    #[test]
    fn a_wallet_without_sol_is_told_so() {
        let failure = TransactionFailure {
            error: TransactionError::AccountNotFound,
            logs: vec![],
        };
        assert!(simulated(&failure).to_string().contains("has no SOL"));
    }
}

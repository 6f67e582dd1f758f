//! The program's errors: codes, names and messages.

use std::sync::LazyLock;

use driftshield::DriftShieldError;

use crate::idl::IDL;

/// An error of the program, as listed in its IDL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorInfo {
    pub code: u32,
    pub name: String,
    /// What went wrong and what to do about it.
    pub message: String,
}

static ERRORS: LazyLock<Vec<ErrorInfo>> = LazyLock::new(|| {
    IDL.errors
        .iter()
        .map(|error| ErrorInfo {
            code: error.code,
            name: error.name.clone(),
            message: error.msg.clone().expect("every error has a message"),
        })
        .collect()
});

/// All errors, in order of their codes.
pub fn all() -> &'static [ErrorInfo] {
    &ERRORS
}

/// The error with this code: the number in `Custom` of a failed instruction. `None` for codes of
/// Anchor and other programs.
pub fn by_code(code: u32) -> Option<&'static ErrorInfo> {
    ERRORS.iter().find(|error| error.code == code)
}

/// Code of `error`: the number in `Custom` of a failed instruction.
pub fn code(error: DriftShieldError) -> u32 {
    match anchor_lang::Error::from(error) {
        anchor_lang::Error::Custom(code) => code,
        other => unreachable!("{other:?} is not an error of the program"),
    }
}

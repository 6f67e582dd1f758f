//! The program's errors by number: name, and what to do.

use std::sync::LazyLock;

use driftshield::DriftShieldError;
use serde::Deserialize;

/// An error of the program, as its IDL tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ErrorInfo {
    pub code: u32,
    pub name: String,
    /// What went wrong and what to do about it.
    #[serde(rename = "msg")]
    pub message: String,
}

#[derive(Deserialize)]
struct Idl {
    errors: Vec<ErrorInfo>,
}

static ERRORS: LazyLock<Vec<ErrorInfo>> = LazyLock::new(|| {
    let idl: Idl = serde_json::from_str(include_str!("../../idl/driftshield.json"))
        .expect("the committed IDL is JSON");
    idl.errors
});

/// All errors, in order of their codes.
pub fn all() -> &'static [ErrorInfo] {
    &ERRORS
}

/// The error with this code, the number in `Custom` of a failed instruction. `None` for codes
/// of Anchor and other programs.
pub fn by_code(code: u32) -> Option<&'static ErrorInfo> {
    ERRORS.iter().find(|error| error.code == code)
}

/// The number that a failed instruction shows for `error`.
pub fn code(error: DriftShieldError) -> u32 {
    match anchor_lang::Error::from(error) {
        anchor_lang::Error::Custom(code) => code,
        other => unreachable!("{other:?} is not one of the program's own"),
    }
}

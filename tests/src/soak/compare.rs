//! Compares accounts on chain with the books, field by field.

mod books;
mod chain;

use driftshield_sdk::{Address, CollateralTerms, ConfigParams, VaultTerms};

pub use books::fields as fields_in_books;
pub use chain::fields as fields_on_chain;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(u128),
    Key(Address),
    Hash([u8; 32]),
    Config(Box<ConfigParams>),
    Collateral(CollateralTerms),
    Vault(VaultTerms),
}

/// Name and value of each compared field of an account.
pub type Fields = Vec<(&'static str, Value)>;

fn number(number: impl Into<u128>) -> Value {
    Value::Number(number.into())
}

fn time(secs: i64) -> Value {
    Value::Number(secs as u128)
}

/// Describes the first field that differs, or lists all fields if their number differs.
pub fn difference(expected: &Fields, found: &Fields) -> Option<String> {
    if expected.len() != found.len() {
        return Some(format!("should have {expected:?}, but has {found:?}"));
    }
    let mut pairs = std::iter::zip(expected, found);
    pairs
        .find(|(expected, found)| expected != found)
        .map(|((field, books), (_, chain))| {
            format!("{field} should be {books:?}, but is {chain:?}")
        })
}

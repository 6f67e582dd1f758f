//! The committed IDL and reference pages, and the error messages that the SDK reads from the IDL.

use std::{collections::BTreeMap, process::Command};

use driftshield_sdk::{
    Collateral, Config, DriftShieldError, Exposure, Market, Model, Policy, Position, Receipt, Seat,
    Series, Vault, WithdrawRequest, error,
};
use driftshield_tests::idl;

#[test]
fn generated_files_are_up_to_date() {
    let output = Command::new(env!("CARGO_BIN_EXE_idl"))
        .arg("--check")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

#[test]
fn account_sizes_in_the_idl_are_those_of_the_types() {
    macro_rules! sizes {
        ($($name:ident),* $(,)?) => {
            BTreeMap::from([$((stringify!($name).to_owned(), 8 + size_of::<$name>())),*])
        };
    }
    let sizes = sizes!(
        Collateral,
        Config,
        Exposure,
        Market,
        Model,
        Policy,
        Position,
        Receipt,
        Seat,
        Series,
        Vault,
        WithdrawRequest,
    );
    let idl = idl::committed().unwrap();
    assert_eq!(idl::account_sizes(&idl).unwrap(), sizes);
}

#[test]
fn the_sdk_finds_errors_by_their_codes() {
    for error in [
        DriftShieldError::NotUpgradeAuthority,
        DriftShieldError::WrongDestination,
        DriftShieldError::VersionMismatch,
        DriftShieldError::AlreadySubmitted,
        DriftShieldError::MultipleTooLow,
        DriftShieldError::Insolvent,
    ] {
        let info = error::by_code(error::code(error)).unwrap();
        assert_eq!(info.name, format!("{error:?}"));
        assert!(!info.message.is_empty());
    }
    assert_eq!(error::code(DriftShieldError::NotUpgradeAuthority), 6000);
    assert_eq!(error::by_code(5999), None);
    assert_eq!(error::by_code(6000 + error::all().len() as u32), None);
}

//! Builds the IDL from the program's source, and checks it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anchor_lang_idl::{
    build::IdlBuilder,
    types::{
        Idl, IdlArrayLen, IdlEnumVariant, IdlInstructionAccountItem, IdlType, IdlTypeDef,
        IdlTypeDefTy,
    },
};
use anyhow::{Context, Result, bail, ensure};
use driftshield::ModelStatus;
use driftshield_sdk::Address;

use super::{
    root,
    types::{fields, find, numbers},
};

pub fn build(target_dir: &Path) -> Result<Idl> {
    let target_dir = target_dir.to_str();
    let target_dir =
        target_dir.context("the path of the target folder is not UTF-8; set CARGO_TARGET_DIR")?;
    let arguments = [
        "--lib",
        "--locked",
        "--ignore-rust-version", // as the whole workspace is built
        "--target-dir",
        target_dir,
    ];
    let mut idl = IdlBuilder::new()
        .program_path(program())
        .skip_lint(true)
        .cargo_args(arguments.map(String::from).to_vec())
        .build()?;
    set_version(&mut idl)?;
    document_accounts(&mut idl)?;
    add_model_status(&mut idl)?;
    document_enums(&mut idl);
    Ok(idl)
}

fn program() -> PathBuf {
    root().join("programs/driftshield")
}

/// Sets the version to that of the program's manifest: the builder always writes 0.1.0.
fn set_version(idl: &mut Idl) -> Result<()> {
    let manifest = fs::read_to_string(program().join("Cargo.toml"))?;
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = "));
    let version = version.context("programs/driftshield/Cargo.toml has no version; set it")?;
    idl.metadata.version = version.trim_matches('"').to_owned();
    Ok(())
}

/// Documents the accounts that Anchor adds to every instruction. Moves the path of an address that is a
/// field of another account from the address to the docs.
fn document_accounts(idl: &mut Idl) -> Result<()> {
    for instruction in &mut idl.instructions {
        for item in &mut instruction.accounts {
            let IdlInstructionAccountItem::Single(account) = item else {
                bail!(
                    "{} has nested accounts; list them one by one",
                    instruction.name
                );
            };
            match account.name.as_str() {
                "event_authority" => account.docs = vec!["Signs the program's events.".into()],
                "program" => account.docs = vec!["The program itself.".into()],
                _ => {}
            }
            // The builder writes the path of the field as the address, which clients would reject.
            if let Some(field) = account.address.take_if(|address| !is_address(address)) {
                account.docs.insert(0, format!("`{field}`."));
            }
        }
    }
    Ok(())
}

/// Adds `ModelStatus`, which the builder leaves out: no argument and no event contains it.
fn add_model_status(idl: &mut Idl) -> Result<()> {
    let status = [ModelStatus::Active, ModelStatus::Retired].map(|status| IdlEnumVariant {
        name: format!("{status:?}"),
        fields: None,
    });
    let wrapper = find(idl, "PodModelStatus")?.clone();
    idl.types.push(IdlTypeDef {
        name: "ModelStatus".into(),
        ty: IdlTypeDefTy::Enum {
            variants: status.to_vec(),
        },
        ..wrapper
    });
    idl.types.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

/// Appends the numbers of an enum's variants to the docs of its `Pod…` type, which accounts contain.
fn document_enums(idl: &mut Idl) {
    let numbers: BTreeMap<String, String> = idl
        .types
        .iter()
        .filter_map(|definition| Some((format!("Pod{}", definition.name), numbers(definition)?)))
        .collect();
    for definition in &mut idl.types {
        if let Some(numbers) = numbers.get(&definition.name) {
            definition.docs.push(format!("{numbers}."));
        }
    }
}

fn is_address(text: &str) -> bool {
    text.parse::<Address>().is_ok()
}

/// Checks that no type is missing or generic, that error codes count up from 6000, and that accounts,
/// events, instructions and errors are documented.
pub fn check(idl: &Idl) -> Result<()> {
    ensure!(is_address(&idl.address), "the program has no address");
    ensure!(!idl.errors.is_empty(), "the program has no errors");
    for (error, code) in idl.errors.iter().zip(6000..) {
        let name = &error.name;
        ensure!(
            error.code == code,
            "{name} has code {}, expected {code}; leave no gaps",
            error.code
        );
        ensure!(
            error.msg.is_some(),
            "{name} has no message; add `#[msg(…)]`"
        );
    }
    for account in &idl.accounts {
        let definition = find(idl, &account.name)?;
        let documented = definition
            .docs
            .iter()
            .any(|line| line.starts_with("Address: "));
        ensure!(
            documented,
            "the docs of {} have no line `Address: …`; add one",
            account.name
        );
    }
    for event in &idl.events {
        ensure!(
            !find(idl, &event.name)?.docs.is_empty(),
            "the event {} has no docs; add a doc comment",
            event.name
        );
    }
    for definition in &idl.types {
        for field in fields(definition) {
            check_type(idl, &field.ty).with_context(|| definition.name.clone())?;
        }
    }
    for instruction in &idl.instructions {
        ensure!(
            !instruction.docs.is_empty(),
            "the instruction {} has no docs; add a doc comment",
            instruction.name
        );
        for argument in &instruction.args {
            check_type(idl, &argument.ty).with_context(|| instruction.name.clone())?;
        }
    }
    Ok(())
}

fn check_type(idl: &Idl, ty: &IdlType) -> Result<()> {
    match ty {
        IdlType::Option(inner) | IdlType::Vec(inner) => check_type(idl, inner),
        IdlType::Array(inner, IdlArrayLen::Value(_)) => check_type(idl, inner),
        IdlType::Array(_, IdlArrayLen::Generic(length)) => {
            bail!("the length of an array is generic: {length}; use a number")
        }
        IdlType::Defined { name, .. } => find(idl, name).map(drop),
        IdlType::Generic(name) => bail!("the type {name} is generic; use a concrete type"),
        _ => Ok(()),
    }
}

//! Sizes of accounts, and the numbers and layouts that must never change.

use std::collections::BTreeMap;

use anchor_lang_idl::types::{Idl, IdlType, IdlTypeDef, IdlTypeDefTy};
use anyhow::{Context, Result};

use super::types::{by_number, enum_name, fields, find, hex, size, type_name};

/// The size of the discriminator that every account starts with.
pub const DISCRIMINATOR_BYTES: usize = 8;

/// The size of each account in bytes, discriminator included.
pub fn account_sizes(idl: &Idl) -> Result<BTreeMap<String, usize>> {
    idl.accounts
        .iter()
        .map(|account| {
            let ty = IdlType::Defined {
                name: account.name.clone(),
                generics: Vec::new(),
            };
            let body = size(idl, &ty);
            let body = body.with_context(|| {
                format!("{} has no fixed size; use fixed-size types", account.name)
            })?;
            Ok((account.name.clone(), DISCRIMINATOR_BYTES + body))
        })
        .collect()
}

/// Everything in the IDL that clients and existing accounts depend on, one line each: the sizes and the
/// discriminators of accounts, the offsets of their fields, the discriminators of events, and the numbers
/// of instructions, enum variants and errors.
///
/// The program's accounts have no gaps: a field starts where the previous one ends.
pub fn frozen(idl: &Idl) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let sizes = account_sizes(idl)?;
    for account in &idl.accounts {
        let (name, discriminator) = (&account.name, hex(&account.discriminator));
        lines.push(format!(
            "account {name} {discriminator}, {} bytes",
            sizes[name]
        ));
        frozen_fields(&mut lines, idl, name, find(idl, name)?, DISCRIMINATOR_BYTES)?;
    }
    for instruction in by_number(idl) {
        let (name, number) = (&instruction.name, instruction.discriminator[0]);
        lines.push(format!("instruction {number} {name}"));
    }
    for event in &idl.events {
        lines.push(format!(
            "event {} {}",
            event.name,
            hex(&event.discriminator)
        ));
    }
    for definition in &idl.types {
        if let IdlTypeDefTy::Enum { variants } = &definition.ty {
            for (number, variant) in variants.iter().enumerate() {
                lines.push(format!(
                    "enum {} {number} {}",
                    definition.name, variant.name
                ));
            }
        }
    }
    let errors = idl.errors.iter();
    lines.extend(errors.map(|error| format!("error {} {}", error.code, error.name)));
    Ok(lines)
}

/// Appends a line for each field, except reserved bytes. A struct field gets no line of its own, but a
/// line for each field inside it; so does an array of structs, for its first item.
fn frozen_fields(
    lines: &mut Vec<String>,
    idl: &Idl,
    name: &str,
    definition: &IdlTypeDef,
    mut offset: usize,
) -> Result<()> {
    for field in fields(definition) {
        let name = format!("{name}.{}", field.name);
        let size = size(idl, &field.ty)
            .with_context(|| format!("{name} has no fixed size; use a fixed-size type"))?;
        // Of an array of structs, the first item stands for all.
        let (ty, inner_name) = match &field.ty {
            IdlType::Array(item, _) if matches!(**item, IdlType::Defined { .. }) => {
                (&**item, format!("{name}.0"))
            }
            ty => (ty, name.clone()),
        };
        let defined = match ty {
            IdlType::Defined { name, .. } => Some(find(idl, name)?),
            _ => None,
        };
        if let Some(inner) = defined.filter(|inner| !fields(inner).is_empty()) {
            frozen_fields(lines, idl, &inner_name, inner, offset)?;
        } else if field.name != "reserved" {
            let ty = match (&field.ty, defined) {
                (IdlType::Defined { .. }, Some(definition)) => enum_name(&definition.name).into(),
                (ty, _) => type_name(ty),
            };
            lines.push(format!("field {name} at {offset}, {size} bytes of {ty}"));
        }
        offset += size;
    }
    Ok(())
}

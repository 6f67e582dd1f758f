//! The program's IDL, the reference pages that are generated from it, and the layouts and numbers that
//! must never change.

mod build;
mod layout;
mod pages;
mod types;

use std::{fs, path::Path};

use anchor_lang_idl::types::Idl;
use anyhow::{Context, Result};

pub use crate::paths::root;
pub use layout::{account_sizes, frozen};

/// Path of the IDL, relative to the root of the repository.
const IDL: &str = "idl/driftshield.json";

/// The committed IDL.
pub fn committed() -> Result<Idl> {
    let text = fs::read_to_string(root().join(IDL)).context(IDL)?;
    serde_json::from_str(&text).context(IDL)
}

/// The path relative to [`root`], and the new content, of each generated file. `target_dir` is Cargo's
/// target folder for the build of the IDL.
///
/// `RUSTUP_TOOLCHAIN` must not be set: the IDL builder misreads it.
pub fn generate(target_dir: &Path) -> Result<Vec<(&'static str, String)>> {
    let idl = build::build(target_dir)?;
    build::check(&idl)?;
    Ok(vec![
        (IDL, serde_json::to_string_pretty(&idl)? + "\n"),
        ("docs/accounts.md", pages::accounts(&idl)?),
        ("docs/errors.md", pages::errors(&idl)?),
        ("docs/events.md", pages::events(&idl)?),
        ("docs/instructions.md", pages::instructions(&idl)?),
    ])
}

//! A metric-spec document on disk, and its check against the hash that the model pins.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anchor_lang::Address;
use anyhow::{Context, Result};
use driftshield_sdk::{
    Model,
    spec::{SpecDocument, sha256},
};

/// A metric-spec document, with its path and the SHA-256 of its bytes.
pub struct SpecFile {
    path: PathBuf,
    pub document: SpecDocument,
    pub sha256: [u8; 32],
}

impl SpecFile {
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        let document = SpecDocument::parse(&bytes).with_context(|| path.display().to_string())?;
        Ok(Self {
            path: path.to_owned(),
            document,
            sha256: sha256(&bytes),
        })
    }

    /// Fails if `model` pins another document.
    pub fn require_pinned(&self, address: Address, model: &Model) -> Result<(), SpecMismatch> {
        if self.sha256 == model.spec_hash {
            return Ok(());
        }
        Err(SpecMismatch {
            path: self.path.clone(),
            model: address,
            found: const_hex::encode(self.sha256),
            pinned: const_hex::encode(model.spec_hash),
        })
    }
}

/// A spec document whose hash is not the one that the model pins.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} has SHA-256 {found}, but model {model} pins {pinned}; use the document that the model was \
     registered with, byte for byte",
    path.display()
)]
pub struct SpecMismatch {
    path: PathBuf,
    model: Address,
    found: String,
    pinned: String,
}

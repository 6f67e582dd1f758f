//! A directory of evidence documents.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use driftshield_sdk::spec::sha256;

/// A directory of documents, each named `<sha256>.json`.
#[derive(Clone, Debug)]
pub struct Store {
    directory: Arc<Path>,
}

impl Store {
    /// Opens a directory. Creates it if it is missing.
    pub fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.into(),
        })
    }

    /// Stores a document atomically and durably, unless it is stored already. Returns the SHA-256
    /// of the document.
    pub fn put(&self, document: &[u8]) -> io::Result<[u8; 32]> {
        let sha256 = sha256(document);
        let path = self.path(&const_hex::encode(sha256));
        if !path.exists() {
            // Two processes may write the same document at once: each has a draft of its own.
            let draft = path.with_extension(format!("{}.tmp", std::process::id()));
            let mut file = fs::File::create(&draft)?;
            file.write_all(document)?;
            file.sync_all()?;
            fs::rename(draft, path)?;
            fs::File::open(&self.directory)?.sync_all()?; // makes the rename survive a power cut
        }
        Ok(sha256)
    }

    /// Path of the document with this SHA-256 in hexadecimal.
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.directory.join(format!("{sha256}.json"))
    }
}

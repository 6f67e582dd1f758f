//! Cheap detection of changed files.

use std::{fs, io, path::Path, time::SystemTime};

/// Modification time and size of a file. Shows whether the file changed without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    modified: SystemTime,
    bytes: u64,
}

impl Fingerprint {
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            modified: metadata.modified()?,
            bytes: metadata.len(),
        })
    }
}

//! The program with one of its checks taken away, again and again: for each, a test has to fail.

pub mod order;
pub mod record;
pub mod sites;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Where the program's source is, under the root of the repository.
pub const SOURCE: &str = "programs/driftshield/src";
/// What became of its mutants, likewise.
pub const RECORD: &str = "tests/mutants.tsv";

/// All Rust files under `folder`, in the order of their names.
pub fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

//! Mutation testing of the program: each of its checks is removed in turn, and a test has to fail.
//!
//! Most builds of the program contain many mutants. Of [`switched`] mutants, one is active at a time.
//! The mutants of a [`batch`] are all active, and each affects other instructions.

pub mod batch;
pub mod compiler;
pub mod ranking;
pub mod record;
pub mod sites;
pub mod switched;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The folders of the program's source, relative to the root of the repository, each with the start of
/// [`Site::file`](sites::Site::file).
pub const SOURCES: [(&str, &str); 2] = [("programs/driftshield/src", ""), ("math/src", "math/")];
/// The program's table of contents, relative to the root of the repository.
pub const LIBRARY: &str = "programs/driftshield/src/lib.rs";
/// The file with the results, relative to the root of the repository.
pub const RECORD: &str = "tests/mutants.tsv";

/// Changed files by their path relative to the root of the repository.
pub type Sources = BTreeMap<PathBuf, String>;

/// All Rust files in `folder` and its subfolders, sorted by path.
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

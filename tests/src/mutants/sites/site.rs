//! A check in the source, and its removal.

use std::{fmt, ops::Range, path::PathBuf};

use crate::mutants::SOURCES;

/// A kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `@ Error`: only the error of the check is removed, so the check returns another error.
    Error,
    Address,
    Seeds,
    Constraint,
    Signer,
    Token,
    Mint,
    Mut,
    Close,
    /// The owner and discriminator of an account, or the address of a program.
    Type,
    /// `require…!`, or a call of a function that only checks.
    Require,
    /// An early `return` of an error or of `None`.
    Return,
    /// `checked_…`, which is replaced by `wrapping_…`.
    Checked,
}

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::Error,
        Self::Address,
        Self::Seeds,
        Self::Constraint,
        Self::Signer,
        Self::Token,
        Self::Mint,
        Self::Mut,
        Self::Close,
        Self::Type,
        Self::Require,
        Self::Return,
        Self::Checked,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "@ Error",
            Self::Address => "address",
            Self::Seeds => "seeds",
            Self::Constraint => "constraint",
            Self::Signer => "signer",
            Self::Token => "token::",
            Self::Mint => "mint::",
            Self::Mut => "mut",
            Self::Close => "close",
            Self::Type => "typed account",
            Self::Require => "require",
            Self::Return => "return",
            Self::Checked => "checked_",
        }
    }
}

/// A check, and how to remove it.
#[derive(Clone, Debug)]
pub struct Site {
    pub kind: Kind,
    /// Path relative to its folder, behind that folder's prefix ([`SOURCES`]).
    pub file: String,
    /// The field or function: `BuyPolicy.vault`, `Vault::sell`.
    pub item: String,
    /// The removed code on one line.
    pub text: String,
    /// A hash of the check, its file, and the code of the enclosing struct or function. Comments don't
    /// count.
    pub key: String,
    pub line: usize,
    pub end_line: usize,
    /// Byte ranges of the file, each with its replacement.
    pub(super) edits: Vec<(Range<usize>, String)>,
    /// A text in `lib.rs`, and its replacement in the mutant.
    pub(super) library: Option<(String, String)>,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            kind,
            file,
            item,
            text,
            line,
            ..
        } = self;
        write!(f, "{file}:{line} {item}: {}: {text}", kind.name())
    }
}

impl Site {
    /// The path of the file, relative to the root of the repository.
    pub fn path(&self) -> PathBuf {
        let mut folders = SOURCES.iter().rev(); // the empty prefix last
        folders
            .find_map(|(folder, prefix)| Some([folder, self.file.strip_prefix(prefix)?]))
            .expect("one prefix is empty")
            .iter()
            .collect()
    }

    /// The source of the file without the check.
    pub fn mutate(&self, source: &str) -> String {
        mutate(source, &[self])
    }

    /// The bytes of the file that the removal affects, and their replacement.
    pub(in crate::mutants) fn replacement(&self, source: &str) -> (Range<usize>, String) {
        let ranges = || self.edits.iter().map(|(range, _)| range);
        let start = ranges().map(|range| range.start).min().unwrap_or_default();
        let end = ranges().map(|range| range.end).max().unwrap_or_default();
        let mutant = self.mutate(source);
        let end_in_mutant = mutant.len() - (source.len() - end);
        (start..end, mutant[start..end_in_mutant].to_owned())
    }

    /// Whether the removal needs a change of `lib.rs` for itself alone.
    pub fn changes_library(&self) -> bool {
        self.library.is_some()
    }

    /// The source of the program's `lib.rs`, adapted to the removal of the check.
    pub fn mutate_library(&self, source: &str) -> String {
        mutate_library(source, &[self])
    }

    /// The error that the check returns, if the check names it.
    pub fn error(&self) -> Option<&str> {
        let (_, error) = self.text.split_once("DriftShieldError :: ")?;
        error.split(|c: char| !c.is_alphanumeric()).next()
    }
}

/// The source of a file without the checks of `sites`, which don't overlap.
pub fn mutate(source: &str, sites: &[&Site]) -> String {
    let mut edits: Vec<_> = sites.iter().flat_map(|site| &site.edits).collect();
    edits.sort_by_key(|(range, _)| range.start);
    let mut mutant = source.to_owned();
    for (range, text) in edits.into_iter().rev() {
        mutant.replace_range(range.clone(), text);
    }
    mutant
}

/// The source of the program's `lib.rs`, adapted to the removal of the checks of `sites`.
pub fn mutate_library(source: &str, sites: &[&Site]) -> String {
    let mut library = source.to_owned();
    for (old, new) in sites.iter().filter_map(|site| site.library.as_ref()) {
        library = library.replacen(old, new, 1);
    }
    if sites.iter().any(|site| site.kind == Kind::Type) {
        library += UNVERIFIED;
    }
    library
}

/// An account type that verifies neither owner nor discriminator.
const UNVERIFIED: &str = r#"
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Unverified<T>(T);

unsafe impl<T: anchor_lang::bytemuck::Zeroable> anchor_lang::bytemuck::Zeroable for Unverified<T> {}
unsafe impl<T: anchor_lang::bytemuck::Pod> anchor_lang::bytemuck::Pod for Unverified<T> {}

impl<T: anchor_lang::accounts::SlabSchema> anchor_lang::accounts::SlabSchema for Unverified<T> {
    const DATA_OFFSET: usize = T::DATA_OFFSET;
    const MIN_DATA_LEN: usize = T::MIN_DATA_LEN;
    fn validate(_: &AccountView, data: &[u8]) -> core::result::Result<(), ProgramError> {
        require!(T::MIN_DATA_LEN <= data.len(), ProgramError::AccountDataTooSmall);
        Ok(())
    }
}

impl<T> core::ops::Deref for Unverified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> core::ops::DerefMut for Unverified<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
"#;

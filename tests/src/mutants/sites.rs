//! Sites: the checks in the program's source, and how to remove each.

mod finder;
mod tokens;

use std::{fmt, fs, ops::Range, path::Path};

use anyhow::{Context, Result};
use finder::Finder;
use syn::visit::Visit;

/// A kind of check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `@ Error`: only the error of the check is removed, so that it returns another.
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
    /// Path relative to [`super::SOURCE`].
    pub file: String,
    /// The field or function: `BuyPolicy.vault`, `Vault::sell`.
    pub item: String,
    /// The removed code on one line.
    pub text: String,
    /// A hash that stays the same while the code of the enclosing struct or function does. Comments don't
    /// count.
    pub key: String,
    pub line: usize,
    /// Byte ranges of the file, and what replaces each.
    edits: Vec<(Range<usize>, String)>,
    /// A text of `lib.rs`, and what has to replace it once the check is removed.
    library: Option<(String, String)>,
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
    /// The source of the file without the check.
    pub fn mutate(&self, source: &str) -> String {
        let mut edits = self.edits.clone();
        edits.sort_by_key(|(range, _)| range.start);
        let mut mutant = source.to_owned();
        for (range, text) in edits.into_iter().rev() {
            mutant.replace_range(range, &text);
        }
        mutant
    }

    /// The source of the program's `lib.rs` without the check.
    pub fn mutate_library(&self, source: &str) -> String {
        let library = match &self.library {
            Some((old, new)) => source.replacen(old, new, 1),
            None => source.to_owned(),
        };
        let support = if self.kind == Kind::Type {
            UNVERIFIED
        } else {
            ""
        };
        library + support
    }

    /// The error that the check returns, if the check names it.
    pub fn error(&self) -> Option<&str> {
        let (_, error) = self.text.split_once("DriftShieldError :: ")?;
        error.split(|c: char| !c.is_alphanumeric()).next()
    }
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

/// All checks in the source folder of a program.
pub fn find(folder: &Path) -> Result<Vec<Site>> {
    let mut sites = Vec::new();
    for path in super::rust_files(folder)? {
        let source = fs::read_to_string(&path)?;
        let file = path.strip_prefix(folder)?.display().to_string();
        sites.extend(find_in(&file, &source).with_context(|| file.clone())?);
    }
    Ok(sites)
}

/// The checks of one file.
pub fn find_in(file: &str, source: &str) -> Result<Vec<Site>> {
    let mut finder = Finder::new(file, source);
    finder.visit_file(&syn::parse_file(source)?);
    Ok(finder.sites)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        #[derive(Accounts)]
        pub struct Pay {
            #[account(mut, address = vault.owner @ DriftShieldError::NotOwner)]
            pub owner: Signer,
            #[account(mut, seeds = [b"vault", owner.address().as_ref()], bump)]
            pub vault: Account<Vault>,
            pub token_program: Program<Token>,
        }
        impl Pay {
            /// Comments don't count.
            pub fn pay(&mut self, amount: u64) -> Result<()> {
                require!(0 < amount, DriftShieldError::ZeroAmount);
                self.vault.require_open()?;
                if amount == 7 {
                    return Err(DriftShieldError::Seven.into());
                }
                let odd = if amount % 2 == 1 {
                    true
                } else {
                    return Err(DriftShieldError::Even.into());
                };
                let left = self.left.checked_sub(amount).ok_or(Short)?;
                self.validate(left)
            }
        }
    "#;

    fn sites() -> Vec<Site> {
        find_in("pay.rs", SOURCE).expect("the source parses")
    }

    #[test]
    fn every_kind_of_check_is_found() {
        let found: Vec<(Kind, String)> = sites()
            .into_iter()
            .map(|site| (site.kind, site.item))
            .collect();
        let expected = [
            (Kind::Mut, "Pay.owner"),
            (Kind::Error, "Pay.owner"),
            (Kind::Address, "Pay.owner"),
            (Kind::Signer, "Pay.owner"),
            (Kind::Mut, "Pay.vault"),
            (Kind::Seeds, "Pay.vault"),
            (Kind::Type, "Pay.vault"),
            (Kind::Type, "Pay.token_program"),
            (Kind::Require, "Pay::pay"),
            (Kind::Require, "Pay::pay"),
            (Kind::Return, "Pay::pay"),
            (Kind::Return, "Pay::pay"),
            (Kind::Checked, "Pay::pay"),
            (Kind::Require, "Pay::pay"),
        ];
        let expected = expected.map(|(kind, item)| (kind, item.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_mutant_lacks_one_check_only() {
        for site in sites() {
            let mutant = site.mutate(SOURCE);
            syn::parse_file(&mutant).unwrap_or_else(|e| panic!("{site}: {e}: {mutant}"));
            let left = find_in("pay.rs", &mutant).expect("the mutant parses").len();
            let removed = sites().len() - left;
            let expected = match site.kind {
                Kind::Address => 2,                                  // the check and its error
                Kind::Type if site.text.starts_with("Account") => 0, // `Account<Unverified<…>>` is one too
                _ => 1,
            };
            assert_eq!(removed, expected, "{site}: {mutant}");
        }
    }

    #[test]
    fn without_seeds_the_handler_derives_the_bump() {
        let seeds = sites().into_iter().find(|site| site.kind == Kind::Seeds);
        let seeds = seeds.expect("a check of seeds");
        let library = seeds.mutate_library("pay(ctx.bumps.vault)");
        let expected = r#"(b"vault").as_ref(), (ctx.accounts.owner.address().as_ref()).as_ref()"#;
        assert_eq!(
            library,
            format!("pay(anchor_lang::find_program_address(&[{expected}], &crate::ID).1)")
        );
    }

    fn keys(source: &str) -> Vec<String> {
        let sites = find_in("pay.rs", source).expect("the source parses");
        sites.into_iter().map(|site| site.key).collect()
    }

    #[test]
    fn keys_change_with_the_code_of_their_item() {
        let other = SOURCE.replace("0 < amount", "1 < amount");
        let (before, after) = (keys(SOURCE), keys(&other));
        assert_eq!(before[..8], after[..8]);
        assert_ne!(before[9], after[9]);
    }

    #[test]
    fn keys_ignore_comments() {
        let other = SOURCE.replace("/// Comments don't count.", "");
        assert_eq!(keys(SOURCE), keys(&other));
        for comment in [
            "// a comment\n",
            "/* a comment */",
            "/// a doc comment\n",
            "/** a doc comment */",
            "#[doc = \"a doc comment\"]",
        ] {
            let mut other = SOURCE.to_owned();
            for code in ["#[account(", "pub vault:", "pub fn pay"] {
                other = other.replace(code, &format!("{comment}{code}"));
            }
            assert_eq!(keys(SOURCE), keys(&other), "{comment}");
        }
        for comment in ["// a comment\n", "/* a comment */"] {
            let other = SOURCE.replace("require!", &format!("{comment}require!"));
            assert_eq!(keys(SOURCE), keys(&other), "{comment}");
        }
        for comment in [
            "//! an inner doc comment\n",
            "#![doc = \"an inner doc comment\"]",
        ] {
            let other = SOURCE.replace("Result<()> {", &format!("Result<()> {{ {comment}"));
            assert_eq!(keys(SOURCE), keys(&other), "{comment}");
        }
    }
}

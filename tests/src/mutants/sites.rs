//! Sites: the checks in the program's source, and how to remove each.

mod finder;
mod site;
mod tokens;

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use finder::Finder;
pub use site::{Kind, Site};
use syn::visit::Visit;

use super::{LIBRARY, Sources};

/// All checks in the program's source, in the repository at `root`.
pub fn find(root: &Path) -> Result<Vec<Site>> {
    let mut sites = Vec::new();
    for (folder, prefix) in super::SOURCES {
        let folder = root.join(folder);
        for path in super::rust_files(&folder)? {
            let source = fs::read_to_string(&path)?;
            let file = format!("{prefix}{}", path.strip_prefix(&folder)?.display());
            sites.extend(find_in(&file, &source).with_context(|| file.clone())?);
        }
    }
    Ok(sites)
}

/// The checks of one file.
pub fn find_in(file: &str, source: &str) -> Result<Vec<Site>> {
    let mut finder = Finder::new(file, source);
    finder.visit_file(&syn::parse_file(source)?);
    Ok(finder.sites)
}

/// The source files of the program without the checks of `sites`, which don't overlap.
pub fn mutant(root: &Path, sites: &[&Site]) -> Result<Sources> {
    let mut sources = Sources::new();
    let paths: BTreeSet<_> = sites.iter().map(|site| site.path()).collect();
    for path in paths {
        ensure!(
            path != Path::new(LIBRARY),
            "checks in lib.rs are not supported; move the check to another file"
        );
        let here = sites.iter().copied().filter(|site| site.path() == path);
        let source = fs::read_to_string(root.join(&path))?;
        let mutated = site::mutate(&source, &here.collect::<Vec<_>>());
        sources.insert(path, mutated);
    }
    let library = fs::read_to_string(root.join(LIBRARY))?;
    sources.insert(LIBRARY.into(), site::mutate_library(&library, sites));
    Ok(sources)
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

    #[test]
    fn what_implies_mut_is_removed_with_it() {
        let source =
            "#[derive(Accounts)] struct Pay { #[account(mut, unsafe(dup), address = a)] to: A }";
        let sites = find_in("pay.rs", source).expect("the source parses");
        assert_eq!(sites[0].kind, Kind::Mut);
        let expected = "#[derive(Accounts)] struct Pay { #[account(address = a)] to: A }";
        assert_eq!(sites[0].mutate(source), expected);
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

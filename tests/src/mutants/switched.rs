//! Switched mutants: one build of the program contains all of them, and a number in its read-only data
//! selects the active one.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use proc_macro2::TokenStream;

use super::{
    LIBRARY, Sources,
    sites::{Kind, Site},
};

/// The bytes in front of the number of the active mutant.
const MARKER: &[u8; 16] = b"driftshield-swap";
const MATH_LIBRARY: &str = "math/src/lib.rs";
const MATH_MANIFEST: &str = "math/Cargo.toml";

/// Whether the check is in code of a function, where a switch can disable it.
pub fn is_switchable(site: &Site) -> bool {
    matches!(site.kind, Kind::Require | Kind::Return | Kind::Checked)
}

/// The source files of the program with a switch around each check. The mutant of `sites[i]` has the
/// number `i + 1`.
pub fn sources(root: &Path, sites: &[&Site]) -> Result<Sources> {
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    let mut sources = Sources::from([
        (LIBRARY.into(), read(LIBRARY)? + &switch()),
        (MATH_LIBRARY.into(), read(MATH_LIBRARY)? + &switch()),
        // The lints of the workspace forbid unsafe code, which the switch needs.
        (
            MATH_MANIFEST.into(),
            read(MATH_MANIFEST)?.replace("[lints]\nworkspace = true", ""),
        ),
    ]);
    let paths: BTreeSet<_> = sites.iter().map(|site| site.path()).collect();
    for path in paths {
        ensure!(
            !sources.contains_key(&path),
            "checks in lib.rs are not supported; move the check to another file"
        );
        let source = fs::read_to_string(root.join(&path))?;
        let numbered = sites.iter().zip(1..).map(|(site, number)| (number, *site));
        let here: Vec<_> = numbered.filter(|(_, site)| site.path() == path).collect();
        sources.insert(path, switch_checks(&source, &here)?);
    }
    Ok(sources)
}

/// The source of a file with a switch around the check of each site. Lines keep their numbers, so that
/// the compiler's errors lead to the sites.
fn switch_checks(source: &str, sites: &[(u32, &Site)]) -> Result<String> {
    let mut insertions = Vec::new();
    for &(number, site) in sites {
        let (range, mutant) = site.replacement(source);
        let (before, after) = switched(number, site.kind, &mutant)?;
        let length = range.len();
        // At one position, inner code ends before outer code ends, and outer code starts before inner code.
        insertions.push(((range.start, 1, usize::MAX - length), before));
        insertions.push(((range.end, 0, length), after));
    }
    insertions.sort();
    let mut switched = source.to_owned();
    for ((at, ..), text) in insertions.into_iter().rev() {
        switched.insert_str(at, &text);
    }
    Ok(switched)
}

/// The code before and after a check that is replaced by `mutant` while the switch has this number.
fn switched(number: u32, kind: Kind, mutant: &str) -> Result<(String, String)> {
    let is_active = format!("crate::active_mutant({number})");
    if mutant.is_empty() {
        return Ok((format!("if !{is_active} {{ "), " }".into()));
    }
    let tokens: TokenStream = mutant.parse().map_err(|e| anyhow::anyhow!("{e}"))?;
    let mutant = tokens.to_string().replace('\n', " ");
    let (before, after) = (format!("if {is_active} {{ {mutant} }} else {{ "), " }");
    Ok(match kind {
        Kind::Checked => (format!("({before}"), format!("{after})")),
        _ => (before, after.into()),
    })
}

/// The function that reads the switch.
fn switch() -> String {
    let marker = String::from_utf8_lossy(MARKER);
    format!(
        r#"
#[repr(C)]
struct Switch {{
    marker: [u8; 16],
    number: u32,
}}

#[used]
static SWITCH: Switch = Switch {{ marker: *b"{marker}", number: 0 }};

#[inline(always)]
fn active_mutant(number: u32) -> bool {{
    // The compiler must not assume that the number is 0.
    number == unsafe {{ core::ptr::read_volatile(&raw const SWITCH.number) }}
}}
"#
    )
}

/// Sets the number of the active mutant in a built program; 0 activates none.
pub fn activate(program: &mut [u8], number: u32) -> Result<()> {
    let is_marker = |window: &[u8]| window == MARKER;
    let found = program.windows(MARKER.len()).enumerate();
    let found: Vec<usize> = found
        .filter(|(_, window)| is_marker(window))
        .map(|(at, _)| at + MARKER.len())
        .collect();
    ensure!(!found.is_empty(), "the built program has no switch");
    for at in found {
        let place = program.get_mut(at..at + 4).context("the switch is cut")?;
        place.copy_from_slice(&number.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{mutants::sites, paths::root};

    const SOURCE: &str = r#"
        impl Vault {
            fn pay(&mut self, amount: u64) -> Result<()> {
                require!(0 < amount, DriftShieldError::ZeroAmount);
                if amount == 7 {
                    return Err(DriftShieldError::Seven.into());
                }
                let odd = if amount % 2 == 1 { true } else {
                    return Err(DriftShieldError::Even.into());
                };
                self.left = self.left.checked_sub(amount)
                    .and_then(|left| left.checked_mul(2)).ok_or(Short)?;
                self.left = amount.checked_add(1)?.checked_mul(2)?;
                self.require_solvent(amount.checked_add(1)?)?;
                self.validate()
            }
        }
    "#;

    fn switches(source: &str) -> usize {
        source.matches("crate::active_mutant(").count()
    }

    #[test]
    fn every_check_has_a_switch() {
        let sites = sites::find_in("vault.rs", SOURCE).expect("the source parses");
        let numbered: Vec<_> = (1..).zip(&sites).collect();
        let switched = switch_checks(SOURCE, &numbered).expect("switched");
        syn::parse_file(&switched).unwrap_or_else(|e| panic!("{e}: {switched}"));
        assert_eq!(sites.len(), 10);
        assert_eq!(switches(&switched), 10);
        assert_eq!(switched.lines().count(), SOURCE.lines().count());
        let tail = "if crate::active_mutant(10) { Ok (()) } else { self.validate() }";
        assert!(switched.contains(tail), "{switched}");
    }

    #[test]
    fn the_switched_program_parses() {
        let sites = sites::find(root()).expect("the program's source");
        let sites: Vec<_> = sites.iter().filter(|site| is_switchable(site)).collect();
        let sources = sources(root(), &sites).expect("switched");
        let rust = sources
            .iter()
            .filter(|(path, _)| path.extension().is_some_and(|e| e == "rs"));
        for (path, source) in rust {
            syn::parse_file(source).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
        let switches: usize = sources.values().map(|source| switches(source)).sum();
        assert_eq!(switches, sites.len());
    }

    #[test]
    fn all_switches_of_a_program_get_the_number() {
        let mut program = [b"code", &MARKER[..], &[0; 4], MARKER, &[9; 4], b"more"].concat();
        activate(&mut program, 258).expect("activated");
        let expected = [
            b"code",
            &MARKER[..],
            &[2, 1, 0, 0],
            MARKER,
            &[2, 1, 0, 0],
            b"more",
        ];
        assert_eq!(program, expected.concat());
        assert!(activate(&mut [0; 64], 1).is_err());
    }
}

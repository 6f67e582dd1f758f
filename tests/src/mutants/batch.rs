//! Batches: mutants of account attributes that share a build, each in another accounts struct.
//!
//! A mutant changes only the instructions of its struct, so the scenes of these instructions in the attack
//! matrix tell which mutant of a batch they notice. Only rows of the mutant's own account slot count: rows
//! of other slots may differ because of other mutants, since a scene calls other instructions too.

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::sites::{Kind, Site};

/// The start of the names of the attack matrix's scenes.
pub const SCENES: &str = "matrix::scenes::";

/// The failure of an instruction that a scene sends before its own, and that another mutant may affect.
const PRECEDING: &str = "the preceding instruction succeeds";

/// Whether a mutant can be in a batch. A closed account that stays would change the scenes of other
/// instructions, and `lib.rs` reads bumps per instruction.
pub fn is_batchable(site: &Site) -> bool {
    slot(site).is_some() && site.kind != Kind::Close && !site.changes_library()
}

/// The accounts struct and the field of a site.
fn slot(site: &Site) -> Option<(&str, &str)> {
    site.item.split_once('.')
}

/// Distributes sites over as few batches as possible with at most one site per struct.
pub fn batches<'a>(sites: &[&'a Site]) -> Vec<Vec<&'a Site>> {
    let mut batches: Vec<Vec<&Site>> = Vec::new();
    let mut next: HashMap<&str, usize> = HashMap::new();
    for &site in sites {
        let Some((accounts, _)) = slot(site) else {
            continue;
        };
        let batch = next.entry(accounts).or_default();
        if *batch == batches.len() {
            batches.push(Vec::new());
        }
        batches[*batch].push(site);
        *batch += 1;
    }
    batches
}

/// The instructions of each accounts struct.
pub struct Instructions {
    names: Vec<String>,
    by_accounts: HashMap<String, Vec<String>>,
}

impl Instructions {
    /// Reads the program's `lib.rs`.
    pub fn read(library: &str) -> Result<Self> {
        let file = syn::parse_file(library)?;
        let mut modules = file.items.iter().filter_map(|item| match item {
            syn::Item::Mod(module) if module.ident == "driftshield" => module.content.as_ref(),
            _ => None,
        });
        let (_, items) = modules.next().context("lib.rs has no program")?;
        let mut instructions = Self {
            names: Vec::new(),
            by_accounts: HashMap::new(),
        };
        for item in items {
            let syn::Item::Fn(function) = item else {
                continue;
            };
            let signature = quote::ToTokens::to_token_stream(&function.sig).to_string();
            let accounts = signature.split_once("Context < ").map(|(_, rest)| rest);
            let accounts = accounts.and_then(|rest| rest.split([' ', '>']).next());
            let accounts = accounts.with_context(|| format!("no context: {signature}"))?;
            let name = function.sig.ident.to_string();
            let of_struct = instructions.by_accounts.entry(accounts.to_owned());
            of_struct.or_default().push(name.clone());
            instructions.names.push(name);
        }
        Ok(instructions)
    }

    /// Whether the instruction uses the struct of `site`.
    pub fn uses(&self, instruction: &str, site: &Site) -> bool {
        let used = slot(site).and_then(|(accounts, _)| self.by_accounts.get(accounts));
        used.is_some_and(|used| used.iter().any(|name| name == instruction))
    }

    /// The scenes among `tests` whose instruction uses the struct of `site`.
    pub fn scenes<'a>(&self, site: &Site, tests: &'a [String]) -> Vec<&'a str> {
        let is_scene = |test: &&str| {
            let scene = test.strip_prefix(SCENES).unwrap_or_default();
            // A scene is named after its instruction: the longest name that it starts with.
            let names = self.names.iter().filter(|name| scene.starts_with(*name));
            let instruction = names.max_by_key(|name| name.len());
            instruction.is_some_and(|instruction| self.uses(instruction, site))
        };
        tests.iter().map(String::as_str).filter(is_scene).collect()
    }
}

/// The instruction whose failure a scene's output reports.
pub fn failing_instruction(output: &str) -> Option<&str> {
    let (_, rest) = output.rsplit_once("Program log: Instruction: ")?;
    rest.split('"').next()
}

/// What a failed scene says about a mutant.
#[derive(Debug, PartialEq, Eq)]
pub enum Finding {
    /// Rows of the mutant's account slot differ, or an attack on it costs somebody.
    Killed,
    /// Only rows of other slots differ.
    Unnoticed,
    /// The scene failed before its table was compared.
    Spoiled,
}

/// Reads the output of a failed scene of `site`.
pub fn finding(site: &Site, scene: &str, output: &str) -> Finding {
    let scene = scene.trim_start_matches(SCENES);
    let table = format!("tests/matrix/{scene}.txt: ");
    // If an attack costs somebody who has not signed, the test fails before it compares the table.
    let mutation = format!("\n{scene}: ");
    let report = output.split_once(&table);
    let Some((_, report)) = report.or_else(|| output.split_once(&mutation)) else {
        return Finding::Spoiled;
    };
    if output.contains(PRECEDING) {
        return Finding::Unnoticed;
    }
    let field = slot(site).map(|(_, field)| format!("{field} "));
    let differs = field.is_some_and(|field| report.lines().any(|line| line.starts_with(&field)));
    if differs {
        Finding::Killed
    } else {
        Finding::Unnoticed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{
        mutants::{LIBRARY, sites},
        paths::root,
    };

    fn library() -> String {
        std::fs::read_to_string(root().join(LIBRARY)).expect("lib.rs")
    }

    #[test]
    fn a_batch_has_at_most_one_mutant_per_struct() {
        let sites = sites::find(root()).expect("the program's source");
        let sites: Vec<_> = sites.iter().filter(|site| is_batchable(site)).collect();
        let batches = batches(&sites);
        assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), sites.len());
        for batch in batches {
            let mut structs = HashSet::new();
            for site in batch {
                let (accounts, _) = slot(site).expect("a field");
                assert!(structs.insert(accounts), "two mutants of {accounts}");
            }
        }
    }

    #[test]
    fn every_batched_mutant_has_scenes() {
        let instructions = Instructions::read(&library()).expect("lib.rs parses");
        let scenes: Vec<String> = instructions
            .names
            .iter()
            .map(|name| format!("{SCENES}{name}"))
            .collect();
        for site in sites::find(root()).expect("the program's source") {
            let has_scenes = !instructions.scenes(&site, &scenes).is_empty();
            assert!(has_scenes || !is_batchable(&site), "{site}");
        }
    }

    #[test]
    fn only_rows_of_the_own_slot_count() {
        let source = "#[derive(Accounts)] struct Claim { #[account(mut)] owner: A }";
        let sites = sites::find_in("claim.rs", source).expect("the source parses");
        let read = |output: &str| finding(&sites[0], "matrix::scenes::claim", output);
        let table = "panicked at x:\ntests/matrix/claim.txt: ";
        let differs = "owner readonly: ok instead of ConstraintMut";
        assert_eq!(read(&format!("{table}{differs}")), Finding::Killed);
        let differs = "\nReview these rows and add them:\nowner  readonly  ok";
        assert_eq!(read(&format!("{table}{differs}")), Finding::Killed);
        let differs = "owner_tokens readonly: ok instead of ConstraintMut";
        assert_eq!(read(&format!("{table}{differs}")), Finding::Unnoticed);
        let set_up = r#"panicked at x:\nbond: Err(["Program log: Instruction: bond", "failed"])"#;
        assert_eq!(read(set_up), Finding::Spoiled);
        let theft = "alice has 0 of SOL, needs 1\nthread panicked at y:\nclaim: owner a.lp";
        assert_eq!(read(theft), Finding::Killed);
        assert_eq!(read(&format!("{PRECEDING}\n{theft}")), Finding::Unnoticed);
        assert_eq!(failing_instruction(set_up), Some("bond"));
    }
}

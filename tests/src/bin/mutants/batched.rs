//! Runs batches of mutants of account attributes.

use std::{collections::BTreeSet, fs};

use anyhow::Result;
use driftshield_tests::{
    mutants::{
        LIBRARY,
        batch::{Finding, Instructions, batches, failing_instruction, finding},
        record::Status,
        sites::{self, Site},
    },
    paths::root,
};

use super::{progress::Progress, workshop::Workshop};

/// The size up to which a spoiled batch is not halved: builds of single mutants take no longer.
const SMALL: usize = 3;

/// Runs the mutants of `sites` in batches and records those that a scene of the attack matrix kills.
/// Returns the others.
pub fn run<'a>(
    workshop: &Workshop,
    sites: &[&'a Site],
    progress: &mut Progress,
) -> Result<Vec<&'a Site>> {
    let instructions = Instructions::read(&fs::read_to_string(root().join(LIBRARY))?)?;
    let mut batches = batches(sites);
    batches.reverse();
    let mut left = Vec::new();
    while let Some(batch) = batches.pop() {
        eprintln!(
            "building a batch of {}, {} are left",
            batch.len(),
            batches.len()
        );
        let sources = |sites: &[&Site]| sites::mutant(root(), sites);
        let (built, others) = workshop.build_together(&batch, sources)?;
        left.extend(others);
        let (spoiled, unnoticed) = test(workshop, &instructions, &built, progress)?;
        left.extend(unnoticed);
        batches.extend(spoiled.retry(&mut left));
    }
    Ok(left)
}

/// Mutants whose scenes failed before their tables were compared.
struct Spoiled<'a> {
    sites: Vec<&'a Site>,
    /// The mutants of instructions that failed in these scenes.
    culprits: Vec<&'a Site>,
}

impl<'a> Spoiled<'a> {
    /// The batches to run again: without the culprits, which are added to `left`, or halves if there is none.
    fn retry(self, left: &mut Vec<&'a Site>) -> Vec<Vec<&'a Site>> {
        let Self { sites, culprits } = self;
        let is_culprit = |site: &&Site| culprits.iter().any(|culprit| culprit.key == site.key);
        let (found, others): (Vec<_>, Vec<_>) = sites.iter().partition(|site| is_culprit(site));
        if culprits.is_empty() && sites.len() <= SMALL {
            left.extend(sites);
            return Vec::new();
        }
        left.extend(found);
        let halves = match culprits.is_empty() {
            true => others.split_at(others.len() / 2),
            false => (&others[..], &[][..]),
        };
        let batches = [halves.0.to_vec(), halves.1.to_vec()].into_iter();
        batches.filter(|batch| !batch.is_empty()).collect()
    }
}

/// Runs the scenes of a batch and records the mutants that a scene kills. Returns those whose scenes are
/// spoiled, and those that no scene notices.
fn test<'a>(
    workshop: &Workshop,
    instructions: &Instructions,
    batch: &[&'a Site],
    progress: &mut Progress,
) -> Result<(Spoiled<'a>, Vec<&'a Site>)> {
    let tests = &workshop.tests;
    let scenes = |site: &Site| instructions.scenes(site, &tests.names);
    let wanted: BTreeSet<&str> = batch.iter().flat_map(|site| scenes(site)).collect();
    let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
    let failures = tests.failures(&workshop.tree.target, &wanted)?;
    let (mut spoiled, mut unnoticed, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for site in batch {
        let scenes = scenes(site);
        let own = failures
            .iter()
            .filter(|(scene, _)| scenes.contains(&scene.as_str()));
        let own = own.map(|(scene, output)| (finding(site, scene, output), scene, output));
        let own: Vec<_> = own.collect();
        if let Some((_, scene, _)) = own.iter().find(|(found, ..)| *found == Finding::Killed) {
            progress.set(site, Status::Killed((*scene).clone()))?;
        } else if let Some((.., output)) = own.iter().find(|(found, ..)| *found == Finding::Spoiled)
        {
            spoiled.push(*site);
            failed.extend(failing_instruction(output));
        } else {
            unnoticed.push(*site);
        }
    }
    let used = |site: &&&Site| failed.iter().any(|name| instructions.uses(name, site));
    let culprits = batch.iter().filter(used).copied().collect();
    let sites = spoiled;
    Ok((Spoiled { sites, culprits }, unnoticed))
}

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
    /// The number of mutants in the build.
    batch: usize,
}

impl<'a> Spoiled<'a> {
    /// The batches to run again, with fewer mutants. Those to build alone are added to `left`.
    fn retry(self, left: &mut Vec<&'a Site>) -> Vec<Vec<&'a Site>> {
        let Self {
            mut sites,
            culprits,
            batch,
        } = self;
        for culprit in culprits {
            sites.retain(|site| site.key != culprit.key);
            left.push(culprit);
        }
        let len = sites.len();
        if len == batch && len <= SMALL {
            left.append(&mut sites);
        }
        let second = match len == batch {
            true => sites.split_off(sites.len() / 2),
            false => Vec::new(),
        };
        let batches = [sites, second].into_iter();
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
    let failed_in = |site: &&Site| failed.iter().any(|name| instructions.uses(name, site));
    let culprits = spoiled.iter().copied().filter(failed_in).collect();
    let spoiled = Spoiled {
        sites: spoiled,
        culprits,
        batch: batch.len(),
    };
    Ok((spoiled, unnoticed))
}

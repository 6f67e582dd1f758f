//! Runs batches of mutants of account attributes.

use std::{collections::BTreeSet, fs};

use anyhow::Result;
use driftshield_tests::{
    mutants::{
        LIBRARY,
        batch::{Finding, Instructions, batches, finding},
        record::Status,
        sites::{self, Site},
    },
    paths::root,
};

use super::{progress::Progress, workshop::Workshop};

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
        let mut spoiled = Vec::new();
        for (site, result) in test(workshop, &instructions, &built)? {
            match result {
                Ok(test) => progress.set(site, Status::Killed(test))?,
                Err(Finding::Spoiled) => spoiled.push(site),
                Err(_) => left.push(site),
            }
        }
        // Smaller batches separate them from the mutant that spoils their scenes.
        if spoiled.len() < 2 {
            left.append(&mut spoiled);
        } else {
            let (first, second) = spoiled.split_at(spoiled.len() / 2);
            batches.extend([second.to_vec(), first.to_vec()]);
        }
    }
    Ok(left)
}

/// Runs the scenes of a batch. Returns the scene that kills each mutant, or why none does.
fn test<'a>(
    workshop: &Workshop,
    instructions: &Instructions,
    batch: &[&'a Site],
) -> Result<Vec<(&'a Site, Result<String, Finding>)>> {
    let tests = &workshop.tests;
    let scenes = |site: &Site| instructions.scenes(site, &tests.names);
    let wanted: BTreeSet<&str> = batch.iter().flat_map(|site| scenes(site)).collect();
    let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
    let failures = tests.failures(&workshop.tree.target, &wanted)?;
    let result = |site: &Site| {
        let mut worst = Finding::Unnoticed;
        for (scene, output) in &failures {
            if !scenes(site).contains(&scene.as_str()) {
                continue;
            }
            match finding(site, scene, output) {
                Finding::Killed => return Ok(scene.clone()),
                Finding::Spoiled => worst = Finding::Spoiled,
                Finding::Unnoticed => {}
            }
        }
        Err(worst)
    };
    Ok(batch.iter().map(|site| (*site, result(site))).collect())
}

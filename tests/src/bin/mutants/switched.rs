//! Runs switched mutants: each in a copy of one program, with its number patched in.

use std::{fs, path::PathBuf};

use anyhow::{Result, ensure};
use driftshield_tests::{
    mutants::{record::Status, sites::Site, switched},
    paths::root,
};

use super::{progress::Progress, tree, workshop::Workshop};

/// Runs the switched mutants of `sites` and records those that a likely test kills. Returns the others. The program
/// has the mutants of all sites in `all`, so that it is the same whichever of them run.
pub fn run<'a>(
    workshop: &Workshop,
    all: &[&Site],
    sites: &[&'a Site],
    progress: &mut Progress,
) -> Result<Vec<&'a Site>> {
    if sites.is_empty() {
        return Ok(Vec::new());
    }
    eprintln!("building {} switched mutants", all.len());
    let sources = |sites: &[&Site]| switched::sources(root(), sites);
    let (built, _) = workshop.build_together(all, sources)?;
    let program = Program::new(workshop)?;
    let tests = program.passing_tests(workshop)?;
    let number_of = |site: &Site| built.iter().position(|built| built.key == site.key);
    let mut left = Vec::new();
    for site in sites {
        let Some(at) = number_of(site) else {
            left.push(*site);
            continue;
        };
        program.activate(u32::try_from(at)? + 1)?;
        // Those that the likeliest tests don't notice are built alone, which unit tests need.
        let [likely, _] = workshop.rank(site, &tests);
        match workshop.tests.first_failure(&program.target, &likely)? {
            Some(test) => progress.set(site, Status::Killed(test))?,
            None => left.push(*site),
        }
    }
    Ok(left)
}

/// The program with the switched mutants.
struct Program {
    code: Vec<u8>,
    /// The folder with the copy of the program that the tests run.
    target: PathBuf,
}

impl Program {
    fn new(workshop: &Workshop) -> Result<Self> {
        let target = workshop.tree.target.with_file_name("switched");
        fs::create_dir_all(target.join("deploy"))?;
        Ok(Self {
            code: fs::read(tree::program(&workshop.tree.target))?,
            target,
        })
    }

    /// Makes the mutant with this number active; 0 makes none active.
    fn activate(&self, number: u32) -> Result<()> {
        let mut code = self.code.clone();
        switched::activate(&mut code, number)?;
        Ok(fs::write(tree::program(&self.target), code)?)
    }

    /// The tests that pass while no mutant is active. Tests that measure the program fail because of the
    /// switches.
    fn passing_tests(&self, workshop: &Workshop) -> Result<Vec<String>> {
        self.activate(0)?;
        let failing = workshop.failing_tests(&self.target)?;
        for test in &failing {
            ensure!(workshop.tests.names.contains(test), "{test} fails");
            eprintln!("{test} fails because of the switches, and is left out");
        }
        let mut tests = workshop.tests.names.clone();
        tests.retain(|test| !failing.contains(test));
        Ok(tests)
    }
}

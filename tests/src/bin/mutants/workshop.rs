//! What the mutants are built and tested with.

use std::{fs, path::Path};

use anyhow::{Result, bail};
use driftshield_tests::{
    mutants::{Sources, compiler, ranking::CallGraph, sites::Site},
    paths::{root, target_dir},
};
use sha2::{Digest, Sha256};

use super::{
    tests::Tests,
    tree::{Tree, program},
};

/// The number of highest-ranked tests that run first.
const FIRST_TESTS: usize = 24;

pub struct Workshop {
    pub tree: Tree,
    pub tests: Tests,
    calls: CallGraph,
}

impl Workshop {
    /// Copies the repository. Fails unless the unchanged program builds and passes all tests that run it.
    pub fn new(binary: &Path, (part, parts): (usize, usize)) -> Result<Self> {
        let home = target_dir().join(format!("mutants/{part}-of-{parts}"));
        let workshop = Self {
            tree: Tree::new(&home)?,
            tests: Tests::new(binary)?,
            calls: CallGraph::read(root())?,
        };
        if let Err(output) = workshop.tree.build()? {
            bail!("the unchanged program does not build: {output}");
        }
        if let Some(test) = workshop.failing_tests(&workshop.tree.target)?.first() {
            bail!("{test} fails on the unchanged program; fix it first");
        }
        Ok(workshop)
    }

    /// Runs all tests on the program in `target`. Returns the names of those that fail. A file keeps them
    /// for the next run with the same program and tests.
    pub fn failing_tests(&self, target: &Path) -> Result<Vec<String>> {
        let mut hash = Sha256::new();
        for file in [&program(target), &self.tests.binary] {
            hash.update(fs::read(file)?);
        }
        let hash = const_hex::encode(hash.finalize());
        let file = target.join("failing-tests");
        let kept = fs::read_to_string(&file).unwrap_or_default();
        let mut lines = kept.lines().map(str::to_owned);
        if lines.next().as_ref() == Some(&hash) {
            return Ok(lines.collect());
        }
        let tests = &self.tests.names;
        eprintln!(
            "running {} tests on the program in {}",
            tests.len(),
            target.display()
        );
        let failures = self.tests.failures(target, tests)?;
        let failing: Vec<String> = failures.into_iter().map(|(name, _)| name).collect();
        fs::write(file, [&[hash], &failing[..]].concat().join("\n"))?;
        Ok(failing)
    }

    /// The likeliest of `tests` to notice the mutant of `site`, and the others; both have the likeliest first.
    pub fn rank(&self, site: &Site, tests: &[String]) -> [Vec<String>; 2] {
        let mut first = self.calls.rank(site, tests);
        let others = first.split_off(FIRST_TESTS.min(first.len()));
        [first, others]
    }

    /// Builds the program with the mutants of as many `sites` as compile together. Returns those of the
    /// built program, and the others.
    pub fn build_together<'a>(
        &self,
        sites: &[&'a Site],
        sources: impl Fn(&[&Site]) -> Result<Sources>,
    ) -> Result<(Vec<&'a Site>, Vec<&'a Site>)> {
        let (mut together, mut others) = (sites.to_vec(), Vec::new());
        while !together.is_empty() {
            let build = || self.tree.build();
            let Err(output) = self.tree.with(&sources(&together)?, build)? else {
                break;
            };
            let (good, bad) = compiler::split(&together, &compiler::errors(&output));
            for site in &bad {
                eprintln!("{site}: does not compile with the others, and is built alone");
            }
            together = good;
            others.extend(bad);
        }
        Ok((together, others))
    }
}

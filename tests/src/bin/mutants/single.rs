//! Mutants that are built alone.

use anyhow::Result;
use driftshield_tests::{
    mutants::{
        record::Status,
        sites::{self, Site},
    },
    paths::root,
};

use super::{tests::first_failure, workshop::Workshop};

/// Builds and tests the mutant of a site.
pub fn run(workshop: &Workshop, site: &Site) -> Result<Status> {
    let (tree, tests) = (&workshop.tree, &workshop.tests.names);
    tree.with(&sites::mutant(root(), &[site])?, || {
        if tree.build()?.is_err() {
            return Ok(Status::Unbuildable);
        }
        let [likely, others] = workshop.rank(site, tests);
        let in_machine = |tests: &[String]| workshop.tests.first_failure(&tree.target, tests);
        // All other tests take the longest.
        let killer = match in_machine(&likely)? {
            Some(test) => Some(test),
            None => match first_failure(tree.unit_tests())? {
                Some(test) => Some(test),
                None => in_machine(&others)?,
            },
        };
        Ok(killer.map_or(Status::Survived, Status::Killed))
    })
}

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
        if let Some(test) = in_machine(&likely)? {
            return Ok(Status::Killed(test));
        }
        if let Some(test) = first_failure(tree.unit_tests())? {
            return Ok(Status::Killed(test));
        }
        // These take the longest.
        Ok(match in_machine(&others)? {
            Some(test) => Status::Killed(test),
            None => Status::Survived,
        })
    })
}

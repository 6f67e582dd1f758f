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
        for tests in workshop.rank(site, tests) {
            if let Some(test) = workshop.tests.first_failure(&tree.target, &tests)? {
                return Ok(Status::Killed(test));
            }
        }
        Ok(match first_failure(tree.unit_tests())? {
            Some(test) => Status::Killed(test),
            None => Status::Survived,
        })
    })
}

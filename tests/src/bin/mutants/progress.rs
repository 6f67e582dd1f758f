//! Records results and prints them as they come.

use std::time::Instant;

use anyhow::Result;
use driftshield_tests::mutants::{
    record::{Record, Status},
    sites::Site,
};

pub struct Progress<'a> {
    record: &'a mut Record,
    done: usize,
    selected: usize,
    last: Instant,
}

impl<'a> Progress<'a> {
    pub fn new(record: &'a mut Record, selected: usize) -> Self {
        Self {
            record,
            done: 0,
            selected,
            last: Instant::now(),
        }
    }

    /// Records the result of a mutant.
    pub fn set(&mut self, site: &Site, status: Status) -> Result<()> {
        self.done += 1;
        let (done, selected) = (self.done, self.selected);
        let secs = self.last.elapsed().as_secs();
        self.last = Instant::now();
        eprintln!("{done}/{selected} {site}: {status} ({secs} s)");
        self.record.set(site, status)
    }
}

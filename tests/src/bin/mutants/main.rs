//! `mutants`: mutation testing of the program. Removes each of its checks in turn, and expects a test to
//! fail.
//!
//! Most mutants share builds of the program. Those that no test notices there are built alone.

mod batched;
mod progress;
mod single;
mod switched;
mod tests;
mod tree;
mod workshop;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use driftshield_tests::{
    mutants::{
        RECORD, batch,
        record::{Record, Status},
        sites::{self, Site},
        switched::is_switchable,
    },
    paths::root,
};
use progress::Progress;
use workshop::Workshop;

/// Mutation testing of the program: removes its checks one at a time, and expects a test to fail.
#[derive(Parser)]
struct Options {
    /// Runs the I-th of N parts; several parts can run at once.
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = shard)]
    shard: (usize, usize),
    /// Also runs the mutants that survived before.
    #[arg(long)]
    survivors: bool,
    /// Runs only the mutants of checks whose location or code contains TEXT.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Drops stale rows from the record and prints it, and runs nothing.
    #[arg(long)]
    report: bool,
    /// The binary of the tests in the virtual machine.
    #[arg(long, required_unless_present = "report")]
    tests: Option<PathBuf>,
}

fn shard(text: &str) -> Result<(usize, usize)> {
    let (i, n) = text.split_once('/').context("expected I/N")?;
    let (i, n) = (i.parse()?, n.parse()?);
    ensure!(
        0 < i && i <= n,
        "there is no part {i} of {n}; I must be from 1 to N"
    );
    Ok((i, n))
}

fn main() -> Result<()> {
    let options = Options::parse();
    let sites = sites::find(root())?;
    let mut record = Record::read(&root().join(RECORD))?;
    record.prune(&sites)?;
    if let Some(tests) = options.tests.as_ref().filter(|_| !options.report) {
        let selected = select(&options, &sites, &record);
        let mut progress = Progress::new(&mut record, selected.len());
        if !selected.is_empty() {
            let workshop = Workshop::new(tests, options.shard)?;
            let all: Vec<&Site> = sites.iter().collect();
            run(&workshop, &all, &selected, &mut progress)?;
        }
    }
    println!("{}", record.report(&sites));
    Ok(())
}

/// The sites to run.
fn select<'a>(options: &Options, sites: &'a [Site], record: &Record) -> Vec<&'a Site> {
    let only = options.only.as_deref().unwrap_or_default();
    sites
        .iter()
        .skip(options.shard.0 - 1)
        .step_by(options.shard.1)
        .filter(|site| match record.status(site) {
            None => true,
            Some(status) => options.survivors && *status == Status::Survived,
        })
        .filter(|site| site.to_string().contains(only))
        .collect()
}

/// Runs the mutants that can share builds, then the others and those that are left.
fn run(
    workshop: &Workshop,
    all: &[&Site],
    selected: &[&Site],
    progress: &mut Progress,
) -> Result<()> {
    let (switchable, others) = partition(selected, is_switchable);
    let (batchable, mut alone) = partition(&others, batch::is_batchable);
    alone.extend(batched::run(workshop, &batchable, progress)?);
    let (all_switchable, _) = partition(all, is_switchable);
    alone.extend(switched::run(
        workshop,
        &all_switchable,
        &switchable,
        progress,
    )?);
    for site in alone {
        let status = single::run(workshop, site)?;
        progress.set(site, status)?;
    }
    Ok(())
}

fn partition<'a>(
    sites: &[&'a Site],
    is_first: impl Fn(&Site) -> bool,
) -> (Vec<&'a Site>, Vec<&'a Site>) {
    sites.iter().partition(|site| is_first(site))
}

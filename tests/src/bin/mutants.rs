//! `mutants`: mutation testing of the program. Removes each of its checks in turn, rebuilds the program,
//! and expects a test to fail.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use driftshield_tests::{
    mutants::{
        LIBRARY, RECORD,
        ranking::CallGraph,
        record::{Record, Status},
        sites::{self, Site},
    },
    paths::{root, target_dir},
};

/// The number of highest-ranked tests that run first.
const FIRST_TESTS: usize = 24;
/// The module of tests that do not run the program.
const OTHER_TESTS: &str = "builtins::";

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
    let Some(tests) = options.tests.as_ref().filter(|_| !options.report) else {
        println!("{}", record.report(&sites));
        return Ok(());
    };
    let runner = Runner::new(tests, options.shard)?;
    let selected: Vec<&Site> = sites
        .iter()
        .skip(options.shard.0 - 1)
        .step_by(options.shard.1)
        .filter(|site| match record.status(site) {
            None => true,
            Some(status) => options.survivors && *status == Status::Survived,
        })
        .filter(|site| {
            let only = options.only.as_deref().unwrap_or_default();
            site.to_string().contains(only)
        })
        .collect();
    for (done, site) in selected.iter().enumerate() {
        let start = Instant::now();
        let status = runner.run(site)?;
        let secs = start.elapsed().as_secs();
        eprintln!(
            "{}/{} {site}: {status} ({secs} s)",
            done + 1,
            selected.len()
        );
        record.set(site, status)?;
    }
    println!("{}", record.report(&sites));
    Ok(())
}

/// Builds and tests mutants in a copy of the repository.
struct Runner {
    /// The copy.
    tree: PathBuf,
    target: PathBuf,
    /// The binary of the tests in the virtual machine.
    binary: PathBuf,
    /// The names of the binary's tests that run the program.
    tests: Vec<String>,
    calls: CallGraph,
}

impl Runner {
    /// Copies the repository. Fails unless the unchanged program builds and passes all tests that run it.
    fn new(binary: &Path, shard: (usize, usize)) -> Result<Self> {
        let home = target_dir().join(format!("mutants/{}-of-{}", shard.0, shard.1));
        let tree = home.join("tree");
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        fs::create_dir_all(&tree)?;
        copy_repository(&tree)?;
        let runner = Self {
            tree,
            target: home.join("target"),
            binary: fs::canonicalize(binary)?,
            tests: program_tests(binary)?,
            calls: CallGraph::read(root())?,
        };
        eprintln!(
            "running {} tests on the unchanged program",
            runner.tests.len()
        );
        ensure!(
            runner.build()?,
            "the unchanged program does not build; run scripts/build-program"
        );
        if let Some(test) = runner.first_failure(&runner.tests)? {
            bail!("{test} fails on the unchanged program; fix it first");
        }
        Ok(runner)
    }

    /// Tests the mutant of a site, and restores the source.
    fn run(&self, site: &Site) -> Result<Status> {
        let file = self.tree.join(site.path());
        let library = self.tree.join(LIBRARY);
        ensure!(
            file != library,
            "{site}: checks in lib.rs are not supported; move the check to another file"
        );
        let (source, main) = (fs::read_to_string(&file)?, fs::read_to_string(&library)?);
        fs::write(&library, site.mutate_library(&main))?;
        fs::write(&file, site.mutate(&source))?;
        let status = self.test(site);
        fs::write(&file, source)?;
        fs::write(&library, main)?;
        status
    }

    /// Builds the tree, which has the mutant of `site`, and runs tests until one fails.
    fn test(&self, site: &Site) -> Result<Status> {
        if !self.build()? {
            return Ok(Status::Unbuildable);
        }
        let tests = self.calls.rank(site, &self.tests);
        let (first, others) = tests.split_at(FIRST_TESTS.min(tests.len()));
        for tests in [first, others] {
            if let Some(test) = self.first_failure(tests)? {
                return Ok(Status::Killed(test));
            }
        }
        Ok(match self.unit_test_failure()? {
            Some(test) => Status::Killed(test),
            None => Status::Survived,
        })
    }

    /// Builds the program. Returns whether that succeeds.
    fn build(&self) -> Result<bool> {
        let status = Command::new(self.tree.join("scripts/build-program"))
            .env("CARGO_TARGET_DIR", &self.target)
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.target.with_extension("log"))?)
            .status()?;
        Ok(status.success())
    }

    /// Runs `tests` in the virtual machine. Returns the name of the first one that fails.
    fn first_failure(&self, tests: &[String]) -> Result<Option<String>> {
        let mut command = Command::new(&self.binary);
        command
            .arg("--exact")
            .args(tests)
            .current_dir(root().join("tests"))
            .env("CARGO_TARGET_DIR", &self.target);
        first_failure(command)
    }

    /// Runs the program's unit tests. Returns the name of the first one that fails.
    fn unit_test_failure(&self) -> Result<Option<String>> {
        let mut command = Command::new("cargo");
        command
            .args([
                "test",
                "--quiet",
                "--lib",
                "--locked",
                "--ignore-rust-version",
            ])
            .args(["-p", "driftshield", "-p", "driftshield-math"])
            .args(["--", "--format=pretty"])
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target);
        first_failure(command)
    }
}

/// Runs a test binary until a test fails, and returns the name of that test.
fn first_failure(mut command: Command) -> Result<Option<String>> {
    let mut running = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = running.stdout.take().context("no standard output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        let failed = line
            .strip_prefix("test ")
            .and_then(|line| line.strip_suffix(" ... FAILED"));
        if let Some(test) = failed {
            running.kill()?;
            running.wait()?;
            return Ok(Some(test.to_owned()));
        }
    }
    let status = running.wait()?;
    // The process may also abort.
    Ok((!status.success()).then(|| "the test process".to_owned()))
}

/// The names of all tests in the binary that run the program.
fn program_tests(binary: &Path) -> Result<Vec<String>> {
    let list = Command::new(binary)
        .args(["--list", "--format=terse"])
        .output()?;
    let tests = String::from_utf8(list.stdout)?
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|test| !test.starts_with(OTHER_TESTS))
        .map(str::to_owned)
        .collect();
    Ok(tests)
}

/// Copies all files that are not ignored by git.
fn copy_repository(to: &Path) -> Result<()> {
    let list = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    for file in String::from_utf8(list.stdout)?.lines() {
        let (from, to) = (root().join(file), to.join(file));
        if from.is_file() {
            fs::create_dir_all(to.parent().context("the file has no folder")?)?;
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

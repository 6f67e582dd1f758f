//! The tests in the virtual machine that run the program.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use driftshield_tests::paths::root;

/// The modules of tests that run other programs.
const OTHER_TESTS: [&str; 2] = ["builtins::", "pausable::"];

/// The name of a failure outside of tests: the process aborts.
const PROCESS: &str = "the test process";

pub struct Tests {
    pub binary: PathBuf,
    pub names: Vec<String>,
}

impl Tests {
    /// The tests in the binary.
    pub fn new(binary: &Path) -> Result<Self> {
        let binary = fs::canonicalize(binary)?;
        let list = Command::new(&binary)
            .args(["--list", "--format=terse"])
            .output()?;
        let names = String::from_utf8(list.stdout)?
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .filter(|test| !OTHER_TESTS.iter().any(|module| test.starts_with(module)))
            .map(str::to_owned)
            .collect();
        Ok(Self { binary, names })
    }

    /// Runs tests on the program in `target`. Returns the name of the first one that fails.
    pub fn first_failure(&self, target: &Path, tests: &[String]) -> Result<Option<String>> {
        if tests.is_empty() {
            return Ok(None);
        }
        first_failure(self.command(target, tests))
    }

    /// Runs tests on the program in `target`. Returns the names and the outputs of those that fail.
    pub fn failures(&self, target: &Path, tests: &[String]) -> Result<Vec<(String, String)>> {
        if tests.is_empty() {
            return Ok(Vec::new());
        }
        let output = self.command(target, tests).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let sections = text.split("\n---- ").skip(1);
        let sections = sections.filter_map(|section| section.split_once(" stdout ----\n"));
        let failures = sections.map(|(name, output)| (name.to_owned(), output.to_owned()));
        let mut failures: Vec<_> = failures.collect();
        if failures.is_empty() && !output.status.success() {
            failures.push((PROCESS.to_owned(), String::new()));
        }
        Ok(failures)
    }

    fn command(&self, target: &Path, tests: &[String]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--exact")
            .args(tests)
            .current_dir(root().join("tests"))
            .env("CARGO_TARGET_DIR", target)
            .stderr(Stdio::null());
        command
    }
}

/// Runs a test binary until a test fails, and returns the name of that test.
pub fn first_failure(mut command: Command) -> Result<Option<String>> {
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
    Ok((!status.success()).then(|| PROCESS.to_owned()))
}

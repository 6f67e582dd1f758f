//! `mutants`: builds the program without one of its checks after the other, and expects a test to
//! fail.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use driftshield_tests::{
    idl::root,
    mutants::{
        RECORD, SOURCE,
        order::Calls,
        record::{Fate, Record},
        sites::{self, Site},
    },
};

/// Tests that run before the rest of the suite does.
const NEAREST: usize = 24;

/// Takes the program's checks away one at a time, and sees that a test fails for each.
#[derive(Parser)]
struct Options {
    /// Runs the i-th of n parts, `i/n`: several can run at once.
    #[arg(long, default_value = "1/1", value_parser = shard)]
    shard: (usize, usize),
    /// Runs those again that survived.
    #[arg(long)]
    survivors: bool,
    /// Only checks whose place or text holds this.
    #[arg(long)]
    only: Option<String>,
    /// Prints what is recorded, and runs nothing.
    #[arg(long)]
    report: bool,
    /// The test binary.
    #[arg(long, required_unless_present = "report")]
    tests: Option<PathBuf>,
}

fn shard(text: &str) -> Result<(usize, usize)> {
    let (i, n) = text.split_once('/').context("write i/n")?;
    let (i, n) = (i.parse()?, n.parse()?);
    ensure!(0 < i && i <= n, "there is no part {i} of {n}");
    Ok((i, n))
}

fn main() -> Result<()> {
    let options = Options::parse();
    let sites = sites::find(&root().join(SOURCE))?;
    let mut record = Record::read(&root().join(RECORD))?;
    let Some(tests) = options.tests.as_ref().filter(|_| !options.report) else {
        println!("{}", record.report(&sites));
        return Ok(());
    };
    let bench = Bench::new(tests, options.shard)?;
    let wanted: Vec<&Site> = sites
        .iter()
        .skip(options.shard.0 - 1)
        .step_by(options.shard.1)
        .filter(|site| match record.fate(site) {
            None => true,
            Some(fate) => options.survivors && *fate == Fate::Survived,
        })
        .filter(|site| {
            let only = options.only.as_deref().unwrap_or_default();
            site.to_string().contains(only)
        })
        .collect();
    for (at, site) in wanted.iter().enumerate() {
        let start = Instant::now();
        let fate = bench.run(site)?;
        let secs = start.elapsed().as_secs();
        eprintln!("{}/{} {site}: {fate} ({secs} s)", at + 1, wanted.len());
        record.add(site, fate)?;
    }
    println!("{}", record.report(&sites));
    Ok(())
}

/// A copy of the repository that is built and tested with one check less.
struct Bench {
    tree: PathBuf,
    target: PathBuf,
    binary: PathBuf,
    tests: Vec<String>,
    calls: Calls,
}

impl Bench {
    fn new(binary: &Path, shard: (usize, usize)) -> Result<Self> {
        let home = env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root().join("target"), PathBuf::from)
            .join(format!("mutants/{}-of-{}", shard.0, shard.1));
        let tree = home.join("tree");
        if tree.exists() {
            fs::remove_dir_all(&tree)?;
        }
        fs::create_dir_all(&tree)?;
        copy_repository(&tree)?;
        let bench = Self {
            tree,
            target: home.join("target"),
            binary: fs::canonicalize(binary)?,
            tests: tests_in_the_machine(binary)?,
            calls: Calls::read(root())?,
        };
        eprintln!("the program as it is, and {} tests", bench.tests.len());
        ensure!(bench.build()?, "the program does not build");
        let failed = bench.first_failure(&bench.tests)?;
        ensure!(
            failed.is_none(),
            "{failed:?} fails with the program as it is"
        );
        Ok(bench)
    }

    fn run(&self, site: &Site) -> Result<Fate> {
        let file = self.tree.join(SOURCE).join(&site.file);
        let library = self.tree.join(SOURCE).join("lib.rs");
        ensure!(file != library, "{site}: no check is expected there");
        let (source, main) = (fs::read_to_string(&file)?, fs::read_to_string(&library)?);
        fs::write(&library, site.library(&main))?;
        fs::write(&file, site.taken_from(&source))?;
        let fate = self.fate(site);
        fs::write(&file, source)?;
        fs::write(&library, main)?;
        fate
    }

    fn fate(&self, site: &Site) -> Result<Fate> {
        if !self.build()? {
            return Ok(Fate::Unbuildable);
        }
        let tests = self.calls.order(site, &self.tests);
        let (nearest, others) = tests.split_at(NEAREST.min(tests.len()));
        for tests in [nearest, others] {
            if let Some(test) = self.first_failure(tests)? {
                return Ok(Fate::Killed(test));
            }
        }
        Ok(match self.unit_test_failure()? {
            Some(test) => Fate::Killed(test),
            None => Fate::Survived,
        })
    }

    /// Whether the program can be built.
    fn build(&self) -> Result<bool> {
        let status = Command::new(self.tree.join("scripts/build-program"))
            .env("CARGO_TARGET_DIR", &self.target)
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.target.with_extension("log"))?)
            .status()?;
        Ok(status.success())
    }

    /// Runs `tests` in the virtual machine until one fails.
    fn first_failure(&self, tests: &[String]) -> Result<Option<String>> {
        let mut command = Command::new(&self.binary);
        command
            .arg("--exact")
            .args(tests)
            .current_dir(root().join("tests"))
            .env("CARGO_TARGET_DIR", &self.target);
        first_failure(command)
    }

    /// Runs the program's own tests, of its arithmetic.
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
            .args(["-p", "driftshield", "--", "--format=pretty"])
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.target);
        first_failure(command)
    }
}

fn first_failure(mut command: Command) -> Result<Option<String>> {
    let mut running = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = running.stdout.take().context("its output")?;
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
    // A process that ends otherwise has found something too.
    Ok((!status.success()).then(|| "the test process".to_owned()))
}

/// The names of the tests that run the program in the virtual machine.
fn tests_in_the_machine(binary: &Path) -> Result<Vec<String>> {
    let mut modules = Vec::new();
    let folder = root().join("tests/tests/vm");
    for path in driftshield_tests::mutants::rust_files(&folder)? {
        let source = fs::read_to_string(&path)?;
        // Those of networks run the services; they take minutes.
        if source.contains("World") || source.contains("Insured") {
            let module = path.strip_prefix(&folder)?.with_extension("");
            let module = module.display().to_string().replace('/', "::");
            modules.push(module.trim_end_matches("::mod").to_owned() + "::");
        }
    }
    let list = Command::new(binary)
        .args(["--list", "--format=terse"])
        .output()?;
    let tests = String::from_utf8(list.stdout)?
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|test| modules.iter().any(|module| test.starts_with(module)))
        .map(str::to_owned)
        .collect();
    Ok(tests)
}

/// Copies what git would commit.
fn copy_repository(to: &Path) -> Result<()> {
    let list = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    for file in String::from_utf8(list.stdout)?.lines() {
        let (from, to) = (root().join(file), to.join(file));
        if from.is_file() {
            fs::create_dir_all(to.parent().context("a folder")?)?;
            fs::copy(from, to)?;
        }
    }
    Ok(())
}

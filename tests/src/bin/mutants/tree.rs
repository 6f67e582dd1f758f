//! A copy of the repository, in which mutants are built.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use driftshield_tests::{mutants::Sources, paths::root};

pub struct Tree {
    root: PathBuf,
    pub target: PathBuf,
}

impl Tree {
    /// Copies the repository into the folder `home`.
    pub fn new(home: &Path) -> Result<Self> {
        let tree = Self {
            root: home.join("tree"),
            target: home.join("target"),
        };
        if tree.root.exists() {
            fs::remove_dir_all(&tree.root)?;
        }
        fs::create_dir_all(&tree.target)?;
        tree.copy_repository()?;
        Ok(tree)
    }

    /// Copies all files that are not ignored by git.
    fn copy_repository(&self) -> Result<()> {
        let list = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root())
            .output()?;
        for file in String::from_utf8(list.stdout)?.lines() {
            let (from, to) = (root().join(file), self.root.join(file));
            if from.is_file() {
                fs::create_dir_all(to.parent().context("the file has no folder")?)?;
                fs::copy(from, to)?;
            }
        }
        Ok(())
    }

    /// Runs `action` while the files have these contents.
    pub fn with<T>(&self, sources: &Sources, action: impl FnOnce() -> Result<T>) -> Result<T> {
        for (path, source) in sources {
            fs::write(self.root.join(path), source)?;
        }
        let result = action();
        for path in sources.keys() {
            // A new time, so that cargo notices the change.
            let original = fs::read_to_string(root().join(path))?;
            fs::write(self.root.join(path), original)?;
        }
        result
    }

    /// Builds the program. Returns the compiler's output if that fails.
    pub fn build(&self) -> Result<Result<(), String>> {
        let log = self.target.with_extension("log");
        let status = Command::new(self.root.join("scripts/build-program"))
            .env("CARGO_TARGET_DIR", &self.target)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .status()?;
        if status.success() {
            return Ok(Ok(()));
        }
        Ok(Err(String::from_utf8_lossy(&fs::read(log)?).into_owned()))
    }

    /// The command that runs the program's unit tests.
    pub fn unit_tests(&self) -> Command {
        let mut command = Command::new("cargo");
        command
            .args(["test", "--quiet", "--lib", "--locked"])
            .args(["--ignore-rust-version"])
            .args(["-p", "driftshield", "-p", "driftshield-math"])
            .args(["--", "--format=pretty"])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

/// The program in a target folder.
pub fn program(target: &Path) -> PathBuf {
    target.join("deploy/driftshield.so")
}

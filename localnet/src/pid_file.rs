//! PID file that also lists temporary directories, so that the next localnet can clean up after one
//! that was killed.
//!
//! Each line is `process PID START NAME` or `folder PATH`. `START` is the process's start time in
//! clock ticks since boot: it distinguishes the process from a later one with the same PID.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use procfs::process::Process;

/// Name prefix of temporary directories. Cleaning up removes only directories with this prefix.
pub const DIRECTORY_PREFIX: &str = "driftshield-";
const FILE_NAME: &str = "processes";
const LOCALNET: &str = "localnet";
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum Entry<'a> {
    Process { pid: i32, start: u64, name: &'a str },
    Directory(&'a Path),
}

impl PidFile {
    /// Creates the file in `directory`, after cleaning up what a killed localnet left behind. Fails
    /// if another localnet is running in the directory.
    pub fn create(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join(FILE_NAME);
        let previous = fs::read_to_string(&path).unwrap_or_default();
        let entries: Vec<Entry> = previous.lines().filter_map(parse).collect();
        for entry in &entries {
            if let Entry::Process { pid, name, .. } = entry
                && *name == LOCALNET
                && entry.is_running()
            {
                bail!(
                    "another localnet (process {pid}) uses {}: stop it or pass --dir",
                    directory.display()
                );
            }
        }
        entries.iter().rev().for_each(Entry::clean_up);
        File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        let file = Self { path };
        file.add_process(std::process::id(), LOCALNET)?;
        Ok(file)
    }

    /// Adds a process, unless it has already ended.
    pub fn add_process(&self, pid: u32, name: &str) -> anyhow::Result<()> {
        match i32::try_from(pid).ok().and_then(start_time) {
            Some(start) => self.append(&format!("process {pid} {start} {name}")),
            None => Ok(()),
        }
    }

    /// Adds a temporary directory, whose name must start with [`DIRECTORY_PREFIX`].
    pub fn add_directory(&self, path: &Path) -> anyhow::Result<()> {
        self.append(&format!("folder {}", path.display()))
    }

    /// Removes the file. Call this once all processes have ended and all directories are removed.
    pub fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }

    fn append(&self, line: &str) -> anyhow::Result<()> {
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .and_then(|mut file| writeln!(file, "{line}"))
            .with_context(|| format!("writing {}", self.path.display()))
    }
}

impl Entry<'_> {
    fn is_running(&self) -> bool {
        matches!(self, Self::Process { pid, start, .. } if start_time(*pid) == Some(*start))
    }

    /// Stops the process or removes the directory.
    fn clean_up(&self) {
        match self {
            Self::Process { pid, .. } => self.stop(Pid::from_raw(*pid)),
            Self::Directory(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with(DIRECTORY_PREFIX) {
                    let _ = fs::remove_dir_all(path);
                }
            }
        }
    }

    /// Sends SIGTERM, and SIGKILL if the process still runs after [`STOP_TIMEOUT`].
    fn stop(&self, pid: Pid) {
        if !self.is_running() {
            return;
        }
        let _ = kill(pid, Signal::SIGTERM);
        let started = Instant::now();
        while self.is_running() && started.elapsed() < STOP_TIMEOUT {
            std::thread::sleep(Duration::from_millis(50));
        }
        if self.is_running() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

fn parse(line: &str) -> Option<Entry<'_>> {
    let (kind, rest) = line.split_once(' ')?;
    match kind {
        "process" => {
            let mut fields = rest.splitn(3, ' ');
            Some(Entry::Process {
                pid: fields.next()?.parse().ok()?,
                start: fields.next()?.parse().ok()?,
                name: fields.next()?,
            })
        }
        "folder" => Some(Entry::Directory(Path::new(rest))),
        _ => None,
    }
}

/// Start time of a running process, in clock ticks since boot; `None` if the process has ended.
fn start_time(pid: i32) -> Option<u64> {
    let stat = Process::new(pid).ok()?.stat().ok()?;
    // A zombie has ended: only its parent has not collected its exit status yet.
    (stat.state != 'Z').then_some(stat.starttime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_localnet_in_the_same_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = PidFile::create(directory.path()).unwrap();
        let error = PidFile::create(directory.path()).unwrap_err().to_string();
        assert!(error.starts_with(&format!(
            "another localnet (process {})",
            std::process::id()
        )));
        file.remove();
        PidFile::create(directory.path()).unwrap();
    }

    #[test]
    fn processes_and_directories_of_a_killed_localnet_are_cleaned_up() {
        let directory = tempfile::tempdir().unwrap();
        let leftover = directory.path().join(format!("{DIRECTORY_PREFIX}left"));
        fs::create_dir(&leftover).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let start = start_time(i32::try_from(child.id()).unwrap()).unwrap();
        let lines = format!(
            "process 1 0 localnet\nprocess {} {start} sleep\nfolder {}\n",
            child.id(),
            leftover.display()
        );
        fs::write(directory.path().join(FILE_NAME), lines).unwrap();
        let exit = std::thread::spawn(move || child.wait().unwrap());
        PidFile::create(directory.path()).unwrap();
        assert!(!exit.join().unwrap().success());
        assert!(!leftover.exists());
    }
}

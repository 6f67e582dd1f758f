//! What this localnet has running, written down so that the next one can clean up after a death
//! without warning.
//!
//! A line each: `process PID START NAME`, START being when the kernel started it, so that another
//! process with the same number is left alone; or `folder PATH`.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Folders are removed at the next start only where their names begin so.
pub const FOLDER_PREFIX: &str = "driftshield-";
const FILE: &str = "processes";
const LOCALNET: &str = "localnet";
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Record {
    path: PathBuf,
}

#[derive(Debug, PartialEq, Eq)]
enum Entry<'a> {
    Process { pid: i32, start: u64, name: &'a str },
    Folder(&'a Path),
}

impl Record {
    /// Cleans up what a dead localnet left of itself, and begins anew. Refuses where one lives.
    pub fn begin(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(FILE);
        let left = fs::read_to_string(&path).unwrap_or_default();
        let entries: Vec<Entry> = left.lines().filter_map(parse).collect();
        for entry in &entries {
            if let Entry::Process { pid, name, .. } = entry
                && *name == LOCALNET
                && entry.lives()
            {
                bail!(
                    "another localnet (process {pid}) uses {}: end it or pass --dir",
                    dir.display()
                );
            }
        }
        entries.iter().rev().for_each(Entry::clean_up);
        File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        let record = Self { path };
        record.add_process(std::process::id(), LOCALNET)?;
        Ok(record)
    }

    pub fn add_process(&self, pid: u32, name: &str) -> anyhow::Result<()> {
        match i32::try_from(pid).ok().and_then(start_of) {
            Some(start) => self.add(&format!("process {pid} {start} {name}")),
            // It has ended already.
            None => Ok(()),
        }
    }

    pub fn add_folder(&self, path: &Path) -> anyhow::Result<()> {
        self.add(&format!("folder {}", path.display()))
    }

    /// Nothing is left.
    pub fn end(&self) {
        let _ = fs::remove_file(&self.path);
    }

    fn add(&self, line: &str) -> anyhow::Result<()> {
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .and_then(|mut file| writeln!(file, "{line}"))
            .with_context(|| format!("writing {}", self.path.display()))
    }
}

impl Entry<'_> {
    fn lives(&self) -> bool {
        matches!(self, Self::Process { pid, start, .. } if start_of(*pid) == Some(*start))
    }

    fn clean_up(&self) {
        match self {
            Self::Process { pid, .. } => {
                let Some(pid) = Pid::from_raw(*pid) else {
                    return;
                };
                if !self.lives() {
                    return;
                }
                let _ = kill_process(pid, Signal::TERM);
                let since = Instant::now();
                while self.lives() && since.elapsed() < PATIENCE {
                    std::thread::sleep(Duration::from_millis(50));
                }
                if self.lives() {
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            Self::Folder(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if name.starts_with(FOLDER_PREFIX) {
                    let _ = fs::remove_dir_all(path);
                }
            }
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
        "folder" => Some(Entry::Folder(Path::new(rest))),
        _ => None,
    }
}

/// When a living process was started, in the kernel's ticks since the machine was.
fn start_of(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (state != "Z").then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_localnet_in_the_same_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let record = Record::begin(dir.path()).unwrap();
        let refused = Record::begin(dir.path()).unwrap_err().to_string();
        assert!(refused.starts_with(&format!(
            "another localnet (process {})",
            std::process::id()
        )));
        record.end();
        Record::begin(dir.path()).unwrap();
    }

    #[test]
    fn what_a_dead_localnet_left_is_cleaned_up() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(format!("{FOLDER_PREFIX}left"));
        fs::create_dir(&folder).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let start = start_of(i32::try_from(child.id()).unwrap()).unwrap();
        let left = format!(
            "process 1 0 localnet\nprocess {} {start} sleep\nfolder {}\n",
            child.id(),
            folder.display()
        );
        fs::write(dir.path().join(FILE), left).unwrap();
        let waiting = std::thread::spawn(move || child.wait().unwrap());
        Record::begin(dir.path()).unwrap();
        assert!(!waiting.join().unwrap().success());
        assert!(!folder.exists());
    }
}

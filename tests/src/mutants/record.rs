//! The record of results: a file of tab-separated values with one row per check.

use std::{
    collections::HashMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::sites::{Kind, Site};

/// The result of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The named test failed.
    Killed(String),
    /// The mutant does not compile.
    Unbuildable,
    /// No test failed.
    Survived,
}

/// The killer of an unbuildable mutant, in the place of a test.
const COMPILER: &str = "the compiler";

impl Status {
    fn parse(status: &str, killer: &str) -> Option<Self> {
        match status {
            "killed" if killer == COMPILER => Some(Self::Unbuildable),
            "killed" => Some(Self::Killed(killer.into())),
            "survived" => Some(Self::Survived),
            _ => None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Killed(test) => write!(f, "killed\t{test}"),
            Self::Unbuildable => write!(f, "killed\t{COMPILER}"),
            Self::Survived => write!(f, "survived\t"),
        }
    }
}

/// A row of the file: `key, status, killer, kind, item, text`, separated by tabs.
#[derive(Clone, Debug)]
struct Row {
    key: String,
    status: Status,
    line: String,
}

impl Row {
    fn new(site: &Site, status: Status) -> Self {
        let line = format!(
            "{}\t{status}\t{}\t{}\t{}",
            site.key,
            site.kind.name(),
            site.item,
            site.text.replace('\t', " ")
        );
        Self {
            key: site.key.clone(),
            status,
            line,
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let (key, status, killer) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self {
            key: key.into(),
            status: Status::parse(status, killer)?,
            line: line.into(),
        })
    }
}

/// The record, as last read or written.
pub struct Record {
    path: PathBuf,
    rows: Vec<Row>,
}

impl Record {
    /// Reads the file, which may be missing.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.into(),
            rows: read_rows(path)?,
        })
    }

    /// Drops the rows of checks that no longer exist, and all but the last row of each check. Puts the
    /// rest into the order of `sites`.
    pub fn prune(&mut self, sites: &[Site]) -> Result<()> {
        self.update(|rows| {
            let rows = rows.drain(..).map(|row| (row.key.clone(), row));
            let mut last: HashMap<String, Row> = rows.collect();
            sites
                .iter()
                .filter_map(|site| last.remove(&site.key))
                .collect()
        })
    }

    /// Adds a result, or replaces the earlier result of the same check.
    pub fn set(&mut self, site: &Site, status: Status) -> Result<()> {
        let new = Row::new(site, status);
        self.update(|rows| {
            match rows.iter_mut().find(|row| row.key == new.key) {
                Some(row) => *row = new,
                None => rows.push(new),
            }
            std::mem::take(rows)
        })
    }

    /// Applies `change` to the rows of the file. Several processes may update the file at once: a lock
    /// makes reading and writing atomic. The lock is on the folder, because the file itself is replaced.
    fn update(&mut self, change: impl FnOnce(&mut Vec<Row>) -> Vec<Row>) -> Result<()> {
        let folder = self.path.parent().context("the record has no folder")?;
        let lock = fs::File::open(folder)?;
        lock.lock()?;
        self.rows = change(&mut read_rows(&self.path)?);
        let mut text = String::new();
        for row in &self.rows {
            text += &row.line;
            text.push('\n');
        }
        let new = self.path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(&new, &self.path)?;
        Ok(())
    }

    pub fn status(&self, site: &Site) -> Option<&Status> {
        let row = self.rows.iter().find(|row| row.key == site.key);
        row.map(|row| &row.status)
    }

    /// The key of each row.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.key.as_str())
    }

    /// The totals of each kind, the mutants that survived or have not run, and the overall totals.
    pub fn report(&self, sites: &[Site]) -> String {
        let mut lines = Vec::new();
        for kind in Kind::ALL {
            let of_kind: Vec<&Site> = sites.iter().filter(|site| site.kind == kind).collect();
            lines.push(format!("{:<14} {}", kind.name(), self.totals(&of_kind)));
        }
        for site in sites {
            match self.status(site) {
                Some(Status::Survived) => lines.push(format!("survived {} {site}", site.key)),
                Some(_) => {}
                None => lines.push(format!("not run  {} {site}", site.key)),
            }
        }
        let all: Vec<&Site> = sites.iter().collect();
        lines.push(format!("{:<14} {}", "all", self.totals(&all)));
        lines.join("\n")
    }

    /// `N killed M (K by the compiler), S survived, R not run`.
    fn totals(&self, sites: &[&Site]) -> String {
        let count = |wanted: fn(Option<&Status>) -> bool| {
            let statuses = sites.iter().map(|site| self.status(site));
            statuses.filter(|status| wanted(*status)).count()
        };
        let by_tests = count(|status| matches!(status, Some(Status::Killed(_))));
        let by_compiler = count(|status| status == Some(&Status::Unbuildable));
        let survived = count(|status| status == Some(&Status::Survived));
        let not_run = count(|status| status.is_none());
        format!(
            "{:>4} killed {:>4} ({by_compiler} by {COMPILER}), {survived} survived, {not_run} not run",
            sites.len(),
            by_tests + by_compiler
        )
    }
}

fn read_rows(path: &Path) -> Result<Vec<Row>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path)?;
    let rows = text.lines().map(|line| {
        Row::parse(line).with_context(|| format!("{}: malformed row: {line}", path.display()))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::sites::find_in;

    /// Sites of a function with a `require!` of each number.
    fn sites(numbers: &[u32]) -> Vec<Site> {
        let checks = numbers.iter().map(|number| {
            format!("pub fn check_{number}(a: u64) {{ require!({number} < a, E); }}")
        });
        find_in("checks.rs", &checks.collect::<String>()).expect("the source parses")
    }

    #[test]
    fn a_result_replaces_that_of_the_same_check() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record.tsv");
        let sites = sites(&[1, 2]);
        let mut record = Record::read(&path).expect("an empty record");
        let mut other = Record::read(&path).expect("an empty record");
        record.set(&sites[0], Status::Survived).expect("written");
        other.set(&sites[1], Status::Unbuildable).expect("written");
        let killed = Status::Killed("tests::name".into());
        record.set(&sites[0], killed.clone()).expect("written");

        let record = Record::read(&path).expect("the record");
        assert_eq!(record.keys().count(), 2);
        assert_eq!(record.status(&sites[0]), Some(&killed));
        assert_eq!(record.status(&sites[1]), Some(&Status::Unbuildable));
    }

    #[test]
    fn pruning_drops_stale_and_repeated_rows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record.tsv");
        let old = sites(&[1, 2, 3]);
        let rows = [
            Row::new(&old[2], Status::Survived),
            Row::new(&old[0], Status::Survived),
            Row::new(&old[1], Status::Survived),
            Row::new(&old[2], Status::Unbuildable),
        ];
        let lines = rows.map(|row| row.line + "\n");
        fs::write(&path, lines.concat()).expect("written");

        let new = sites(&[2, 3]);
        let mut record = Record::read(&path).expect("the record");
        record.prune(&new).expect("pruned");
        let record = Record::read(&path).expect("the record");
        let keys: Vec<&str> = record.keys().collect();
        assert_eq!(keys, [&new[0].key, &new[1].key]);
        assert_eq!(record.status(&new[1]), Some(&Status::Unbuildable));
    }
}

//! What is known of mutants: a line each in a file that is only ever appended to.

use std::{
    collections::HashMap,
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::sites::{Kind, Site};

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A test failed: which.
    Killed(String),
    /// It can't be built.
    Unbuildable,
    Survived,
}

const UNBUILDABLE: &str = "the compiler";

impl Fate {
    fn parse(fate: &str, by: &str) -> Option<Self> {
        match fate {
            "killed" if by == UNBUILDABLE => Some(Self::Unbuildable),
            "killed" => Some(Self::Killed(by.into())),
            "survived" => Some(Self::Survived),
            _ => None,
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Killed(by) => write!(f, "killed\t{by}"),
            Self::Unbuildable => write!(f, "killed\t{UNBUILDABLE}"),
            Self::Survived => write!(f, "survived\t"),
        }
    }
}

/// The file of results: `key, fate, by, kind, item, text`, separated by tabs.
pub struct Record {
    path: PathBuf,
    fates: HashMap<String, Fate>,
}

impl Record {
    /// The file may be missing.
    pub fn read(path: &Path) -> Result<Self> {
        let mut fates = HashMap::new();
        let text = if path.exists() {
            fs::read_to_string(path)?
        } else {
            String::new()
        };
        for line in text.lines() {
            let mut fields = line.split('\t');
            let mut next = || fields.next().unwrap_or_default();
            let (key, fate, by) = (next(), next(), next());
            let fate = Fate::parse(fate, by).with_context(|| format!("not a result: {line}"))?;
            fates.insert(key.to_owned(), fate);
        }
        Ok(Self {
            path: path.into(),
            fates,
        })
    }

    pub fn fate(&self, site: &Site) -> Option<&Fate> {
        self.fates.get(&site.key)
    }

    /// Several processes may add at once: a line is one write.
    pub fn add(&mut self, site: &Site, fate: Fate) -> Result<()> {
        let line = format!(
            "{}\t{fate}\t{}\t{}\t{}\n",
            site.key,
            site.kind.name(),
            site.item,
            site.text.replace('\t', " ")
        );
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)?;
        file.write_all(line.as_bytes())?;
        self.fates.insert(site.key.clone(), fate);
        Ok(())
    }

    /// How many of each kind there are and are killed, the survivors, and a line of totals.
    pub fn report(&self, sites: &[Site]) -> String {
        let mut lines = Vec::new();
        for kind in Kind::ALL {
            let of_kind: Vec<&Site> = sites.iter().filter(|site| site.kind == kind).collect();
            lines.push(format!("{:<14} {}", kind.name(), self.tally(&of_kind)));
        }
        for site in sites {
            match self.fate(site) {
                Some(Fate::Survived) => lines.push(format!("survived {} {site}", site.key)),
                Some(_) => {}
                None => lines.push(format!("not run  {} {site}", site.key)),
            }
        }
        let all: Vec<&Site> = sites.iter().collect();
        lines.push(format!("{:<14} {}", "all", self.tally(&all)));
        lines.join("\n")
    }

    /// `N killed M (K by the compiler), S survived, R not run`.
    fn tally(&self, sites: &[&Site]) -> String {
        let count = |wanted: fn(Option<&Fate>) -> bool| {
            let fates = sites.iter().map(|site| self.fate(site));
            fates.filter(|fate| wanted(*fate)).count()
        };
        let by_tests = count(|fate| matches!(fate, Some(Fate::Killed(_))));
        let by_compiler = count(|fate| fate == Some(&Fate::Unbuildable));
        let survived = count(|fate| fate == Some(&Fate::Survived));
        let not_run = count(|fate| fate.is_none());
        format!(
            "{:>4} killed {:>4} ({by_compiler} by {UNBUILDABLE}), {survived} survived, {not_run} not run",
            sites.len(),
            by_tests + by_compiler
        )
    }
}

//! What motives paid, over many runs.

use std::{collections::BTreeMap, fmt::Write};

use super::{Pair, motive::Motive};

/// What one motive paid.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Runs in which the coalition acted.
    pub runs: u64,
    /// Runs in which it found nothing to do.
    pub idle: u64,
    pub deeds: u64,
    /// Runs in which it had more at the end than otherwise.
    pub gains: u64,
    total: i64,
    max: Option<i64>,
    most: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Tally(pub BTreeMap<Motive, Line>);

impl Tally {
    pub fn count(&mut self, pair: &Pair) {
        let line = self.0.entry(pair.motive).or_default();
        if pair.deeds == 0 {
            line.idle += 1;
            return;
        }
        line.runs += 1;
        line.deeds += pair.deeds;
        line.gains += u64::from(0 < pair.profit);
        line.total += pair.profit;
        line.max = line.max.max(Some(pair.profit));
        line.most = line.most.max(pair.most);
    }

    /// A table of all motives. Profits are in tokens.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{:<20} {:>5} {:>5} {:>6} {:>6} {:>14} {:>14} {:>14}\n",
            "motive", "runs", "idle", "deeds", "gains", "mean profit", "max profit", "max allowed"
        );
        for (motive, line) in &self.0 {
            let mean = line.total / (line.runs as i64).max(1);
            writeln!(
                table,
                "{:<20} {:>5} {:>5} {:>6} {:>6} {:>14} {:>14} {:>14}",
                format!("{motive:?}"),
                line.runs,
                line.idle,
                line.deeds,
                line.gains,
                tokens(mean),
                tokens(line.max.unwrap_or(0)),
                tokens(line.most as i64),
            )
            .expect("a string");
        }
        table
    }
}

fn tokens(amount: i64) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let units = amount.unsigned_abs();
    format!("{sign}{}.{:06}", units / 1_000_000, units % 1_000_000)
}

//! Series: the results of a model's windows, in pages that outlive the receipts.

use std::collections::BTreeMap;

use driftshield_sdk::{Address, address};

use super::{Books, Model, Verdict, require};

/// The number of windows in a page.
pub(super) const PAGE: u64 = 256;

/// How a window ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowEnd {
    /// With a drift in micro-units.
    Final(u64),
    Void,
    /// With too few rows for a value.
    Thin,
}

#[derive(Clone, Debug)]
pub struct Series {
    pub model: Address,
    pub page: u64,
    pub payer: Address,
    /// The windows that have ended.
    pub ends: BTreeMap<u64, WindowEnd>,
}

impl Series {
    fn last_window(&self) -> u64 {
        self.page * PAGE + PAGE - 1
    }
}

/// The addresses of the pages that hold these windows: none if the first comes after the last.
pub fn pages(model: &Address, first_window: u64, last_window: u64) -> Vec<Address> {
    let pages = first_window / PAGE..=last_window / PAGE;
    pages
        .filter(|_| first_window <= last_window)
        .map(|page| address::series_page(model, page))
        .collect()
}

/// The windows of the page of `window`.
pub fn windows_of_page(window: u64) -> std::ops::Range<u64> {
    let first = window / PAGE * PAGE;
    first..first + PAGE
}

/// What a market does with a window.
pub enum Decision {
    Observed(u64),
    Skipped,
}

impl Books {
    /// The page that holds `window`; `None` if it doesn't exist.
    pub fn page(&self, model: &Address, window: u64) -> Option<&Series> {
        self.series.get(&address::series_page(model, window / PAGE))
    }

    /// How a window ended; `None` if it has no receipt yet, or an open one.
    pub fn end_of(&self, model: &Address, window: u64) -> Option<WindowEnd> {
        self.page(model, window)?.ends.get(&window).copied()
    }

    pub fn has_open_receipt(&self, model: &Address, window: u64) -> bool {
        // The comparison asks for every window of a page, and to derive an address takes longer than to look
        // at all receipts.
        self.receipts.values().any(|receipt| {
            receipt.model == *model && receipt.window == window && !receipt.is_settled()
        })
    }

    /// What a market does with a window now; `None` if it has to wait. A window without a receipt is
    /// skipped once it can get neither a submission nor a challenge any more.
    pub(super) fn decision(&self, at: &Address, window: u64) -> Verdict<Option<Decision>> {
        if let Some(end) = self.end_of(at, window) {
            return Ok(Some(match end {
                WindowEnd::Final(value) => Decision::Observed(value),
                WindowEnd::Void | WindowEnd::Thin => Decision::Skipped,
            }));
        }
        let is_over = self.model(at)?.idle_from(window)? <= self.now;
        Ok((is_over && !self.has_open_receipt(at, window)).then_some(Decision::Skipped))
    }

    /// Creates the page of a window, at the payer's expense, unless it exists.
    pub(super) fn open_page(&mut self, model: &Address, window: u64, payer: &Address) {
        let page = window / PAGE;
        let new = Series {
            model: *model,
            page,
            payer: *payer,
            ends: BTreeMap::new(),
        };
        let address = address::series_page(model, page);
        self.series.entry(address).or_insert(new);
    }

    pub(super) fn close_series(&mut self, at: &Address, page: u64) -> Verdict {
        let series_at = address::series_page(at, page);
        let series = self.series.get(&series_at).ok_or("there is no such page")?;
        let until = self.model(at)?.retention_end(series.last_window())?;
        require(until <= self.now, "the page may still be needed")?;
        let mut windows = page * PAGE..(page + 1) * PAGE;
        require(
            !windows.any(|window| self.has_open_receipt(at, window)),
            "a receipt of the page is open",
        )?;
        self.series.remove(&series_at);
        Ok(())
    }

    /// The time from which a page can be closed.
    pub fn closable_at(&self, series: &Series) -> i64 {
        let model = &self.models[&series.model];
        let end = model.retention_end(series.last_window());
        end.expect("in range")
    }
}

impl Model {
    /// The time from which a window without a receipt stays without one.
    pub fn idle_from(&self, window: u64) -> Verdict<i64> {
        Ok(self.submit_end(window)? + self.periods.challenge_secs)
    }
}

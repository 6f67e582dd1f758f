//! Which receipts, pages and seats of a model each round reads by address.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anchor_lang::Address;
use driftshield_sdk::{Entry, Model, PAGE_WINDOWS, Receipt, Seat, Series};

use crate::{
    periods::{ended_windows, has_ended},
    snapshot::ModelSnapshot,
};

/// The receipts, pages and seats of one model that are read by address.
#[derive(Default)]
pub struct TrackedAccounts {
    listed_at: Option<Instant>,
    /// The model's version at the last listing. A new version can have other oracles and makes a
    /// listing due.
    listed_version: u32,
    /// Windows whose receipts are read, whether the receipt exists yet or not.
    pub windows: BTreeSet<u64>,
    /// Pages that can still change, whether the page exists yet or not. The others are kept from
    /// the listing.
    pub pages: BTreeSet<u64>,
    /// Every window before this one is in `windows`, or its receipt needs no reading: its window is
    /// settled, or can get no receipt any more.
    pub tracked_until: u64,
    /// Oracles whose seats are read.
    pub oracles: BTreeSet<Address>,
}

impl TrackedAccounts {
    pub fn is_listing_due(&self, model: &Model, interval: Duration) -> bool {
        let is_recent = self
            .listed_at
            .is_some_and(|listed_at| listed_at.elapsed() < interval);
        !is_recent || self.listed_version != model.version
    }

    /// Replaces the tracked accounts, and the model's receipts and pages, by those of a listing.
    /// The receipts are only tracked: the next read fetches them. `now` is the chain's time shortly
    /// before the listing.
    pub fn apply_listing(
        &mut self,
        model: &mut ModelSnapshot,
        now: i64,
        receipts: &[Receipt],
        series: Vec<Series>,
        seats: &[Seat],
    ) {
        self.listed_at = Some(Instant::now());
        self.listed_version = model.account.version;
        let oracles = &model.account.oracles[..usize::from(model.account.oracle_count)];
        self.oracles = oracles.iter().copied().collect();
        self.oracles.extend(seats.iter().map(|seat| seat.oracle));

        model.receipts.clear();
        model.series.clear();
        self.pages.clear();
        for page in series {
            self.apply_page(model, now, page.page, Some(page));
            if can_change(&model.account, &page, now) {
                self.pages.insert(page.page);
            }
        }
        self.windows = receipts.iter().map(|receipt| receipt.window).collect();
        self.tracked_until = model.account.first_undecided(now);
        self.track_until_now(model, now);
    }

    /// Tracks all windows up to the one that runs at `now`: if that window ends before the next
    /// round, the round reads its receipt.
    pub fn track_until_now(&mut self, model: &ModelSnapshot, now: i64) {
        let end = ended_windows(&model.account, now) + 1;
        for window in self.tracked_until..end {
            self.pages.insert(Series::page_of(window));
            if !is_settled(model.entry(window)) {
                self.windows.insert(window);
            }
        }
        self.tracked_until = self.tracked_until.max(end);
    }

    /// Applies the page that was read to the model; `None` if it does not exist.
    pub fn apply_page(
        &mut self,
        model: &mut ModelSnapshot,
        now: i64,
        page: u64,
        series: Option<Series>,
    ) {
        let can_change = match &series {
            Some(series) => can_change(&model.account, series, now),
            // Without an account, the page of a window that can still get a receipt may be created.
            None => model.account.first_undecided(now) < (page + 1) * PAGE_WINDOWS,
        };
        if !can_change {
            self.pages.remove(&page);
        }
        match series {
            Some(series) => model.series.insert(page, series),
            None => model.series.remove(&page),
        };
    }

    /// Applies the receipt that was read for a window to the model; `None` if it does not exist.
    /// Apply the window's page first.
    pub fn apply_receipt(
        &mut self,
        model: &mut ModelSnapshot,
        now: i64,
        window: u64,
        receipt: Option<Receipt>,
    ) {
        if let Some(receipt) = receipt {
            model.receipts.insert(window, receipt);
            return;
        }
        model.receipts.remove(&window);
        if is_settled(model.entry(window)) || window < model.account.first_undecided(now) {
            self.windows.remove(&window); // no receipt can exist any more
        }
    }
}

/// Whether a page can change or be closed from `now` on: one of its windows isn't settled and can
/// still get a receipt or has one, or the page's retention is over.
fn can_change(model: &Model, series: &Series, now: i64) -> bool {
    let undecided = model.first_undecided(now);
    let is_open = |window| match series.entry(window) {
        Entry::Open => true,
        Entry::None => undecided <= window,
        Entry::Final(_) | Entry::Void | Entry::Thin => false,
    };
    has_ended(model.retention_end(*series.windows().end()), now) || series.windows().any(is_open)
}

fn is_settled(entry: Entry) -> bool {
    !matches!(entry, Entry::None | Entry::Open)
}

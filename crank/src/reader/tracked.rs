//! Which receipts and seats of a model each round reads by address.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anchor_lang::Address;
use driftshield_sdk::{Model, Receipt, Seat};

use crate::{
    periods::{ended_windows, first_open_window, has_ended},
    snapshot::{ModelSnapshot, is_settled_up},
};

/// Maximum number of closable receipts (settled up and past their retention) that a listing adds to
/// the tracked ones.
const MAX_CLOSABLE: usize = 64;

/// The receipts and seats of one model that are read by address.
#[derive(Default)]
pub struct TrackedAccounts {
    listed_at: Option<Instant>,
    /// The model's version at the last listing. A new version can have other oracles and makes a
    /// listing due.
    listed_version: u32,
    /// Windows whose receipts are read, whether the receipt exists yet or not.
    pub windows: BTreeSet<u64>,
    /// Every window before this one is in `windows`, or its receipt needs no reading: it is settled
    /// up, or can no longer be created.
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

    /// Replaces the tracked accounts and the model's receipts by those of a listing. The pending
    /// receipts are only tracked: the next read fetches them. `now` is the chain's time shortly
    /// before the listing.
    pub fn apply_listing(
        &mut self,
        model: &mut ModelSnapshot,
        now: i64,
        receipts: Vec<Receipt>,
        seats: &[Seat],
    ) {
        self.listed_at = Some(Instant::now());
        self.listed_version = model.account.version;
        let oracles = &model.account.oracles[..usize::from(model.account.oracle_count)];
        self.oracles = oracles.iter().copied().collect();
        self.oracles.extend(seats.iter().map(|seat| seat.oracle));

        model.pending_receipts.clear();
        model.settled_receipts.clear();
        self.windows.clear();
        let mut closable = 0;
        for receipt in receipts {
            let window = receipt.window;
            let is_retained = !has_ended(model.account.retention_end(window), now);
            closable += usize::from(is_settled_up(&receipt) && !is_retained);
            // A later listing tracks the closable receipts over the limit.
            if is_settled_up(&receipt) && (is_retained || MAX_CLOSABLE < closable) {
                model.settled_receipts.insert(window, receipt);
            } else {
                self.windows.insert(window);
            }
        }
        self.tracked_until = first_open_window(&model.account, now);
        self.track_until_now(model, now);
    }

    /// Tracks all windows up to the one that runs at `now`: if that window ends before the next
    /// round, the round reads its receipt.
    pub fn track_until_now(&mut self, model: &ModelSnapshot, now: i64) {
        let end = ended_windows(&model.account, now) + 1;
        let is_settled = |window: &u64| model.settled_receipts.contains_key(window);
        let windows = (self.tracked_until..end).filter(|window| !is_settled(window));
        self.windows.extend(windows);
        self.tracked_until = self.tracked_until.max(end);
    }

    /// Applies the receipt that was read for a window to the model; `None` if it does not exist.
    pub fn apply_receipt(
        &mut self,
        model: &mut ModelSnapshot,
        now: i64,
        window: u64,
        receipt: Option<Receipt>,
    ) {
        let Some(receipt) = receipt else {
            model.pending_receipts.remove(&window);
            if has_ended(model.account.submit_end(window), now) {
                self.windows.remove(&window); // no receipt can exist any more
            }
            return;
        };
        let is_retained = !has_ended(model.account.retention_end(window), now);
        if is_settled_up(&receipt) && is_retained {
            model.pending_receipts.remove(&window);
            model.settled_receipts.insert(window, receipt);
            self.windows.remove(&window);
        } else {
            model.pending_receipts.insert(window, receipt);
        }
    }
}

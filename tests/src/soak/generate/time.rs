//! The times that a run waits for.

use rand::Rng;

use super::Generator;
use crate::soak::books::{DAY, ReceiptState};

impl Generator<'_> {
    /// The time to wait until: usually minutes ahead, or around one of the next deadlines; sometimes days,
    /// rarely more than a year ahead.
    pub(super) fn next_time(&mut self) -> i64 {
        let now = self.books.now;
        match self.up_to(999) {
            0..550 => now + self.rng.random_range(1..=600),
            550..975 => {
                let due = self.deadlines();
                let index = self.up_to(8).min(self.up_to(8)) as usize;
                let Some(at) = due.get(index.min(due.len().saturating_sub(1))) else {
                    return now + 1;
                };
                (at + self.rng.random_range(-1..=1)).max(now)
            }
            975..996 => now + self.rng.random_range(DAY / 4..=2 * DAY),
            _ => self.next_retention_end(),
        }
    }

    /// The next time at which a page may be closed; 530 days ahead if no page is kept.
    fn next_retention_end(&self) -> i64 {
        let (books, now) = (self.books, self.books.now);
        let ends = books
            .series
            .values()
            .map(|series| books.closable_at(series));
        ends.filter(|at| now < *at).min().unwrap_or(now + 530 * DAY)
    }

    /// The next times at which a call may become possible or impossible, in ascending order.
    fn deadlines(&self) -> Vec<i64> {
        let (books, now) = (self.books, self.books.now);
        let mut due = Vec::new();
        for model in books.models.values() {
            let running = model.running_window(now);
            for window in [running.saturating_sub(1), running] {
                due.extend(model.window_end(window));
                due.extend(model.submit_end(window));
                due.extend(model.idle_from(window));
            }
        }
        for receipt in books.receipts.values() {
            let periods = books.models[&receipt.model].periods;
            match receipt.state {
                ReceiptState::Proposed => due.push(receipt.since + periods.challenge_secs),
                ReceiptState::Challenged => due.push(receipt.since + periods.ruling_secs),
                _ => {}
            }
        }
        due.extend(books.markets.values().map(|market| market.terms.close_ts));
        due.extend(books.seats.values().map(|seat| seat.release_at));
        for request in books.requests.values() {
            due.extend([request.unlock_at, request.lapses_at]);
            due.extend(request.reserved_until);
        }
        due.extend(books.exposures.values().map(|exposure| exposure.active_at));
        for vault in books.vaults.values() {
            due.extend(vault.next_terms.map(|(_, at)| at));
            due.push((now.div_euclid(vault.bucket_secs) + 1) * vault.bucket_secs);
        }
        for policy in books.policies.values() {
            let model = &books.models[&policy.model];
            due.extend(policy.term.map(|term| term.term_end));
            due.extend(books.open_renewal(policy).map(|(from, _)| from));
            due.extend(policy.expires_at(model));
            due.extend(policy.lapses_at(model));
            let probation = policy.deciding();
            due.extend(probation.and_then(|(_, last)| model.idle_from(last).ok()));
        }
        due.retain(|at| now < *at);
        due.sort();
        due.dedup();
        due
    }
}

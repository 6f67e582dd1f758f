//! The schedule of the pot, as plain data: every sequence of payments, receipts and settlements
//! conserves the amounts, and no payment reaches a window that has begun.

use driftshield_sdk::Pot;
use rand::{Rng, SeedableRng, rngs::StdRng};

const WINDOW: i64 = 60;

/// A pot, and where its money is.
struct Ledger {
    pot: Pot,
    now: i64,
    paid: u64,
    taken: u64,
    /// Pay by window, as it was when the window began.
    promised: Vec<u64>,
    /// First window without a receipt.
    next: u64,
}

impl Ledger {
    fn epoch_secs(&self) -> i64 {
        WINDOW * self.pot.epoch_windows as i64
    }

    fn epoch(&self) -> u64 {
        (self.now / self.epoch_secs()) as u64 + 1
    }

    fn pay(&mut self, amount: u64, end: i64) {
        let (epoch, secs) = (self.epoch(), self.epoch_secs());
        self.pot.advance(epoch);
        self.pot.add(amount, end, epoch as i64 * secs, secs);
        self.paid += amount;
    }

    /// Lets time pass, and records what each window is paid when it begins.
    fn pass(&mut self, secs: i64) {
        for _ in 0..secs {
            self.now += 1;
            if self.now % WINDOW == 0 {
                let mut pot = self.pot; // a copy, so that the pot itself is advanced late
                pot.advance(self.epoch());
                self.promised.push(pot.rate);
            }
        }
    }

    /// Creates receipts of windows in the last `epoch_windows` ones, and leaves out some.
    fn take(&mut self, rng: &mut StdRng) {
        let over = (self.now / WINDOW) as u64;
        self.next = self.next.max(over.saturating_sub(self.pot.epoch_windows));
        while self.next < over {
            if rng.random_ratio(2, 3) {
                self.pot.advance(self.epoch());
                let pay = self.pot.take(self.next / self.pot.epoch_windows + 1);
                assert_eq!(
                    pay, self.promised[self.next as usize],
                    "window {}",
                    self.next
                );
                self.taken += pay;
            }
            self.next += 1;
        }
    }
}

#[test]
fn amounts_are_conserved_and_no_payment_reaches_back() {
    for seed in 0..40 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let lag = rng.random_range(1..10 * WINDOW);
        let mut ledger = Ledger {
            pot: Pot::new(WINDOW, lag),
            now: 0,
            paid: 0,
            taken: 0,
            promised: vec![0],
            next: 0,
        };
        for _ in 0..200 {
            match rng.random_range(0..4) {
                0 => {
                    let amount = 1 << rng.random_range(0..40);
                    let ahead = rng.random_range(1..100 * WINDOW);
                    ledger.pay(amount, ledger.now + ahead);
                }
                1 => ledger.take(rng),
                2 => ledger.pass(rng.random_range(1..3 * WINDOW)),
                _ => ledger.pass(rng.random_range(1..30)),
            }
            let pot = &ledger.pot;
            assert_eq!(ledger.paid, pot.waiting + pot.unearned + ledger.taken);
        }
        // The rest is there in full.
        ledger.pass(300 * WINDOW);
        ledger.pot.advance(ledger.epoch());
        assert!(ledger.pot.is_over());
        assert_eq!(ledger.pot.drain(), ledger.paid - ledger.taken);
    }
}

#[test]
fn an_epoch_covers_the_time_in_which_a_receipt_can_be_created() {
    // A receipt of window w can be created until `lag` seconds after the window's end. The last such time
    // lies in the next epoch at most.
    for lag in 1..=5 * WINDOW {
        let windows = Pot::new(WINDOW, lag).epoch_windows as i64;
        for window in 0..4 * windows {
            let latest = (window + 1) * WINDOW + lag - 1;
            let (own, then) = (window / windows, latest / WINDOW / windows);
            assert!(then <= own + 1, "lag {lag}, window {window}");
        }
    }
}

#[test]
fn the_mean_of_the_ends_is_weighted_by_amounts() {
    // Given 100 for 40 epochs of one window
    let mut pot = Pot::new(WINDOW, WINDOW);
    pot.advance(1);
    pot.add(100, 41 * WINDOW, WINDOW, WINDOW);
    assert_eq!((pot.next_rate, pot.end_epoch), (2, 42));
    // When 300 are added for the next 20
    pot.add(300, 21 * WINDOW, WINDOW, WINDOW);
    // Then 400 stream for 25 epochs
    assert_eq!((pot.next_rate, pot.until), (16, 26 * WINDOW));
    assert_eq!(pot.end_epoch, 27);
}

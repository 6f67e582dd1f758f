use anchor_lang::{bytemuck, prelude::*};

use crate::math;

/// Payee of a part of the oracles' pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
#[repr(u8)]
pub enum RewardPayee {
    /// Receives what is left of the pot, once no oracle can earn it.
    Treasury = 0,
    Oracle = 1,
}

/// Totals of a model's pot after an event, in base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AnchorSerialize, AnchorDeserialize, IdlType)]
pub struct PotTotals {
    /// Amount that the model's bond vault holds. Donations don't count.
    pub held: u64,
    /// Amount for the windows of later epochs.
    pub waiting: u64,
    /// Amount that was released to windows, and that no oracle has earned.
    pub unearned: u64,
    /// Unix time until which `waiting` was paid.
    pub until: i64,
}

/// The oracles' pay: security rent and funding that stream to a model's windows.
///
/// Time is divided into epochs of `epoch_windows` windows each. Epoch 0 is the time before genesis,
/// and epoch `e` has the windows `(e − 1) · epoch_windows ..  e · epoch_windows`. A payment changes
/// the rate from the next epoch on, so it never reaches a window that has begun. An epoch is at
/// least as long as the time after a window's end in which its receipt can be created; therefore a
/// new receipt's window lies in the current epoch or in the one before, and two rates suffice.
///
/// Amounts are in base units of the bond mint.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, IdlType, bytemuck::Pod, bytemuck::Zeroable,
)]
#[bytemuck(crate = "anchor_lang::bytemuck")]
#[repr(C)]
pub struct Pot {
    /// Amount for the windows of later epochs.
    pub waiting: u64,
    /// Amount that was released to windows and that no receipt has taken, with what settled
    /// receipts returned. It never streams again.
    pub unearned: u64,
    /// Unix time until which `waiting` was paid: the mean of the payments' ends, weighted by their
    /// amounts.
    pub until: i64,
    /// Latest epoch whose amount was released.
    pub epoch: u64,
    /// Number of windows of an epoch: `⌈(submit_secs + challenge_secs) / window_secs⌉`.
    pub epoch_windows: u64,
    /// Amount for each window of `epoch − 1`.
    pub previous_rate: u64,
    /// Amount for each window of `epoch`.
    pub rate: u64,
    /// Amount for each window of the epochs after `epoch` and before `end_epoch`.
    pub next_rate: u64,
    /// First epoch without pay.
    pub end_epoch: u64,
}

impl Pot {
    /// Returns the pot of a model with windows of `window_secs`, whose receipts are created at most
    /// `lag_secs` after their window's end. Both are above 0.
    pub fn new(window_secs: i64, lag_secs: i64) -> Self {
        Self {
            epoch_windows: (lag_secs as u64).div_ceil(window_secs as u64),
            ..Self::default()
        }
    }

    /// Releases the amounts of all epochs up to `epoch`.
    pub fn advance(&mut self, epoch: u64) {
        if epoch <= self.epoch {
            return;
        }
        let stream_end = self.end_epoch.min(epoch + 1);
        let epochs = stream_end.saturating_sub(self.epoch + 1);
        // At most `waiting`: see `add`.
        let released = self.next_rate * self.epoch_windows * epochs;
        self.waiting -= released;
        self.unearned += released;
        self.previous_rate = if self.epoch + 1 == epoch {
            self.rate
        } else {
            self.later_rate(epoch - 1)
        };
        self.rate = self.later_rate(epoch);
        self.epoch = epoch;
    }

    /// Returns the amount for each window of `epoch`, an epoch after `self.epoch`.
    fn later_rate(&self, epoch: u64) -> u64 {
        if epoch < self.end_epoch {
            self.next_rate
        } else {
            0
        }
    }

    /// Adds `amount`, which was paid for the time until `end`, to the stream. The stream begins
    /// anew with the next epoch, at the Unix time `next_start`, and takes whole epochs of
    /// `epoch_secs` until the mean of the ends. The rate is rounded down; what it leaves over is
    /// streamed after the next payment.
    ///
    /// `next_start` is the start of epoch `self.epoch + 1`: call [`Self::advance`] first.
    pub fn add(&mut self, amount: u64, end: i64, next_start: i64, epoch_secs: i64) {
        let total = self.waiting + amount; // part of what the bond vault holds
                                           // From the next epoch on: all times are at most two horizons ahead.
        let after = |end: i64| (end - next_start).max(0) as u64;
        let (before, added) = (after(self.until), after(end));
        // The mean of two times is between them. Rounded down, by less than a second.
        let mean = math::mean(self.waiting, before, amount, added);
        let epochs = mean.div_ceil(epoch_secs as u64).max(1);
        self.waiting = total;
        self.until = next_start + mean as i64;
        self.next_rate = total / (epochs * self.epoch_windows);
        self.end_epoch = self.epoch + 1 + epochs;
    }

    /// Takes the amount for a window of epoch `epoch` out of the pot. Called once a window, when
    /// its receipt is created.
    pub fn take(&mut self, epoch: u64) -> u64 {
        // The window is over, so its epoch is the current one or an earlier one.
        let amount = match self.epoch - epoch {
            0 => self.rate,
            1 => self.previous_rate,
            _ => 0, // no receipt is created as late as this
        };
        self.unearned -= amount; // released with the epoch, for each of its windows
        amount
    }

    /// Whether no window can be paid any more, unless more is added. The windows of the last paid
    /// epoch can be paid until the end of the next one.
    pub fn is_over(&self) -> bool {
        self.end_epoch < self.epoch
    }

    /// Takes all that is left.
    pub fn drain(&mut self) -> u64 {
        let left = self.waiting + self.unearned; // parts of the token account's balance
        *self = Self {
            epoch: self.epoch,
            epoch_windows: self.epoch_windows,
            ..Self::default()
        };
        left
    }
}

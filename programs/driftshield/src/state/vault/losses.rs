//! Losses of a vault: what policies take out of its capital, and when the capital bears it.
//!
//! What a window is worth is borne after the latest time to which a dispute about it could have delayed
//! that, whenever it was booked. A dispute about a window therefore doesn't decide who bears what is paid
//! for it.

use crate::Vault;

/// Number of steps in a cooldown. A payment is borne at the end of a step.
const LOSS_STEPS: u64 = 60;
/// Length of the ring of pending losses, in steps: what a run is worth is borne at most two steps after
/// a dispute that fits into the cooldown.
pub const SLOTS: usize = 64;

const _: () = assert!(LOSS_STEPS as usize + 3 <= SLOTS);

impl Vault {
    /// Returns the length of a step: a sixtieth of the cooldown, rounded up.
    pub fn step_secs(&self) -> i64 {
        (self.cooldown_secs as u64).div_ceil(LOSS_STEPS) as i64
    }

    /// Returns the number of steps that are over. The vault must be accrued.
    pub fn steps_over(&self) -> u64 {
        self.accrued_at as u64 / self.step_secs() as u64 // Unix times aren't negative
    }

    /// Returns the number of the step at whose end a loss of `at` is borne: the one after that in which
    /// `at` lies, so that a claim on a value that is final at `at` is in time.
    pub fn step_of(at: u64, step_secs: u64) -> u64 {
        at.div_ceil(step_secs) + 1
    }

    /// Takes `amount`, which is locked, out of the capital at the end of the step that is `steps` after
    /// the last one that is over; now if that is 0. The vault must be accrued.
    #[inline(never)] // one copy keeps the binary small
    pub fn lose_at_step(&mut self, amount: u64, steps: usize) {
        if amount == 0 {
            return;
        }
        self.pending_losses += amount; // part of what is locked
        if steps == 0 {
            self.bear(amount);
        } else {
            let step = self.steps_over() as usize + steps;
            self.losses[step % SLOTS] += amount; // part of the pending losses
        }
    }

    /// Takes the next loss that is due at `now` out of the ring, and returns the time at which it is
    /// due and its amount.
    pub(super) fn next_loss(&mut self, now: i64) -> Option<(i64, u64)> {
        let step_secs = self.step_secs() as u64;
        let first = self.steps_over() + 1;
        let last = (now as u64 / step_secs).min(first + SLOTS as u64 - 1);
        for step in first..=last {
            let amount = core::mem::take(&mut self.losses[step as usize % SLOTS]);
            if 0 < amount {
                return Some(((step * step_secs) as i64, amount));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use anchor_lang::bytemuck::Zeroable;

    use super::*;

    /// A vault with steps of 100 seconds at 1,050, a fifth of whose capital is leaving.
    fn vault() -> Vault {
        let mut vault = Vault::zeroed();
        (vault.cooldown_secs, vault.bucket_secs, vault.season_secs) = (5_999, 1_000, 1);
        (vault.accrued_at, vault.shares) = (1_050, 1);
        (vault.assets, vault.leaving, vault.locked) = (1_000, 200, 500);
        vault.leaving_index = crate::WHOLE_INDEX;
        vault
    }

    /// Loses `amount` for a window that is decided by `at`.
    fn lose(vault: &mut Vault, amount: u64, at: u64) {
        let step = Vault::step_of(at, vault.step_secs() as u64);
        vault.lose_at_step(amount, step.saturating_sub(vault.steps_over()) as usize);
    }

    #[test]
    fn a_loss_is_borne_at_the_end_of_its_step_whenever_it_was_made() {
        for (at, due) in [(951, 1_100), (1_000, 1_100), (1_001, 1_200), (6_850, 7_000)] {
            let mut vault = vault();
            lose(&mut vault, 100, at);
            vault.accrue(due - 1);
            assert_eq!((vault.assets, vault.leaving), (1_000, 200), "{at}");
            assert_eq!((vault.locked, vault.pending_losses), (500, 100), "{at}");
            vault.accrue(due);
            assert_eq!((vault.assets, vault.leaving), (900, 180), "{at}");
            assert_eq!((vault.locked, vault.pending_losses), (400, 0), "{at}");
            assert_eq!(vault.losses, [0; SLOTS]);
        }
        for over in [900, 850, 0] {
            let mut vault = vault();
            lose(&mut vault, 100, over);
            assert_eq!((vault.assets, vault.pending_losses), (900, 0), "{over}");
        }
    }

    #[test]
    fn losses_of_many_steps_are_borne_one_after_the_other() {
        let mut vault = vault();
        for step in 0..61 {
            lose(&mut vault, 5, 1_000 + 100 * step);
        }
        lose(&mut vault, 7, 1_000);
        assert_eq!(vault.pending_losses, 312);
        vault.accrue(1_100);
        assert_eq!((vault.assets, vault.pending_losses), (988, 300));
        lose(&mut vault, 5, 7_400); // in the slot of a step that is over
        vault.accrue(7_499);
        assert_eq!((vault.assets, vault.pending_losses), (688, 5));
        vault.accrue(1_000_000);
        assert_eq!((vault.assets, vault.pending_losses), (683, 0));
    }

    #[test]
    fn premium_that_streams_after_a_loss_doesn_t_change_who_bears_it() {
        let accrued = |stops: &[i64]| {
            let mut vault = vault();
            lose(&mut vault, 100, 1_000);
            vault.stream(500, 1_050, 1_950, 0);
            stops.iter().for_each(|at| vault.accrue(*at));
            (vault.assets, vault.leaving, vault.leaving_index)
        };
        let (assets, leaving, index) = accrued(&[1_100, 1_900]);
        let (other_assets, other_leaving, other_index) = accrued(&[1_900]);
        assert_eq!((leaving, index), (other_leaving, other_index));
        assert_eq!(assets, other_assets);
    }
}

//! How many slots one transaction takes.

/// Most updates in one transaction.
const MAX: usize = 128;

/// The most slots that a transaction takes. Halved after one that took too long, and raised again one by
/// one, so that a slow database gets on, and a fast one is soon used fully again.
#[derive(Debug)]
pub struct BatchLimit(usize);

impl Default for BatchLimit {
    fn default() -> Self {
        Self(MAX)
    }
}

impl BatchLimit {
    pub fn slots(&self) -> usize {
        self.0
    }

    /// Takes note of a transaction that took too long.
    pub fn exceeded(&mut self) {
        self.0 = (self.0 / 2).max(1);
    }

    /// Takes note of a transaction with `slots` slots that was done in time.
    pub fn kept(&mut self, slots: usize) {
        if self.0 <= slots {
            self.0 = (self.0 + 1).min(MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_falls_to_one_slot_and_rises_with_each_full_batch_that_is_done_in_time() {
        let mut limit = BatchLimit::default();
        let mut fallen = vec![];
        for _ in 0..8 {
            limit.exceeded();
            fallen.push(limit.slots());
        }
        assert_eq!(fallen, [64, 32, 16, 8, 4, 2, 1, 1]);
        limit.kept(0);
        assert_eq!(limit.slots(), 1);
        limit.kept(1);
        assert_eq!(limit.slots(), 2);
        for _ in 0..2 * MAX {
            limit.kept(limit.slots());
        }
        assert_eq!(limit.slots(), MAX);
    }
}

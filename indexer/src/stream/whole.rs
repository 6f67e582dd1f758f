//! Which slots of a stream are whole.

use crate::slot::SlotUpdate;

/// Tells which slots arrived as a whole. A server that doesn't replay can begin in the middle of a slot.
#[derive(Default)]
pub struct WholeSlots {
    /// First slot of the replay, if the server certainly has all of it.
    pub from_slot: Option<i64>,
    has_begun: bool,
    /// A slot whose beginning may be missing.
    partial: Option<i64>,
}

impl WholeSlots {
    pub fn has(&mut self, update: &SlotUpdate) -> bool {
        match update {
            SlotUpdate::Sealed(sealed) | SlotUpdate::Partial(sealed) => {
                if !self.has_begun {
                    self.has_begun = true;
                    self.partial = Some(sealed.slot).filter(|slot| self.from_slot != Some(*slot));
                }
                // The server can send the end of the slot again, and what comes before it counts as late then.
                self.partial != Some(sealed.slot)
            }
            SlotUpdate::Late(slot) => self.partial != Some(*slot),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lives::test_data::slot;

    /// Which of the sealed slots, and then of the late ones, count.
    fn counts(whole: &mut WholeSlots, sealed: &[i64], late: &[i64]) -> Vec<bool> {
        let seal = |number: &i64| SlotUpdate::Sealed(Box::new(slot(*number, vec![], vec![])));
        let updates = sealed.iter().map(seal);
        let late = late.iter().map(|slot| SlotUpdate::Late(*slot));
        updates
            .chain(late)
            .map(|update| whole.has(&update))
            .collect()
    }

    #[test]
    fn the_first_slot_may_be_a_part_even_if_it_ends_twice() {
        let mut live = WholeSlots::default();
        let expected = [false, false, true, false, true];
        assert_eq!(counts(&mut live, &[7, 7, 8], &[7, 8]), expected);
    }

    #[test]
    fn the_first_slot_of_a_replay_is_whole() {
        let mut replay = WholeSlots {
            from_slot: Some(7),
            ..WholeSlots::default()
        };
        assert_eq!(counts(&mut replay, &[7, 7, 8], &[7]), [true; 4]);
    }
}

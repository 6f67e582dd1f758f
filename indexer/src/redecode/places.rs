//! The life to which an account's event belongs that is decoded late.
//!
//! Without the event, the mirror had only the writes to go by: it began a life at the first write, and
//! ended it when the account was empty. If an account was closed and created again in between, it may
//! have taken two lives for one. Then the event is not decoded: what the mirror shows of these lives
//! can't be told apart.

use driftshield_sdk::AccountChange;

use super::Failure;
use crate::{
    event_id::{EventId, first_id},
    lives::Life,
};

/// What the mirror knows about the address of a changed account.
pub struct Known {
    /// The life whose range of ids contains the event.
    pub life: Option<Life>,
    /// The life after it.
    pub next: Option<i64>,
    /// Whether that life has earlier events.
    pub has_earlier: bool,
    /// Whether events follow before the next life.
    pub has_later: bool,
    /// Whether the account is closed later in the event's slot, by an event that is decoded late, too.
    pub is_closed_next: bool,
    /// Whether the mirror has all accounts.
    pub is_settled: bool,
}

/// Where an event belongs.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// The life whose range of ids contains the event.
    Life,
    /// A life that began with the event. It was named when the mirror saw the account first.
    Renamed(i64),
    /// A life that the mirror does not have. It has this name.
    Begun(i64),
}

impl Known {
    pub fn place(&self, change: &AccountChange, id: EventId) -> Result<Place, Failure> {
        let place = if change.number == 1 {
            self.place_of_first(id)
        } else {
            self.place_of_later(change, id)
        };
        let place = place.filter(|place| !change.closes || self.can_close(place, id));
        place.ok_or_else(|| {
            format!(
                "the lives of account {} can't be told apart; make the mirror anew with `indexer rebuild`",
                change.address
            )
        })
    }

    /// The place of an event that created the account.
    fn place_of_first(&self, id: EventId) -> Option<Place> {
        let slot = id.slot();
        let life = self.life.as_ref();
        let open = life.filter(|life| life.closed_slot.is_none_or(|closed| slot <= closed));
        if let Some(life) = open {
            if life.life == id.get() {
                return Some(Place::Life);
            }
            let is_it = life.life == 0 || first_id(slot) <= life.life;
            return (is_it && !self.has_earlier).then_some(Place::Renamed(life.life));
        }
        match self.next {
            _ if self.is_closed_next => Some(Place::Begun(id.get())),
            // It was named after the slot in which the mirror saw the account.
            Some(next) if next == first_id(EventId::from_i64(next).slot()) => {
                Some(Place::Renamed(next))
            }
            None if !self.is_settled => Some(Place::Begun(id.get())),
            _ => None,
        }
    }

    /// The place of an event that did not create the account.
    fn place_of_later(&self, change: &AccountChange, id: EventId) -> Option<Place> {
        match (&self.life, self.next) {
            (Some(life), _) => {
                let has_ended = life.closed_slot.is_some_and(|closed| closed < id.slot());
                (!has_ended).then_some(Place::Life)
            }
            (None, None) if change.closes || !self.is_settled => Some(Place::Begun(0)),
            _ => None,
        }
    }

    /// Whether nothing shows that the life goes on after the event.
    fn can_close(&self, place: &Place, id: EventId) -> bool {
        let is_written_later = match (&self.life, place) {
            (Some(life), Place::Life) if life.closed_slot.is_none() => {
                (id.slot(), 0) < (life.slot, life.write_version)
            }
            _ => false,
        };
        !self.has_later && !is_written_later
    }
}

#[cfg(test)]
mod tests {
    use driftshield_sdk::AccountKind;

    use super::*;
    use crate::lives::test_data::{MARKET, id};

    fn life(name: i64, slot: i64, closed_slot: Option<i64>) -> Life {
        Life {
            slot,
            write_version: 5,
            closed_slot,
            ..Life::new(MARKET.into(), name, Some(AccountKind::Market), None)
        }
    }

    fn known(life: Option<Life>, next: Option<i64>) -> Known {
        Known {
            life,
            next,
            has_earlier: false,
            has_later: false,
            is_closed_next: false,
            is_settled: true,
        }
    }

    /// The place of an event in slot 20 with this number.
    fn place(known: &Known, number: u64, closes: bool) -> Option<Place> {
        let change = AccountChange {
            kind: AccountKind::Market,
            address: MARKET.into(),
            number,
            closes,
        };
        known.place(&change, EventId::from_i64(id(20, 3))).ok()
    }

    #[test]
    fn an_event_belongs_to_the_life_that_had_not_ended() {
        let open = known(Some(life(id(9, 0), 30, None)), None);
        assert_eq!(place(&open, 4, false), Some(Place::Life));
        let closed = |slot| known(Some(life(id(9, 0), slot, Some(slot))), None);
        assert_eq!(place(&closed(20), 4, false), Some(Place::Life));
        assert_eq!(place(&closed(20), 4, true), Some(Place::Life));
        assert_eq!(place(&closed(19), 4, false), None);
        // The mirror does not have the account, which was open before it began.
        assert_eq!(place(&known(None, None), 4, true), Some(Place::Begun(0)));
        assert_eq!(place(&known(None, None), 4, false), None);
        assert_eq!(place(&known(None, Some(id(30, 0))), 4, true), None);
    }

    #[test]
    fn a_close_is_refused_if_the_account_changed_later() {
        let written = known(Some(life(id(9, 0), 30, None)), None);
        assert_eq!(place(&written, 4, true), None);
        let before = known(Some(life(id(9, 0), 19, None)), None);
        assert_eq!(place(&before, 4, true), Some(Place::Life));
        let followed = Known {
            has_later: true,
            ..before
        };
        assert_eq!(place(&followed, 4, true), None);
    }

    #[test]
    fn a_creation_names_the_life_that_the_first_write_began() {
        for name in [first_id(20), 0] {
            let written = known(Some(life(name, 30, None)), None);
            assert_eq!(place(&written, 1, false), Some(Place::Renamed(name)));
            let mixed = Known {
                has_earlier: true,
                ..written
            };
            assert_eq!(place(&mixed, 1, false), None);
        }
        // The creation is only in a block, and the first write came later.
        let earlier = Some(life(id(9, 0), 12, Some(12)));
        let later = known(earlier.clone(), Some(first_id(30)));
        assert_eq!(place(&later, 1, false), Some(Place::Renamed(first_id(30))));
        assert_eq!(place(&known(earlier, Some(id(30, 1))), 1, false), None);
        let open = known(Some(life(id(9, 0), 30, None)), None);
        assert_eq!(place(&open, 1, false), None);
    }

    #[test]
    fn a_creation_begins_a_life_that_ended_in_its_slot() {
        let whole = |life| Known {
            is_closed_next: true,
            ..known(life, Some(id(30, 1)))
        };
        let begun = Some(Place::Begun(id(20, 3)));
        assert_eq!(place(&whole(None), 1, false), begun);
        let earlier = Some(life(id(9, 0), 12, Some(12)));
        assert_eq!(place(&whole(earlier), 1, false), begun);
        assert_eq!(place(&known(None, None), 1, false), None);
    }
}

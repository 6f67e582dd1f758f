//! Entries of a series as clients show them.

use driftshield::{Entry, Series};

/// The entry of `window` in its page. A page that doesn't exist has no entries.
pub fn entry_in(page: Option<&Series>, window: u64) -> Entry {
    page.map_or(Entry::None, |page| page.entry(window))
}

/// Name of an entry's state, as in JSON: `none`, `open`, `final`, `void` or `thin`.
pub fn entry_state(entry: Entry) -> &'static str {
    match entry {
        Entry::None => "none",
        Entry::Open => "open",
        Entry::Final(_) => "final",
        Entry::Void => "void",
        Entry::Thin => "thin",
    }
}

/// The drift of a final window, in micro-units. `None` for any other window.
pub fn entry_value(entry: Entry) -> Option<u64> {
    match entry {
        Entry::Final(value) => Some(value),
        Entry::None | Entry::Open | Entry::Void | Entry::Thin => None,
    }
}

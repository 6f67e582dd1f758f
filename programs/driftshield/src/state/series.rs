use core::ops::RangeInclusive;

use anchor_lang::prelude::*;

use crate::{load_or_create, Account, DriftShieldError, Model, Receipt};

/// Number of consecutive windows in a page.
pub const PAGE_WINDOWS: u64 = 256;

/// Result of a window: an entry of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// No oracle has submitted.
    None,
    /// The window has a receipt that isn't settled.
    Open,
    /// The window's drift, in micro-units.
    Final(u64),
    /// The window has no valid value.
    Void,
    /// The window has too few rows for a value.
    Thin,
}

impl Entry {
    /// An entry's state is in the top byte of its word, its value in the other bits.
    const STATE_SHIFT: u32 = 56;
    const VALUE_MASK: u64 = (1 << Self::STATE_SHIFT) - 1;

    pub fn to_word(self) -> u64 {
        let (state, value) = match self {
            Self::None => (0, 0),
            Self::Open => (1, 0),
            Self::Final(value) => (2, value.min(Self::VALUE_MASK)), // drift is below 2⁵⁰
            Self::Void => (3, 0),
            Self::Thin => (4, 0),
        };
        state << Self::STATE_SHIFT | value
    }

    #[inline(always)] // settlement reads hundreds of entries
    pub fn from_word(word: u64) -> Self {
        match word >> Self::STATE_SHIFT {
            0 => Self::None,
            1 => Self::Open,
            2 => Self::Final(word & Self::VALUE_MASK),
            3 => Self::Void,
            _ => Self::Thin,
        }
    }
}

/// A page of a model's drift history: the results of 256 consecutive windows. Page `p` holds the
/// windows from `256 · p` on. A page is created with the first receipt of its windows, and outlives
/// the receipts.
///
/// Address: PDA of `["series", model, page (u64 LE)]`.
#[account]
pub struct Series {
    pub model: Address,
    /// Account that paid the page's rent and receives it back.
    pub payer: Address,
    /// Index of the page.
    pub page: u64,
    /// Sequence number of this account's latest event, counted from 1.
    pub seq: u64,
    /// One entry for each window. The top byte is the state: 0 none, 1 open, 2 final, 3 void, 4
    /// thin. The lower 56 bits are the drift of a final window in micro-units, and otherwise 0.
    pub entries: [u64; PAGE_WINDOWS as usize],
    pub bump: u8,
    pub reserved: [u8; 7],
}

const _: () = assert!(core::mem::size_of::<Series>() == 2 * 32 + 2 * 8 + 2048 + 8);

impl Series {
    /// Returns the index of the page that holds `window`.
    pub fn page_of(window: u64) -> u64 {
        window / PAGE_WINDOWS
    }

    /// Returns the indices of the pages that hold `windows`: none if these are none.
    #[allow(clippy::reversed_empty_ranges)]
    pub fn pages_of(windows: RangeInclusive<u64>) -> RangeInclusive<u64> {
        if windows.is_empty() {
            return 1..=0;
        }
        Self::page_of(*windows.start())..=Self::page_of(*windows.end())
    }

    /// Loads the page `page` of `model` from `view`, or returns `None` if the page doesn't exist
    /// and `view` is the account that it would have. Refuses any other account.
    pub fn load(model: &Address, page: u64, view: AccountView) -> Result<Option<Account<Self>>> {
        if view.owned_by(&crate::ID) {
            let series = Account::<Self>::load(view).map_err(|_| DriftShieldError::WrongSeries)?;
            require!(
                series.model == *model && series.page == page,
                DriftShieldError::WrongSeries
            );
            return Ok(Some(series));
        }
        let page = page.to_le_bytes();
        let seeds = [b"series".as_ref(), model.as_ref(), &page];
        anchor_lang::find_and_verify_program_address(&seeds, &crate::ID, view.address())
            .map_err(|_| DriftShieldError::WrongSeries)?;
        Ok(None)
    }

    /// Reads `windows` of `model` from `pages`, which are theirs in order, and passes each entry to
    /// `visit`. A window without an entry that can still get one is passed as open. For a page that
    /// doesn't exist, `pages` has the address that it would have. Once a window's retention is over,
    /// its missing page proves nothing: the window counts as final without drift, in favour of the
    /// pool.
    pub fn read(
        model: &Account<Model>,
        windows: RangeInclusive<u64>,
        pages: Vec<AccountView>,
        now: i64,
        mut visit: impl FnMut(u64, Entry),
    ) -> Result<()> {
        let (first, last) = (*windows.start(), *windows.end());
        let needed = Self::pages_of(windows);
        require!(
            pages.len() == needed.clone().count(),
            DriftShieldError::WrongSeries
        );
        let undecided = model.first_undecided(now);
        for (page, view) in needed.zip(pages) {
            let series = Self::load(model.address(), page, view)?;
            let start = page * PAGE_WINDOWS; // the page of a window, so it fits
            for window in first.max(start)..=last.min(start + (PAGE_WINDOWS - 1)) {
                let entry = match &series {
                    Some(series) => series.entry(window),
                    None if model.retention_end(window)? <= now => Entry::Final(0),
                    None => Entry::None,
                };
                let can_get_one = entry == Entry::None && undecided <= window;
                visit(window, if can_get_one { Entry::Open } else { entry });
            }
        }
        Ok(())
    }

    /// Loads the page of `model`'s series that holds `window`, or creates it at `payer`'s expense.
    pub fn open(
        payer: &AccountView,
        account: &UncheckedAccount,
        model: &Address,
        window: u64,
    ) -> Result<Account<Self>> {
        let page = Self::page_of(window);
        let (mut series, bump) = load_or_create(
            payer,
            account,
            [b"series", model.as_ref(), &page.to_le_bytes()],
            |series: &Self| series.model == *model && series.page == page,
            DriftShieldError::WrongSeries,
        )?;
        if let Some(bump) = bump {
            series.model = *model; // all other fields are zero
            series.payer = *payer.address();
            series.page = page;
            series.bump = bump;
        }
        Ok(series)
    }

    /// Returns the windows of the page.
    pub fn windows(&self) -> RangeInclusive<u64> {
        let first = self.page * PAGE_WINDOWS; // the page of a window, so it fits
        first..=first + (PAGE_WINDOWS - 1)
    }

    /// Whether this is the page of the receipt's window.
    pub fn holds(&self, receipt: &Receipt) -> bool {
        self.model == receipt.model && self.page == Self::page_of(receipt.window)
    }

    /// Returns the entry of `window`, which must be one of the page's.
    #[inline(always)] // settlement reads hundreds of entries
    pub fn entry(&self, window: u64) -> Entry {
        Entry::from_word(self.entries[Self::index(window)])
    }

    #[inline(always)]
    fn index(window: u64) -> usize {
        (window % PAGE_WINDOWS) as usize
    }

    /// Refuses a window that is settled: there is one receipt for a window, forever.
    pub fn require_unsettled(&self, window: u64) -> Result<()> {
        require!(
            matches!(self.entry(window), Entry::None | Entry::Open),
            DriftShieldError::WindowSettled
        );
        Ok(())
    }

    /// Writes the entry of the receipt's window.
    pub fn record(&mut self, receipt: &Receipt) {
        self.entries[Self::index(receipt.window)] = receipt.entry().to_word();
    }

    /// Refuses to close a page before the retention of its last window is over, or while one of its
    /// receipts is open: the receipt couldn't be settled without the page.
    pub fn require_closable(&self, model: &Model, now: i64) -> Result<()> {
        let is_open = |&word: &u64| Entry::from_word(word) == Entry::Open;
        require!(
            model.retention_end(*self.windows().end())? <= now && !self.entries.iter().any(is_open),
            DriftShieldError::SeriesStillNeeded
        );
        Ok(())
    }

    pub fn next_seq(&mut self) -> u64 {
        super::next_seq(&mut self.seq)
    }
}

#[cfg(test)]
mod tests {
    use anchor_lang::bytemuck::Zeroable;

    use super::*;
    use crate::ReceiptState;

    const ENTRIES: [Entry; 7] = [
        Entry::None,
        Entry::Open,
        Entry::Final(0),
        Entry::Final(1),
        Entry::Final(Entry::VALUE_MASK),
        Entry::Void,
        Entry::Thin,
    ];

    #[test]
    fn a_word_keeps_the_entry() {
        for entry in ENTRIES {
            assert_eq!(Entry::from_word(entry.to_word()), entry);
        }
    }

    #[test]
    fn a_word_has_the_state_in_the_top_byte_and_the_value_below() {
        let words = ENTRIES.map(Entry::to_word);
        assert_eq!(words[..3], [0, 1 << 56, 2 << 56]);
        assert_eq!(words[3..5], [(2 << 56) + 1, (3 << 56) - 1]);
        assert_eq!(words[5..], [3 << 56, 4 << 56]);
    }

    #[test]
    fn a_value_never_reaches_the_state() {
        let word = Entry::Final(u64::MAX).to_word();
        assert_eq!(Entry::from_word(word), Entry::Final(Entry::VALUE_MASK));
    }

    #[test]
    fn a_page_holds_256_windows() {
        let mut series = Series::zeroed();
        series.page = 1;
        assert_eq!(series.windows(), 256..=511);
        for (window, page) in [(255, 0), (256, 1), (511, 1), (512, 2)] {
            let mut receipt = Receipt::zeroed();
            receipt.window = window;
            assert_eq!(Series::page_of(window), page);
            assert_eq!(series.holds(&receipt), page == 1);
        }
    }

    #[test]
    fn recording_a_window_changes_no_other() {
        let mut receipt = Receipt::zeroed();
        receipt.state = ReceiptState::Final.into();
        for window in 256..512 {
            let mut series = Series::zeroed();
            series.page = 1;
            (receipt.window, receipt.value) = (window, window);
            series.record(&receipt);
            for other in series.windows() {
                let expected = if other == window {
                    Entry::Final(window)
                } else {
                    Entry::None
                };
                assert_eq!(series.entry(other), expected);
            }
        }
    }
}

//! A page of a model's history: what became of 256 consecutive windows.

use crate::{
    layout::{field, series as layout},
    Account, Address, Error,
};

/// Number of consecutive windows in a page. Page `p` has the windows from `256 · p` on.
pub const PAGE_WINDOWS: u64 = 256;

/// What became of a window. Only a final window has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Window {
    /// Nobody has submitted, so far.
    None,
    /// Submitted, and not decided: a value may be proposed or disputed.
    Open,
    /// The window's drift in micro-units.
    Final(u64),
    /// Decided without a value: the oracles did not agree.
    Void,
    /// Decided without a value: the window had too few rows.
    Thin,
}

/// A page account: a `Series`. Its windows are read by [`Model::window`](crate::Model::window),
/// which checks that it is a page of the model.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    data: &'a [u8; layout::SIZE],
}

impl<'a> Page<'a> {
    /// Index of the page that has a window. The page's address is the PDA of
    /// `["series", model, index (u64 LE)]`.
    pub fn index_of(window: u64) -> u64 {
        window / PAGE_WINDOWS
    }

    /// Reads a page. Refuses an account of another program or type.
    pub fn load(account: Account<'a>) -> Result<Self, Error> {
        let data = account.data_of(&layout::DISCRIMINATOR, Error::NotAPage)?;
        Ok(Self { data })
    }

    /// Whether this is a page of the model. The program writes the address when it creates the page,
    /// and never changes it.
    pub(crate) fn belongs_to(&self, model: &Address) -> bool {
        field(self.data, layout::MODEL) == *model
    }

    pub(crate) fn holds(&self, window: u64) -> bool {
        u64::from_le_bytes(field(self.data, layout::PAGE)) == Self::index_of(window)
    }

    /// What became of a window of this page.
    pub(crate) fn window(&self, window: u64) -> Result<Window, Error> {
        const VALUE_BYTES: usize = 7;
        let index = (window % PAGE_WINDOWS) as usize;
        let mut word: [u8; 8] = field(self.data, layout::ENTRIES + 8 * index);
        let state = core::mem::take(&mut word[VALUE_BYTES]);
        Ok(match state {
            0 => Window::None,
            1 => Window::Open,
            2 => Window::Final(u64::from_le_bytes(word)),
            3 => Window::Void,
            4 => Window::Thin,
            _ => return Err(Error::UnknownState),
        })
    }
}

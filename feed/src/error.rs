//! Why a value can't be used.

use core::fmt;

/// Why a value can't be used. The numbers never change: a program can return `error as u32`, offset
/// by a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum Error {
    /// The account belongs to another program, or does not exist.
    WrongOwner = 0,
    /// The account is the program's, but not a model.
    NotAModel = 1,
    /// The account is the program's, but not a page of a model's history.
    NotAPage = 2,
    /// The account has another size than this version of the crate expects.
    WrongSize = 3,
    /// The model has another address than the pinned one.
    OtherModel = 4,
    /// The model has another version than the pinned one: its owner has changed who measures it.
    OtherVersion = 5,
    /// The model is retired: nobody has to measure it any more.
    Retired = 6,
    /// No window of this version has a final value yet.
    NoValue = 7,
    /// The newest final window ended longer ago than the consumer allows.
    Stale = 8,
    /// The newest final window ends in the future: `now` is not the cluster's time.
    WrongClock = 9,
    /// The oracles' bonds secure less than the consumer demands.
    Insecure = 10,
    /// This version has fewer final windows than the consumer asks for, or it asks for none.
    TooFewWindows = 11,
    /// None of the pages is the model's page of the window.
    MissingPage = 12,
    /// The page holds a state that this version of the crate does not know.
    UnknownState = 13,
    /// The window lies beyond the end of time.
    WindowOutOfRange = 14,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongOwner => "the account does not belong to DriftShield; check the address",
            Self::NotAModel => "the account is not a model; pass the model's account",
            Self::NotAPage => "the account is not a page of drift history; pass a Series account",
            Self::WrongSize => "the account has an unknown size; use a newer version of this crate",
            Self::OtherModel => "the model is not the pinned one; pass the pinned model",
            Self::OtherVersion => {
                "the model has another version than the pinned one; review the model, then pin its version"
            }
            Self::Retired => "the model is retired; use another model",
            Self::NoValue => "the model has no final value yet; wait for the first one",
            Self::Stale => "the newest final value is too old; wait for a new one",
            Self::WrongClock => "the newest window ends in the future; pass the cluster's time",
            Self::Insecure => "the oracles' bonds secure too little; wait until they bond more",
            Self::TooFewWindows => "the model has fewer final windows; ask for fewer, at least one",
            Self::MissingPage => "no page holds the window; pass the model's page of the window",
            Self::UnknownState => "the window has an unknown state; use a newer version of this crate",
            Self::WindowOutOfRange => "the window is out of range; use a smaller number",
        })
    }
}

impl core::error::Error for Error {}

//! The protocol's pure arithmetic on integers, independent of accounts.

mod cover;
mod ln;
mod metric;
mod parimutuel;
mod rent;
mod shares;

pub use {cover::*, metric::*, parimutuel::*, rent::*, shares::*};

//! The protocol's pure arithmetic on integers, independent of accounts.

mod cover;
mod ln;
mod metric;
mod parimutuel;
mod shares;

pub use {cover::*, metric::*, parimutuel::*, shares::*};

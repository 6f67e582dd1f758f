//! The protocol's pure arithmetic: integers in, integers out, no accounts.

mod cover;
mod ln;
mod metric;
mod parimutuel;
mod shares;

pub use {cover::*, metric::*, parimutuel::*, shares::*};

//! The protocol's pure arithmetic: integers in, integers out, no accounts.

mod ln;
mod metric;
mod parimutuel;

pub use {metric::*, parimutuel::*};

//! The arithmetic of the DriftShield program, on integers alone.
//!
//! The program and its clients share these functions, so a client computes exactly what the program
//! computes. They read no account and no clock, and allocate nothing.

#![no_std]

mod cover;
mod ln;
mod metric;
mod parimutuel;
mod shares;

pub use {cover::*, metric::*, parimutuel::*, shares::*};

#[cfg(test)]
extern crate std;

//! The arithmetic of the DriftShield program, on integers alone.
//!
//! The program and its clients share these functions, so a client computes exactly what the program
//! computes. They read no account and no clock, and allocate nothing.

#![no_std]

mod cover;
mod ln;
mod metric;
mod noise;
mod parimutuel;
mod quote;
mod rent;
mod shares;

pub use {cover::*, metric::*, noise::noise_floor, parimutuel::*, quote::*, rent::*, shares::*};

#[cfg(test)]
extern crate std;

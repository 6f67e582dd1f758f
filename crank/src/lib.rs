//! The process of oracle operators and keepers.
//!
//! It counts what a model's windows hold and submits the counts, and it takes every step that
//! needs nobody's permission: receipts are finalized, markets settled, everybody paid.
//!
//! A round reads the chain ([`state`]), decides what is due ([`due`]), which is a pure function,
//! and sends it ([`send`]). Nothing is remembered that the chain does not tell again, so the
//! process can be ended at any moment and run more than once.

pub mod check;
pub mod config;
pub mod data;
pub mod due;
pub mod evidence;
pub mod measure;
pub mod run;
pub mod send;
pub mod spec;
pub mod state;

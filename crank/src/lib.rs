//! The process that oracle operators and keepers run.
//!
//! For each configured model, the crank takes every step that needs no privileged key: it finalizes
//! receipts, settles markets, pays positions, policies, fees and withdrawal requests, renews and
//! expires policies, and closes accounts that are no longer used. For a model whose data it has, it
//! also counts windows and submits the counts.
//!
//! [`run`] repeats rounds. A round reads the chain into a [`snapshot`] with [`reader`], adds the
//! [`oracle`]'s counts, derives the due actions with the pure functions of [`due`], and sends them
//! with [`send`]. The process keeps no state that it can't rebuild from the chain and the data: it
//! can be killed at any moment, and several processes can run with the same key.

pub mod check;
pub mod config;
pub mod data;
pub mod dataset;
pub mod due;
pub mod evidence;
pub mod measure;
pub mod oracle;
pub mod periods;
pub mod reader;
pub mod retry;
pub mod run;
pub mod send;
pub mod snapshot;
pub mod spec;
pub mod spec_file;

#[cfg(test)]
mod fixtures;

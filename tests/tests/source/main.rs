//! Tests of the source, the IDL and pure functions. They need no built program and no services.

mod api;
mod calibration;
mod errors;
mod feed;
mod frozen;
mod idl;
mod metric;
mod mutants;
mod noise;
mod silence;
mod small_domains;
mod spec;

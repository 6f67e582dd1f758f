//! Tests of the source, the IDL and pure functions: they need nothing that is built for them.

mod frozen;
mod idl;
mod metric;
mod mutants;
mod small_domains;
mod spec;

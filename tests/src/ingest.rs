//! `bench indexer`: how fast the indexer mirrors a busy program.
//!
//! [`load`] records a stream from the real program in the virtual machine. [`chain`] puts its transactions
//! into slots, [`grpc`] and [`rpc`] serve them as a node would to the real `indexer run`, which writes to a
//! [`database`] of its own. [`phases`] measures it, and compares it with `COPY` of the same rows
//! ([`copy`]).

pub mod chain;
pub mod copy;
pub mod database;
pub mod grpc;
pub mod load;
pub mod mirror;
pub mod phases;
pub mod recording;
pub mod rpc;

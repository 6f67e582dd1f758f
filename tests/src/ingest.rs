//! A recorded stream of the program, served to the real `indexer run`.
//!
//! [`actions`] and [`load`] record the stream from the real program in the virtual machine. [`chain`] puts its transactions
//! into slots, with [`forks`] where wanted, and [`grpc`] and [`rpc`] serve them as a node would. `bench indexer`
//! measures how fast the indexer writes them to a [`database`] of its own ([`phases`]), and compares it with
//! `COPY` of the same rows ([`copy`]).

mod actions;
pub mod chain;
pub mod copy;
pub mod database;
pub mod forks;
pub mod grpc;
pub mod load;
mod messages;
pub mod mirror;
pub mod phases;
pub mod recording;
pub mod rpc;

//! Every test in one binary: it links once.

mod admin;
mod bonds;
mod builtins;
mod dispute;
mod idl;
mod insiders;
mod market_lifecycle;
mod market_refusals;
mod metric;
mod metric_on_chain;
mod model;
mod receipt;
mod sdk;
mod transactions;

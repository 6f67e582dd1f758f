//! Every test in one binary: it links once.

mod admin;
mod api;
mod attacks;
mod bonds;
mod builtins;
mod cover;
mod dispute;
mod example;
mod idl;
mod insiders;
mod json;
mod market_lifecycle;
mod market_refusals;
mod metric;
mod metric_on_chain;
mod model;
mod policy;
mod property;
mod receipt;
mod restarts;
mod scene;
mod sdk;
mod spec;
mod token_2022;
mod transactions;
mod vault;

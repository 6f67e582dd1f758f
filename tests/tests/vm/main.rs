//! Tests of the program in the virtual machine.

mod admin;
mod attacks;
mod bonds;
mod builtins;
mod dispute;
mod errors;
mod harmlessness;
mod insiders;
mod insolvency;
mod json;
mod liveness;
mod market;
mod matrix;
mod metric_on_chain;
mod model;
mod policy;
mod property;
mod receipt;
mod sdk;
mod states;
mod token_2022;
mod transactions;
mod vault;

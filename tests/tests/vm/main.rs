//! Tests of the program in the virtual machine.

mod admin;
mod attacks;
mod bonds;
mod builtins;
mod committed_idl;
mod dispute;
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
mod rents;
mod sdk;
mod stakeholders;
mod states;
mod tampering;
mod token_2022;
mod transactions;
mod vault;

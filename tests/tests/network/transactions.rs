//! Transactions that the API builds: a wallet that has only the API and its key signs and sends them.

mod actions;
mod insurance;
mod markets;
mod models;
mod node;
mod oracle;
mod wallet;

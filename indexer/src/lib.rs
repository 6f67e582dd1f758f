//! Mirror of the program's accounts and events in Postgres, schema `chain`.
//!
//! [`stream`] subscribes to Yellowstone gRPC at confirmed commitment, and [`slot`] assembles its
//! messages into whole slots. [`apply`] commits the rows of a batch of slots in one transaction
//! with the cursor, which records the last applied slot: an indexer that is killed at any moment
//! resumes from the cursor. [`snapshot`] fills an empty mirror, from an RPC node, with the accounts
//! that exist before the first streamed slot. [`mod@verify`] compares the mirror with the chain, and
//! the audit a sample of it all the time. [`status`] is what the process reports of itself.

pub mod apply;
mod audit;
pub mod config;
mod copy;
pub mod cursor;
mod dead_letter;
pub mod endpoints;
mod error_chain;
pub mod event_id;
mod gap;
mod kinds;
mod lives;
mod metrics;
mod migrate;
mod monitor;
mod retention;
mod rows;
mod rpc;
pub mod run;
mod shutdown;
pub mod slot;
pub mod snapshot;
pub mod status;
mod store;
pub mod stream;
mod undo;
pub mod verify;

pub use config::{ConfigFile, RunOptions, Settings};
pub use endpoints::Endpoints;
pub use error_chain::error_chain;
pub use migrate::migrate;
pub use run::run;
pub use shutdown::shutdown;
pub use verify::verify;

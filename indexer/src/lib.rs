//! Mirror of the program's accounts and events in Postgres, schema `chain`.
//!
//! [`stream`] subscribes to Yellowstone gRPC at confirmed commitment, and [`slot`] assembles its
//! messages into whole slots; without a gRPC server, [`poll`] reads them from an RPC node. [`apply`] commits the rows of a batch of slots in one transaction
//! with the cursor, which records the last applied slot: an indexer that is killed at any moment
//! resumes from the cursor. `history` fills an empty mirror with the program's past slots, and
//! `reading` completes its accounts, both from an RPC node. [`mod@verify`] compares the mirror with the
//! chain, and the audit a sample of it all the time. [`status`] is what the process reports of itself.

pub mod apply;
mod audit;
pub mod config;
mod copy;
pub mod cursor;
mod dead_letter;
pub mod endpoints;
pub mod event_id;
mod gap;
mod history;
mod hourly;
mod kinds;
mod lives;
mod metrics;
mod migrate;
mod monitor;
mod nodelay;
pub mod poll;
mod ranks;
mod reading;
mod redecode;
mod retention;
mod rows;
mod rpc;
pub mod run;
mod shutdown;
pub mod slot;
mod sql;
pub mod status;
mod store;
pub mod stream;
mod undo;
pub mod verify;
mod waits;

pub use config::{ConfigFile, RunOptions, Settings, Source};
pub use endpoints::Endpoints;
pub use migrate::migrate;
pub use run::{rebuild, run};
pub use verify::verify;

//! What the services have in common: configuration files, logs, signals and metrics.

pub mod config_file;
mod error_chain;
mod log;
pub mod metric;
mod shutdown;

pub use error_chain::error_chain;
pub use log::init_log;
pub use shutdown::shutdown;

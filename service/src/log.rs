//! Logs of a process.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Logs to standard error from now on. `RUST_LOG` sets the level, which is `info` by default.
pub fn init_log() {
    let level = EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::INFO.into());
    tracing_subscriber::fmt()
        .with_env_filter(level.from_env_lossy())
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .init();
}

//! Progress lines for the person who started localnet.

use std::io::Write;

/// Prints a line to stdout. Write errors are ignored: localnet keeps running if its output is
/// closed.
pub fn print_line(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

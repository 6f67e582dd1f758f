//! Tables for the terminal, and amounts as decimal numbers.

use comfy_table::{Table, presets};

use crate::{console::print_line, example::state::TOKEN};

/// Prints a title, a header and rows with aligned columns.
pub fn print_table(title: &str, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(header)
        .add_rows(rows);
    print_line(&format!("\n{title}\n{}", table.trim_fmt()));
}

/// Drift as a decimal number, from micro-units.
pub fn drift(micro: u64) -> String {
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}

/// Tokens as a decimal number, from base units.
pub fn tokens(amount: u64) -> String {
    format!("{}.{:06}", amount / TOKEN, amount % TOKEN)
}

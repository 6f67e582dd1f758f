//! Layout of tables.

use comfy_table::{Table, presets};

/// Aligned columns without borders, a line for each row.
pub fn aligned<R>(rows: impl IntoIterator<Item = R>) -> String
where
    R: IntoIterator<Item = String>,
{
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.add_rows(rows);
    if table.is_empty() {
        return String::new();
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_have_no_trailing_spaces() {
        let rows = [
            ["outcome", "drift", "pool"],
            ["0", "", "12.5"],
            ["1", "0.1 or more", "-"],
        ];
        let text = aligned(rows.map(|row| row.map(str::to_owned)));
        assert_eq!(
            text,
            "outcome  drift        pool\n0                     12.5\n1        0.1 or more  -\n"
        );
    }
}

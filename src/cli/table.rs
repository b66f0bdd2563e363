//! How the program prints tables.

use comfy_table::{LineStyle, Table, TableStyle};

/// A table with lines around and under its header, and two spaces between columns.
pub fn table(header: Vec<String>) -> Table {
    let line = LineStyle::none().fill('─').junction('─');
    let mut table = Table::new();
    table.load_style(TableStyle::new().top_border(line).header_separator(line).bottom_border(line)).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table
}

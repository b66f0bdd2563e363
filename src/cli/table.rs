//! How the program prints tables.

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};

/// A table with lines around and under its header, and two spaces between columns.
pub fn table(header: Vec<String>) -> Table {
    let line = LineStyle::none().fill('─').junction('─');
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().top_border(line).header_separator(line).bottom_border(line))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

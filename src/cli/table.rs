//! Plain tables for the terminal; numbers are aligned to the right.

use std::fmt;

/// A table of texts.
#[derive(Clone, Debug, Default)]
pub struct TextTable {
    header: Vec<String>,
    is_numeric: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// A table with these columns; a name that begins with `#` is a column of numbers.
    pub fn new<T: Into<String>>(columns: impl IntoIterator<Item = T>) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        let is_numeric = columns.iter().map(|name| name.starts_with('#')).collect();
        let header = columns
            .iter()
            .map(|name| name.strip_prefix('#').unwrap_or(name).to_owned())
            .collect();
        Self {
            header,
            is_numeric,
            rows: Vec::new(),
        }
    }

    /// Adds a row; lines within a cell are joined.
    pub fn add_row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells
            .into_iter()
            .map(|cell| cell.into().split('\n').collect::<Vec<_>>().join(" "));
        self.rows.push(cells.collect());
    }

    fn column_widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|cell| display_width(cell)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(display_width(cell));
            }
        }
        widths
    }

    fn format_row(&self, cells: &[String], widths: &[usize]) -> String {
        let cells =
            cells
                .iter()
                .zip(widths)
                .zip(&self.is_numeric)
                .map(|((cell, &width), &number)| {
                    let gap = " ".repeat(width - display_width(cell));
                    if number {
                        format!("{gap}{cell}")
                    } else {
                        format!("{cell}{gap}")
                    }
                });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

/// The characters on the screen, without colours.
fn display_width(cell: &str) -> usize {
    let mut pieces = cell.split('\u{1b}');
    let plain = pieces.next().map_or(0, |piece| piece.chars().count());
    let styled = pieces.map(|piece| {
        piece
            .split_once('m')
            .map_or(0, |(_, rest)| rest.chars().count())
    });
    plain + styled.sum::<usize>()
}

impl fmt::Display for TextTable {
    /// Header, rule and rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.column_widths();
        writeln!(f, "{}", self.format_row(&self.header, &widths))?;
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        writeln!(f, "{}", rule.join("  "))?;
        self.rows
            .iter()
            .try_for_each(|row| writeln!(f, "{}", self.format_row(row, &widths)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::TextStyle;

    #[test]
    fn colours_take_no_room() {
        let mut table = TextTable::new(["status", "error"]);
        table.add_row([TextStyle::Red.paint("failed"), "x".to_owned()]);
        assert_eq!(display_width(&TextStyle::Red.paint("failed")), 6);
        assert!(
            table
                .to_string()
                .ends_with("\u{1b}[1;31mfailed\u{1b}[0m  x\n"),
            "{table}"
        );
    }

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let mut table = TextTable::new(["run", "#seconds", "error"]);
        table.add_row(["base=weak", "3", ""]);
        table.add_row(["é", "1200", "two\nlines"]);
        insta::assert_snapshot!(table, @r"
        run        seconds  error
        ---------  -------  ---------
        base=weak        3
        é             1200  two lines
        ");
    }
}

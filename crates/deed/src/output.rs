//! Prints results on standard output: as text, or as JSON for programs.
use std::io::{self, Write as _};

use serde::Serialize;

/// The output format of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a value: as one line of JSON, or as the text that `text` makes of it.
    pub(crate) fn print<T: Serialize>(self, value: &T, text_of: impl FnOnce(&T) -> String) -> io::Result<()> {
        let text = if self.json { serde_json::to_string(value)? } else { text_of(value) };
        print_line(&text)
    }
}

/// Writes a line to standard output.
pub(crate) fn print_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.trim_end_matches('\n'))?;
    out.flush()
}

/// Formats a table; the first row is the header.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn table_aligns_columns() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = table(&[row(["NAME", "TYPE"]), row(["acme.com", "TXT"]), row(["ü", ""])]);
        assert_eq!(text, "NAME      TYPE\nacme.com  TXT\nü");
    }
}

//! Plain text for a terminal: columns and times.

use std::fmt::Write as _;

/// Most characters of one cell: a job's error may have thousands.
const MAX_CELL: usize = 200;

/// Aligns rows in columns, the first row being the head. A long cell is cut, and ends with "…".
#[must_use]
pub fn columns(rows: &[Vec<String>]) -> String {
    let cut = |cell: &String| match cell.char_indices().nth(MAX_CELL) {
        Some((end, _)) => format!("{}…", cell.get(..end).unwrap_or_default()),
        None => cell.clone(),
    };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(cut).collect()).collect();
    whole_columns(&rows)
}

/// The same, and nothing is cut.
#[must_use]
pub fn whole_columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(at) {
                Some(known) => *known = (*known).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// What a server sent, without anything that could drive the terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let rows = [["ID", "STATUS"], ["nightly-billing", "healthy"], ["é", ""]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(columns(&rows), "ID               STATUS\nnightly-billing  healthy\né\n");
    }

    #[test]
    fn a_long_cell_is_cut_and_shows_it() {
        let told = columns(&[vec![String::from("ID")], vec!["é".repeat(MAX_CELL + 1)]]);
        assert_eq!(told, format!("ID\n{}…\n", "é".repeat(MAX_CELL)));
    }

    #[test]
    fn what_a_job_is_called_can_not_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a [2Jb c");
    }
}

//! Boards: the night's status table, from its opening to its all-clear.

mod filter;
mod night;
mod window;

pub(crate) use filter::matches;
pub(crate) use night::Night;
pub(crate) use window::{Window, window_at};

use crate::config::Board;

/// The key of a night's table.
pub(crate) fn board_key(board: &Board, date: &str) -> String {
    format!("b/{}/{date}", board.name)
}

/// The key of a night's summary.
pub(crate) fn summary_key(board: &Board, date: &str) -> String {
    format!("n/{}/{date}", board.name)
}

//! Boards: the night's status table, from its opening to its all-clear.

mod change;
mod filter;
mod night;
mod window;

pub(crate) use change::Former;
pub(crate) use filter::matches;
pub(crate) use night::Night;
pub(crate) use window::{Window, window_at};

use crate::config::Board;

/// How the keys of a board's tables begin.
pub(crate) fn board_prefix(board: &Board) -> String {
    format!("b/{}/", board.name)
}

/// The key of a night's table. The date alone would not do: a board may be given another window on the same day.
pub(crate) fn board_key(board: &Board, window: &Window) -> String {
    format!("{}{}/{}", board_prefix(board), window.date, window.start.as_millis())
}

/// The key of a night's summary.
pub(crate) fn summary_key(board: &Board, window: &Window) -> String {
    format!("n/{}/{}/{}", board.name, window.date, window.start.as_millis())
}

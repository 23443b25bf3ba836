//! When a board's window is: a piece of the day on a zone's wall clock, so that it keeps its hours across a change of
//! daylight-saving time.

use ronda_domain::time::Timestamp;

use crate::config::Board;
use crate::hours::Hours;

/// One night of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// The date of its opening, as `2026-11-24`.
    pub(crate) date: String,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

/// The board's window that a time lies in, if it lies in one.
pub(crate) fn window_at(board: &Board, at: Timestamp) -> Option<Window> {
    let piece = Hours::new(&board.start, &board.end, &board.timezone).ok()?.at(at)?;
    Some(Window { date: piece.date.to_string(), start: piece.start, end: piece.end })
}

#[cfg(test)]
mod tests {
    use ronda_domain::id::TenantId;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn the_night_in_jakarta_is_the_evening_before_in_utc() {
        let board = Board::nightly(TenantId::new("acme").unwrap());
        let window = window_at(&board, at("2026-11-23T17:00:00Z")).unwrap();
        assert_eq!(window.date, "2026-11-24");
        assert_eq!(window.end, at("2026-11-23T23:00:00Z"));
        assert_eq!(window_at(&board, at("2026-11-23T16:59:59Z")), None);
        assert_eq!(window_at(&board, at("2026-11-23T23:00:00Z")), None);
    }

    #[test]
    fn a_window_may_cross_midnight_and_keeps_its_hours_in_summer() {
        let mut board = Board::nightly(TenantId::new("acme").unwrap());
        board.start = "22:00".into();
        board.timezone = "Europe/Berlin".into();
        let window = window_at(&board, at("2026-03-29T03:59:59Z")).unwrap();
        assert_eq!(window.date, "2026-03-28");
        assert_eq!(window.start, at("2026-03-28T21:00:00Z"));
        assert_eq!(window.end, at("2026-03-29T04:00:00Z"), "an hour shorter that night");
    }
}

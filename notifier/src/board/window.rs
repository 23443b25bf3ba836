//! When a board's window is: a piece of the day on a zone's wall clock, so that it keeps its hours across a change of
//! daylight-saving time.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use ronda_domain::time::Timestamp;

use crate::config::{Board, time_of_day, zone};

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
    let zone = zone(&board.timezone).ok()?;
    let today = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?.to_zoned(zone.clone()).date();
    // A window across midnight began yesterday.
    [Some(today), today.yesterday().ok()]
        .into_iter()
        .flatten()
        .filter_map(|date| window_of(board, &zone, date))
        .find(|window| window.start <= at && at < window.end)
}

fn window_of(board: &Board, zone: &TimeZone, date: Date) -> Option<Window> {
    let start = time_of_day(&board.start).ok()?;
    let end = time_of_day(&board.end).ok()?;
    let end_date = if end <= start { date.tomorrow().ok()? } else { date };
    let millis = |date: Date, time| -> Option<Timestamp> {
        let zoned = zone.to_ambiguous_zoned(date.to_datetime(time)).compatible().ok()?;
        Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
    };
    Some(Window { date: date.to_string(), start: millis(date, start)?, end: millis(end_date, end)? })
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

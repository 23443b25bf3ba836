//! A piece of each day on a zone's wall clock, which keeps its hours across a change of daylight-saving time.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use ronda_domain::time::Timestamp;

use crate::config::{time_of_day, zone};

/// From when to when on each day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    start: Time,
    end: Time,
    zone: TimeZone,
}

/// One day's piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Of its beginning.
    pub(crate) date: Date,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl Hours {
    /// From `start` to `end`, as `HH:MM`; at or before `start`: on the next day.
    ///
    /// # Errors
    /// What is wrong with one of the three.
    pub fn new(start: &str, end: &str, timezone: &str) -> Result<Self, String> {
        Ok(Self { start: time_of_day(start)?, end: time_of_day(end)?, zone: zone(timezone)? })
    }

    /// Whose wall clock they are on.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether they end at this time, on one of the days.
    #[must_use]
    pub fn end_at(&self, at: Timestamp) -> bool {
        self.at(Timestamp::from_millis(at.as_millis() - 1)).is_some_and(|piece| piece.end == at)
    }

    /// The piece that a time lies in, if it lies in one.
    pub(crate) fn at(&self, at: Timestamp) -> Option<Piece> {
        let today = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?.to_zoned(self.zone.clone()).date();
        // One across midnight began yesterday.
        [Some(today), today.yesterday().ok()]
            .into_iter()
            .flatten()
            .filter_map(|date| self.of(date))
            .find(|piece| piece.start <= at && at < piece.end)
    }

    fn of(&self, date: Date) -> Option<Piece> {
        let end_date = if self.end <= self.start { date.tomorrow().ok()? } else { date };
        let millis = |date: Date, time| -> Option<Timestamp> {
            let zoned = self.zone.to_ambiguous_zoned(date.to_datetime(time)).compatible().ok()?;
            Some(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
        };
        Some(Piece { date, start: millis(date, self.start)?, end: millis(end_date, self.end)? })
    }
}

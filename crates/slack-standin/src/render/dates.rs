//! `<!date^…>`: each reader sees their own time. <https://docs.slack.dev/messaging/formatting-message-text#date-formatting>

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::state::Message;

/// Who looks, and when.
#[derive(Clone, Debug)]
pub struct Reader {
    zone: TimeZone,
    now: Timestamp,
    /// Who it is; `None`: one who sees what is shown to anybody.
    user: Option<String>,
}

impl Reader {
    /// A reader in a zone such as `Asia/Jakarta`, who looks at this time.
    ///
    /// # Errors
    /// When there is no such zone, or no such time.
    pub fn new(zone: &str, now_ms: u64) -> Result<Self, jiff::Error> {
        let now = Timestamp::from_millisecond(i64::try_from(now_ms).unwrap_or(i64::MAX))?;
        Ok(Self { zone: TimeZone::get(zone)?, now, user: None })
    }

    /// The same as this person, who doesn't see what is only for others.
    #[must_use]
    pub fn as_user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    pub(crate) fn sees(&self, message: &Message) -> bool {
        self.user.is_none() || message.only_for.is_none() || message.only_for == self.user
    }

    /// When a message was written, as its head shows it.
    pub(crate) fn time_of(&self, ts: &str) -> String {
        let seconds = ts.split('.').next().and_then(|seconds| seconds.parse().ok());
        let at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        at.map_or_else(String::new, |at| at.to_zoned(self.zone.clone()).strftime("%H:%M").to_string())
    }

    /// `1795443535^{time}` as this reader sees it; `None` when Slack would show the fallback.
    pub(crate) fn date(&self, spec: &str) -> Option<String> {
        let mut parts = spec.split('^');
        let at = Timestamp::from_second(parts.next()?.parse().ok()?).ok()?.to_zoned(self.zone.clone());
        let mut rest = parts.next()?;
        let mut out = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            let (token, after) = after.split_once('}')?;
            out.push_str(before);
            out.push_str(&self.token(token, &at)?);
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }

    fn token(&self, token: &str, at: &Zoned) -> Option<String> {
        let plain = |format: &str| at.strftime(format).to_string();
        let day = at.day();
        let nth = match day {
            1 | 21 | 31 => "st",
            2 | 22 => "nd",
            3 | 23 => "rd",
            _ => "th",
        };
        let long = || format!("{} {day}{nth}, {}", plain("%B"), at.year());
        Some(match token {
            "date_num" => plain("%Y-%m-%d"),
            "date" => long(),
            "date_short" => plain("%b %-d, %Y"),
            "date_long" => format!("{}, {}", plain("%A"), long()),
            "date_pretty" => self.near(at).unwrap_or_else(long),
            "date_short_pretty" => self.near(at).unwrap_or_else(|| plain("%b %-d, %Y")),
            "date_long_pretty" => self.near(at).unwrap_or_else(|| format!("{}, {}", plain("%A"), long())),
            "time" => plain("%H:%M"),
            "time_secs" => plain("%H:%M:%S"),
            "ago" => self.ago(at),
            _ => return None,
        })
    }

    fn near(&self, at: &Zoned) -> Option<String> {
        let today = self.now.to_zoned(self.zone.clone()).date();
        let date = at.date();
        let word = match date {
            _ if date == today => "today",
            _ if date.tomorrow().is_ok_and(|next| next == today) => "yesterday",
            _ if today.tomorrow().is_ok_and(|next| next == date) => "tomorrow",
            _ => return None,
        };
        Some(word.to_owned())
    }

    fn ago(&self, at: &Zoned) -> String {
        let seconds = self.now.as_second() - at.timestamp().as_second();
        let (count, unit) = match seconds.abs() {
            few @ 0..=59 => (few, "second"),
            some @ 60..=3_599 => (some / 60, "minute"),
            many @ 3_600..=86_399 => (many / 3_600, "hour"),
            days => (days / 86_400, "day"),
        };
        let plural = if count == 1 { "" } else { "s" };
        if seconds < 0 { format!("in {count} {unit}{plural}") } else { format!("{count} {unit}{plural} ago") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn each_reader_sees_their_own_time() {
        let read = |zone: &str, spec: &str| Reader::new(zone, 1_795_443_595_000).unwrap().date(spec);
        assert_eq!(read("UTC", "1795443535^{date_num} {time}").as_deref(), Some("2026-11-23 14:18"));
        assert_eq!(read("Asia/Jakarta", "1795443535^{date_num} {time}").as_deref(), Some("2026-11-23 21:18"));
        assert_eq!(read("UTC", "1795443535^{date_long}").as_deref(), Some("Monday, November 23rd, 2026"));
        assert_eq!(read("UTC", "1795443535^at {time_secs}^https://x").as_deref(), Some("at 14:18:55"));
        assert_eq!(read("UTC", "1795443535^{date_pretty}, {ago}").as_deref(), Some("today, 1 minute ago"));
        assert_eq!(read("UTC", "1795443535^{nonsense}"), None);
        assert_eq!(read("UTC", "soon^{time}"), None);
    }
}

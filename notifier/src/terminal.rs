//! The channel without a token: what would have been posted, readable, on a terminal.
//!
//! Nothing written here counts as shown: once Slack is set up, what is true then is shown there.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use ronda_runtime::Clock;

use crate::channel::{
    Channel, ChannelError, ChannelErrorKind, FindRequest, Found, Pacing, PostRequest, Posted, UpdateRequest,
};

/// How many messages are remembered, so that an edit shows only what is new in them.
const MAX_REMEMBERED: usize = 64;
/// The longest edit that is shown in one line, in characters.
const MAX_LINE: usize = 160;

/// Writes messages to a writer.
pub struct TerminalChannel {
    screen: Mutex<Screen>,
    clock: Arc<dyn Clock>,
    zone: TimeZone,
    posted: AtomicU64,
}

struct Screen {
    writer: Box<dyn Write + Send>,
    /// The lines of the newest messages, as they were shown last.
    shown: VecDeque<(String, Vec<String>)>,
}

impl std::fmt::Debug for TerminalChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TerminalChannel").finish_non_exhaustive()
    }
}

impl TerminalChannel {
    /// On the process's standard output; times are told in this zone.
    #[must_use]
    pub fn stdout(clock: Arc<dyn Clock>, timezone: &str) -> Self {
        Self::new(Box::new(std::io::stdout()), clock, timezone)
    }

    /// On any writer.
    #[must_use]
    pub fn new(writer: Box<dyn Write + Send>, clock: Arc<dyn Clock>, timezone: &str) -> Self {
        let zone = crate::config::zone(timezone).unwrap_or(TimeZone::UTC);
        let screen = Mutex::new(Screen { writer, shown: VecDeque::new() });
        Self { screen, clock, zone, posted: AtomicU64::new(0) }
    }

    /// Shows a message, or what is new in one that was shown before.
    fn show(&self, mark: &str, ts: &str, text: &str) -> Result<(), ChannelError> {
        let at = jiff::Timestamp::from_millisecond(self.clock.wall_millis()).unwrap_or_default();
        let time = at.to_zoned(self.zone.clone()).strftime("%H:%M:%S %Z").to_string();
        let mut screen = self.screen.lock();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let before = screen.shown.iter().position(|(shown, _)| shown == ts).and_then(|at| screen.shown.remove(at));
        let told = match &before {
            Some((_, before)) => in_short(mark, &time, &news(before, &lines)),
            None => in_full(mark, &time, &lines),
        };
        screen.writer.write_all(told.as_bytes()).and_then(|()| screen.writer.flush()).map_err(|error| {
            ChannelError {
                kind: ChannelErrorKind::NotSent { retry_after: Duration::from_secs(5), rate_limited: false },
                message: format!("the terminal can't be written to: {error}"),
            }
        })?;
        screen.shown.push_back((ts.to_owned(), lines));
        if screen.shown.len() > MAX_REMEMBERED {
            screen.shown.pop_front();
        }
        Ok(())
    }
}

/// The first line, and of the others those that were not there before.
fn news(before: &[String], now: &[String]) -> Vec<String> {
    // Columns move when another line gets longer.
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let known: Vec<String> = before.iter().map(|line| words(line)).collect();
    let rest = now.iter().skip(1).filter(|line| !known.contains(&words(line))).cloned();
    now.first().cloned().into_iter().chain(rest).collect()
}

fn in_full(mark: &str, time: &str, lines: &[String]) -> String {
    if let [line] = lines {
        return format!("── {time} {mark}{line}\n");
    }
    let mut told = format!("┌─ {time}\n");
    for (index, line) in lines.iter().enumerate() {
        let mark = if index == 0 { mark } else { "" };
        told.push_str(&format!("│ {mark}{line}\n"));
    }
    told.push_str("└─\n");
    told
}

/// In one line, where it fits.
fn in_short(mark: &str, time: &str, lines: &[String]) -> String {
    let words = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = lines.iter().map(words).collect::<Vec<_>>().join("  ·  ");
    if line.chars().count() <= MAX_LINE { in_full(mark, time, &[line]) } else { in_full(mark, time, lines) }
}

#[async_trait]
impl Channel for TerminalChannel {
    fn kind(&self) -> &'static str {
        "terminal"
    }

    fn pacing(&self) -> Pacing {
        Pacing { post_interval: Duration::ZERO, edit_interval: Duration::ZERO }
    }

    async fn check(&self, _channels: &[String]) -> Result<String, ChannelError> {
        Ok("this terminal".to_owned())
    }

    async fn post(&self, request: PostRequest) -> Result<Posted, ChannelError> {
        let number = self.posted.fetch_add(1, Ordering::Relaxed) + 1;
        let ts = format!("{number:020}");
        let mark = if request.thread_ts.is_some() { "↳ " } else { "" };
        self.show(mark, &ts, &request.content.plain)?;
        Ok(Posted { channel: request.channel, ts })
    }

    async fn update(&self, request: UpdateRequest) -> Result<(), ChannelError> {
        self.show("", &request.ts, &request.content.plain)
    }

    async fn delete(&self, _channel: &str, _ts: &str) -> Result<(), ChannelError> {
        Ok(())
    }

    async fn find(&self, _request: FindRequest) -> Result<Vec<Found>, ChannelError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_tells_in_a_line_what_is_new() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let before = lines("🔴 Demo job failed\n  Failed    13:56 WIB\n  Severity  warning\ndemo");
        let now = lines(
            "🟠 Demo job did not start\n  Missed      13:57:20 WIB\n  In a row    2\n  Severity    warning\ndemo",
        );
        let told = in_short("", "13:57:22 WIB", &news(&before, &now));
        assert_eq!(told, "── 13:57:22 WIB 🟠 Demo job did not start  ·  Missed 13:57:20 WIB  ·  In a row 2\n");
        let long: Vec<String> = (0..40).map(|number| format!("job-{number}")).collect();
        let told = in_short("", "13:57:22 WIB", &news(&long[..20], &long));
        assert!(told.starts_with("┌─ 13:57:22 WIB\n│ job-0\n│ job-20\n") && told.ends_with("│ job-39\n└─\n"), "{told}");
    }
}

//! The channel without a token: what would have been posted, readable, on a terminal.
//!
//! Nothing written here counts as shown: once Slack is set up, what is true then is shown there.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::channel::{
    Channel, ChannelError, ChannelErrorKind, FindRequest, Found, Pacing, PostRequest, Posted, UpdateRequest,
};

/// Writes messages to a writer.
pub struct TerminalChannel {
    writer: Mutex<Box<dyn Write + Send>>,
    posted: AtomicU64,
}

impl std::fmt::Debug for TerminalChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TerminalChannel").finish_non_exhaustive()
    }
}

impl Default for TerminalChannel {
    fn default() -> Self {
        Self::stdout()
    }
}

impl TerminalChannel {
    /// On the process's standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::new(Box::new(std::io::stdout()))
    }

    /// On any writer.
    #[must_use]
    pub fn new(writer: Box<dyn Write + Send>) -> Self {
        Self { writer: Mutex::new(writer), posted: AtomicU64::new(0) }
    }

    fn write(&self, what: &str, channel: &str, text: &str) -> Result<(), ChannelError> {
        let mut lines = format!("┌─ {what} in {channel}\n");
        for line in text.lines() {
            lines.push_str("│ ");
            lines.push_str(line);
            lines.push('\n');
        }
        lines.push_str("└─\n");
        let mut writer = self.writer.lock();
        writer.write_all(lines.as_bytes()).and_then(|()| writer.flush()).map_err(|error| ChannelError {
            kind: ChannelErrorKind::NotSent { retry_after: Duration::from_secs(5), rate_limited: false },
            message: format!("the terminal can't be written to: {error}"),
        })
    }
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
        let what = if request.thread_ts.is_some() { "Reply" } else { "Message" };
        self.write(what, &request.channel, &request.content.plain)?;
        let number = self.posted.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Posted { channel: request.channel, ts: format!("{number:020}") })
    }

    async fn update(&self, request: UpdateRequest) -> Result<(), ChannelError> {
        self.write("Edited", &request.channel, &request.content.plain)
    }

    async fn delete(&self, _channel: &str, _ts: &str) -> Result<(), ChannelError> {
        Ok(())
    }

    async fn find(&self, _request: FindRequest) -> Result<Vec<Found>, ChannelError> {
        Ok(Vec::new())
    }
}

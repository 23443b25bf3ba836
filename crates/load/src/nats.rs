//! A publisher that takes as little of the machine as it can: NATS's own text protocol, and every message confirmed by JetStream.
//!
//! The adapter's publishes and those of client libraries each wait for an answer of their own; here one connection counts the answers of a
//! window of messages, so that the figure is the server's and Ronda's rather than the load generator's. The protocol:
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

use std::io::Write as _;

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most of what the server says that is kept until it is whole.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// One connection.
pub(crate) struct Publisher {
    stream: TcpStream,
    inbox: String,
    /// What was read; up to `seen` it was looked at.
    buffer: Vec<u8>,
    seen: usize,
}

impl Publisher {
    /// Connects, and subscribes to an inbox of this name for the answers.
    ///
    /// # Errors
    /// When the server doesn't take the connection, or asks for what this has not: credentials, TLS.
    pub(crate) async fn connect(address: &str, name: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let inbox = format!("_INBOX.{name}");
        let hello = format!("CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {inbox} 1\r\nPING\r\n");
        stream.write_all(hello.as_bytes()).await?;
        let mut publisher = Self { stream, inbox, buffer: Vec::with_capacity(MAX_ANSWER_BYTES), seen: 0 };
        while !publisher.step()?.is_some_and(|seen| matches!(seen, Seen::Pong)) {
            publisher.read().await?;
        }
        Ok(publisher)
    }

    /// Publishes all of them, subject and body, with at most so many unconfirmed at a time.
    ///
    /// # Errors
    /// When the server refuses one, or the connection breaks.
    pub(crate) async fn publish(
        &mut self,
        messages: impl Iterator<Item = (String, String)>,
        window: usize,
    ) -> Result<()> {
        let mut messages = messages.peekable();
        let (mut waiting, mut out) = (0_usize, Vec::new());
        while waiting > 0 || messages.peek().is_some() {
            out.clear();
            // Half a window at a time: neither side then waits for single messages.
            if waiting <= window / 2 {
                for (subject, body) in messages.by_ref().take(window - waiting) {
                    write!(out, "PUB {subject} {} {}\r\n{body}\r\n", self.inbox, body.len())?;
                    waiting += 1;
                }
                self.stream.write_all(&out).await?;
            }
            while let Some(seen) = self.step()? {
                match seen {
                    Seen::Confirmed => waiting = waiting.checked_sub(1).context("an answer to nothing")?,
                    Seen::Ping => self.stream.write_all(b"PONG\r\n").await?,
                    Seen::Pong | Seen::Other => {}
                }
            }
            if waiting > window / 2 || messages.peek().is_none() && waiting > 0 {
                self.read().await?;
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<()> {
        self.buffer.drain(..std::mem::take(&mut self.seen));
        ensure!(self.buffer.len() < MAX_ANSWER_BYTES, "the server says something endless");
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
        Ok(())
    }

    /// Takes one whole thing that the server said.
    fn step(&mut self) -> Result<Option<Seen>> {
        let Some((seen, length)) = whole(&self.buffer[self.seen..])? else { return Ok(None) };
        self.seen += length;
        Ok(Some(seen))
    }
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// JetStream has a message.
    Confirmed,
    Ping,
    Pong,
    Other,
}

/// The first thing in these bytes, and its length; `None` as long as it is not whole.
fn whole(bytes: &[u8]) -> Result<Option<(Seen, usize)>> {
    let Some(end) = memmem::find(bytes, b"\r\n") else { return Ok(None) };
    let (line, after) = (std::str::from_utf8(&bytes[..end])?, end + 2);
    let mut words = line.split_ascii_whitespace();
    Ok(match words.next() {
        Some("MSG") => {
            let length: usize =
                words.next_back().and_then(|length| length.parse().ok()).context("a message's length")?;
            let Some(body) = bytes.get(after..after + length + 2) else { return Ok(None) };
            if memmem::find(body, b"\"error\"").is_some() {
                bail!("a message was refused: {}", String::from_utf8_lossy(body).trim_end());
            }
            Some((Seen::Confirmed, after + length + 2))
        }
        Some("PING") => Some((Seen::Ping, after)),
        Some("PONG") => Some((Seen::Pong, after)),
        Some("-ERR") => bail!("the server says {line}"),
        _ => Some((Seen::Other, after)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_or_waited_for() {
        let answer = b"MSG _INBOX.a 1 26\r\n{\"stream\":\"C\", \"seq\":1234}\r\nPING\r\n";
        let (seen, length) = whole(answer).unwrap().unwrap();
        assert_eq!((seen, &answer[length..]), (Seen::Confirmed, b"PING\r\n".as_slice()));
        assert_eq!(whole(&answer[..length - 1]).unwrap(), None);
        assert_eq!(whole(b"PON").unwrap(), None);
        assert_eq!(whole(b"+OK\r\n").unwrap(), Some((Seen::Other, 5)));
    }

    #[test]
    fn a_refusal_is_an_error() {
        assert!(whole(b"MSG _INBOX.a 1 13\r\n{\"error\":{}} \r\n").unwrap_err().to_string().contains("refused"));
        assert!(whole(b"-ERR 'Authorization Violation'\r\n").is_err());
    }
}

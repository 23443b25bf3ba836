//! One HTTP/1.1 connection: a request out, an answer in, nothing more.

use std::io;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A kept-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer: its status and body.
#[derive(Debug)]
pub struct Answer<'a> {
    /// HTTP status code.
    pub status: u16,
    /// The body's bytes.
    pub body: &'a [u8],
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When the server doesn't take the connection.
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a whole request and reads its whole answer.
    ///
    /// # Errors
    /// When the connection breaks before the answer is whole.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if let Some((status, start, end)) = whole_answer(&self.buffer) {
                return Ok(Answer { status, body: &self.buffer[start..end] });
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Status, and where the body begins and ends, once all of it is there. Only answers with `content-length` are understood.
fn whole_answer(bytes: &[u8]) -> Option<(u16, usize, usize)> {
    let head_end = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let head = &bytes[..head_end];
    let status = std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()?;
    let length = content_length(head).unwrap_or(0);
    (bytes.len() >= head_end + length).then_some((status, head_end, head_end + length))
}

fn content_length(head: &[u8]) -> Option<usize> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(15)?;
        if !name.eq_ignore_ascii_case(b"content-length:") {
            return None;
        }
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_only_with_its_body() {
        let bytes = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(whole_answer(bytes), Some((202, bytes.len() - 2, bytes.len())));
        assert_eq!(whole_answer(&bytes[..bytes.len() - 1]), None);
        assert_eq!(whole_answer(b"HTTP/1.1 204 No Content\r\n\r\n").map(|found| found.0), Some(204));
    }
}

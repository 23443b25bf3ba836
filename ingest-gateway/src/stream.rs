//! A connection's stream, with time limits on everything that a client can draw out: staying idle, sending a head, reading an answer.
//!
//! Nearly no request comes near a limit, so a timer is armed once and looked at when it has run out, not once a request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client may take over what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Between two requests.
    pub(crate) idle: Duration,
    /// From a head's first byte to its last.
    pub(crate) head: Duration,
    /// Without reading anything of an answer.
    pub(crate) write: Duration,
}

/// Whose turn it is on a connection: ours while a request is being worked on (its body included), else the client's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<AtomicBool>);

/// It is our turn until this is dropped.
#[derive(Debug)]
pub(crate) struct Ours(Turn);

impl Turn {
    /// A head has come: it is our turn.
    pub(crate) fn take(&self) -> Ours {
        self.0.store(true, Ordering::Relaxed);
        Ours(self.clone())
    }

    fn is_ours(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// What the client is about while it is its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// We are, for the work on its request.
    NotYet,
    /// For the first byte of a request.
    Idle,
    /// For the rest of a head.
    Head,
}

/// A stream that gives up on a client that takes too long.
pub(crate) struct Guarded {
    stream: TcpStream,
    patience: Patience,
    turn: Turn,
    waiting: Waiting,
    /// Since when it waits for what it waits for.
    since: Instant,
    read_timer: Timer,
    write_timer: Timer,
    /// When a write that makes no progress is given up.
    stalled_until: Option<Instant>,
}

impl Guarded {
    pub(crate) fn new(stream: TcpStream, patience: Patience, turn: Turn) -> Self {
        Self {
            stream,
            patience,
            turn,
            waiting: Waiting::Idle,
            since: Instant::now(),
            read_timer: Timer::default(),
            write_timer: Timer::default(),
            stalled_until: None,
        }
    }

    /// Nothing can be read just now: is that all right?
    fn nothing_to_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.turn.is_ours() {
            self.waiting = Waiting::NotYet;
            return Poll::Pending;
        }
        if self.waiting == Waiting::NotYet {
            (self.waiting, self.since) = (Waiting::Idle, Instant::now());
        }
        let limit = if self.waiting == Waiting::Head { self.patience.head } else { self.patience.idle };
        ready!(self.read_timer.poll(cx, self.since + limit));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client does not send its request"))
    }

    fn has_read(&mut self) {
        if self.waiting != Waiting::Head {
            (self.waiting, self.since) = (Waiting::Head, Instant::now());
        }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled_until = None;
            return written;
        }
        let patience = self.patience.write;
        let until = *self.stalled_until.get_or_insert_with(|| Instant::now() + patience);
        ready!(self.write_timer.poll(cx, until));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

/// A timer for a deadline that mostly moves later: it is armed again only when it has run out, or when the deadline came nearer.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(read) => {
                self.has_read();
                Poll::Ready(read)
            }
            Poll::Pending => self.nothing_to_read(cx).map(Err),
        }
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }
}

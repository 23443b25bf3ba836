//! What one commit has received.

use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_queue::Token;
use ronda_schemas::frame::FrameKind;

use super::pause::Stopwatch;
use crate::core::Incoming;

/// Messages on their way into a commit.
#[derive(Default)]
pub(super) struct Batch {
    /// Those that the core has not taken.
    pub(super) waiting: Vec<Incoming>,
    /// For the settling of all messages since the last, oldest first.
    tokens: Vec<Token>,
    pub(super) count: usize,
    pub(super) bytes: usize,
    /// Whether somebody waits for what is in it.
    pub(super) is_awaited: bool,
    /// Since when there are such.
    waiting_since: Option<Stopwatch>,
    /// When the oldest frame was closed.
    pub(super) oldest: Option<Timestamp>,
}

impl Batch {
    pub(super) fn add(&mut self, deliveries: Vec<(Incoming, Token)>) {
        for (incoming, token) in deliveries {
            self.count += 1;
            self.bytes += incoming.message.len();
            if let Some(frame) = incoming.as_frame() {
                self.is_awaited |= frame.header.kind == FrameKind::Awaited;
                self.oldest.get_or_insert(frame.header.wall);
            }
            self.waiting.push(incoming);
            self.tokens.push(token);
        }
        if !self.waiting.is_empty() {
            self.waiting_since.get_or_insert_with(Stopwatch::start);
        }
    }

    /// For how long some have waited for the core; `None`: there are none.
    pub(super) fn waiting_for(&self) -> Option<Duration> {
        self.waiting_since.as_ref().map(Stopwatch::elapsed)
    }

    /// What waits, for the core. What it leaves has begun to wait anew.
    pub(super) fn take_waiting(&mut self) -> Vec<Incoming> {
        self.waiting_since = None;
        std::mem::take(&mut self.waiting)
    }

    /// What the core did not take.
    pub(super) fn leave(&mut self, waiting: Vec<Incoming>) {
        if !waiting.is_empty() {
            self.waiting_since = Some(Stopwatch::start());
        }
        self.waiting = waiting;
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|incoming| incoming.message.len()).sum()
    }

    /// The token of the last message that is through; what is left begins a commit of its own.
    pub(super) fn settled(&mut self) -> Option<Token> {
        let through = self.tokens.len().saturating_sub(self.waiting.len());
        self.count = self.waiting.len();
        self.bytes = self.waiting_bytes();
        self.oldest = self.waiting.first().and_then(Incoming::wall);
        self.tokens.drain(..through).next_back()
    }
}

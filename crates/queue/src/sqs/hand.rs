//! What a receiver has in hand: the deliveries of its last receive, until they are deleted or given back.

use std::collections::VecDeque;

use aws_sdk_sqs::types::Message;
use tokio::time::Instant;

use super::message::Incoming;
use super::receiver::Attempt;
use crate::port::{Delivery, ReceiveLimit, Token};

pub(super) struct Held {
    pub(super) token: u64,
    pub(super) handle: String,
    sent_ms: Option<u64>,
    /// Its reader is done with it; it only has to be deleted.
    settled: bool,
}

/// Deliveries in order, the oldest first. All of them are of one receive: nothing else comes from a group while any is in flight.
pub(super) struct Hand {
    held: VecDeque<Held>,
    /// Those of them that were not handed out yet.
    ready: VecDeque<Delivery>,
    /// Until when they are ours, as far as we know.
    until: Instant,
    last_token: u64,
    handed_out: u64,
    /// A receive that was not answered.
    pub(super) unanswered: Option<Attempt>,
}

/// What a receiver must do before it has something to give.
pub(super) enum Next {
    Give(Vec<Delivery>),
    /// Delete what is settled.
    Delete,
    /// Nothing comes before these are settled, or lost.
    Wait(Instant),
    /// Ask for more. What was in hand is no longer ours and is forgotten: it comes again.
    Poll {
        lost: Vec<(u64, String)>,
    },
}

impl Hand {
    pub(super) fn new() -> Self {
        Self {
            held: VecDeque::new(),
            ready: VecDeque::new(),
            until: Instant::now(),
            last_token: 0,
            handed_out: 0,
            unanswered: None,
        }
    }

    pub(super) fn put(&mut self, messages: Vec<Message>, queue: &str, until: Instant) {
        for message in messages {
            let incoming = Incoming::read(&message, queue);
            self.last_token += 1;
            self.held.push_back(Held {
                token: self.last_token,
                handle: message.receipt_handle.unwrap_or_default(),
                sent_ms: incoming.sent_ms,
                settled: false,
            });
            self.ready.push_back(Delivery {
                position: None,
                message: incoming.message,
                token: Token(self.last_token),
                redelivered: incoming.redelivered,
                origin: incoming.origin,
            });
        }
        self.until = until;
    }

    pub(super) fn next(&mut self, limit: ReceiveLimit, now: Instant) -> Next {
        if !self.held.is_empty() && now >= self.until {
            return Next::Poll { lost: self.let_go() };
        }
        if !self.ready.is_empty() {
            return Next::Give(self.give(limit));
        }
        if self.held.iter().any(|held| held.settled) {
            return Next::Delete;
        }
        if self.held.is_empty() { Next::Poll { lost: Vec::new() } } else { Next::Wait(self.until) }
    }

    fn give(&mut self, limit: ReceiveLimit) -> Vec<Delivery> {
        let (mut given, mut bytes) = (Vec::new(), 0_usize);
        while given.len() < limit.messages.max(1) {
            let Some(delivery) = self.ready.front() else { break };
            bytes = bytes.saturating_add(delivery.message.len());
            if bytes > limit.bytes && !given.is_empty() {
                break;
            }
            self.handed_out = delivery.token.0;
            given.extend(self.ready.pop_front());
        }
        given
    }

    /// Whether the token was ever handed out; marks everything up to it.
    pub(super) fn settle(&mut self, through: Token) -> bool {
        if !(1..=self.handed_out).contains(&through.0) {
            return false;
        }
        for held in self.held.iter_mut().take_while(|held| held.token <= through.0) {
            held.settled = true;
        }
        true
    }

    /// What is to be deleted, the oldest first.
    pub(super) fn settled(&self) -> Vec<(u64, String)> {
        let settled = self.held.iter().filter(|held| held.settled);
        settled.map(|held| (held.token, held.handle.clone())).collect()
    }

    pub(super) fn deleted(&mut self, token: u64) {
        self.held.retain(|held| held.token != token);
    }

    pub(super) fn all(&self) -> Vec<(u64, String)> {
        self.held.iter().map(|held| (held.token, held.handle.clone())).collect()
    }

    /// Forgets everything, and answers what it was.
    pub(super) fn let_go(&mut self) -> Vec<(u64, String)> {
        self.ready.clear();
        self.held.drain(..).map(|held| (held.token, held.handle)).collect()
    }

    /// They were extended, save those that are no longer ours. One of those that still matters means that all may be lost.
    pub(super) fn extended(&mut self, asked: &[(u64, String)], not_ours: &[u64], until: Instant) {
        if self.held.iter().any(|held| !held.settled && not_ours.contains(&held.token)) {
            self.until = Instant::now();
        } else if self.held.iter().any(|held| asked.iter().any(|(token, _)| *token == held.token)) {
            self.until = until;
        }
    }

    pub(super) fn oldest_sent_ms(&self) -> Option<u64> {
        self.held.iter().find(|held| !held.settled).and_then(|held| held.sent_ms)
    }
}

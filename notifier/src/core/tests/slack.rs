//! The channel double: what was posted, and how it shall fail.

use std::collections::VecDeque;

use crate::channel::{ChannelError, ChannelErrorKind, Content, Found, Posted};
use crate::core::Request;
use crate::surface::Outcome;

pub(super) struct Message {
    pub(super) channel: String,
    pub(super) ts: String,
    pub(super) k: String,
    pub(super) content: Content,
    pub(super) thread: Option<String>,
    found: Found,
    at_ms: i64,
}

#[derive(Default)]
pub(super) struct Slack {
    pub(super) messages: Vec<Message>,
    pub(super) calls: u32,
    pub(super) posts: u32,
    pub(super) edits: u32,
    pub(super) broken: Option<String>,
    /// Where was posted.
    pub(super) channels: Vec<String>,
    /// The texts of all posts, as they were then.
    pub(super) posted: Vec<String>,
    pub(super) refuses_removal: bool,
    /// The next call is carried out, and its answer is lost.
    pub(super) loses_answer: bool,
    /// How far its clock is ahead of ours.
    pub(super) ahead_ms: i64,
    next: VecDeque<ChannelErrorKind>,
    always: Option<ChannelErrorKind>,
    last_ts: u64,
}

impl Slack {
    pub(super) fn fail_next(&mut self, kind: ChannelErrorKind) {
        self.next.push_back(kind);
    }

    pub(super) fn fail_always(&mut self, kind: Option<ChannelErrorKind>) {
        self.always = kind;
    }

    pub(super) fn call(&mut self, request: Request, wall_ms: i64) -> Result<Outcome, ChannelError> {
        let outcome = self.carry_out(request, wall_ms + self.ahead_ms);
        if std::mem::take(&mut self.loses_answer) {
            return Err(ChannelError { kind: ChannelErrorKind::Ambiguous, message: String::new() });
        }
        outcome
    }

    fn carry_out(&mut self, request: Request, at_ms: i64) -> Result<Outcome, ChannelError> {
        self.calls += 1;
        let failed = |kind| Err(ChannelError { kind, message: String::new() });
        if let Some(kind) = self.next.pop_front().or_else(|| self.always.clone()) {
            return failed(kind);
        }
        match request {
            Request::Post(post) => {
                if self.broken.as_ref() == Some(&post.channel) {
                    return failed(ChannelErrorKind::DestinationBroken { code: "is_archived".into() });
                }
                self.channels.push(post.channel.clone());
                self.posted.push(post.content.text.clone());
                self.posts += 1;
                self.last_ts += 1;
                let ts = format!("{:010}", self.last_ts);
                let there = |parent: &String| self.messages.iter().any(|message| message.ts == *parent);
                let orphaned = post.thread_ts.as_ref().is_some_and(|parent| !there(parent));
                let (generation, revision) = (post.metadata.generation, post.metadata.revision);
                self.messages.push(Message {
                    channel: post.channel.clone(),
                    ts: ts.clone(),
                    k: post.metadata.k,
                    content: post.content,
                    thread: post.thread_ts.filter(|_| !orphaned),
                    found: Found { ts: ts.clone(), generation, revision },
                    at_ms,
                });
                let posted = Posted { channel: post.channel, ts };
                if orphaned {
                    failed(ChannelErrorKind::Orphaned { stray: posted })
                } else {
                    Ok(Outcome::Posted(posted))
                }
            }
            Request::Update(update) => match self.messages.iter_mut().find(|message| message.ts == update.ts) {
                Some(message) => {
                    self.edits += 1;
                    message.content = update.content;
                    message.found.revision = update.metadata.revision;
                    Ok(Outcome::Edited)
                }
                None => failed(ChannelErrorKind::Missing { code: "message_not_found".into() }),
            },
            Request::Find(find) => {
                let in_time = |message: &&Message| message.at_ms >= find.oldest_ms;
                let ours = || self.messages.iter().filter(in_time).filter(|message| message.k == find.k);
                let there = ours().filter(|message| message.thread == find.thread_ts);
                let there: Vec<Found> = there.map(|message| message.found.clone()).collect();
                match ours().next().filter(|_| there.is_empty()) {
                    Some(Message { ts, .. }) => {
                        failed(ChannelErrorKind::Orphaned { stray: Posted { channel: find.channel, ts: ts.clone() } })
                    }
                    None => Ok(Outcome::Found(there)),
                }
            }
            Request::Delete { .. } if self.refuses_removal => {
                failed(ChannelErrorKind::DestinationBroken { code: "missing_scope".into() })
            }
            Request::Delete { ts, .. } => {
                self.messages.retain(|message| message.ts != ts);
                Ok(Outcome::Deleted)
            }
        }
    }
}

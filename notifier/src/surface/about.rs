//! What machines and mail programs are told of a surface beside its text.

use super::{AdminFacts, Facts, ReplyWhat, Surface};
use crate::channel::{About, Link};

impl Surface {
    /// What a channel that has no use for blocks needs to know.
    pub(crate) fn about(&self) -> About {
        About {
            what: self.facts.what(),
            since_ms: self.facts.since_ms(),
            is_over: self.is_finished(),
            links: self.facts.links(),
        }
    }
}

impl Facts {
    const fn what(&self) -> &'static str {
        match self {
            Self::Alert(_) => "alert",
            Self::Reply(_) => "reply",
            Self::Board(_) => "board",
            Self::Summary(_) => "summary",
            Self::Blind(_) => "was_blind",
            Self::Admin(_) => "operator_notice",
            Self::Digest(_) => "digest",
        }
    }

    fn since_ms(&self) -> Option<i64> {
        let at = match self {
            Self::Alert(alert) => alert.opened_at,
            Self::Board(board) => board.start,
            Self::Summary(summary) => summary.start,
            Self::Digest(digest) => digest.opened_at,
            Self::Reply(reply) => match &reply.what {
                ReplyWhat::Ended { opened_at, .. } => *opened_at,
                ReplyWhat::AfterTheEnd { at, .. } => *at,
                ReplyWhat::Acknowledged { by } | ReplyWhat::AcknowledgedInDigest { by } => by.at,
                ReplyWhat::StillWrong { since, .. } | ReplyWhat::Again { since, .. } => *since,
                ReplyWhat::Escalated { .. }
                | ReplyWhat::Worse { .. }
                | ReplyWhat::Names { .. }
                | ReplyWhat::Turned { .. } => return None,
            },
            Self::Admin(admin) => match admin.as_ref() {
                AdminFacts::Destination { at, .. }
                | AdminFacts::Refused { at, .. }
                | AdminFacts::UnreadableEvents { at, .. }
                | AdminFacts::UnreadableRows { at, .. } => *at,
                AdminFacts::Lost(_) | AdminFacts::Held(_) => return None,
            },
            Self::Blind(_) => return None,
        };
        Some(at.as_millis())
    }

    /// Only addresses that may be clicked.
    fn links(&self) -> Vec<Link> {
        let Self::Alert(alert) = self else { return Vec::new() };
        let url = alert.summary.runbook_url.to_string();
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        let is_one = url.len() <= 2_000 && !url.chars().any(|c| c.is_control() || c.is_whitespace());
        if is_web && is_one { vec![Link { label: "Runbook", url }] } else { Vec::new() }
    }
}

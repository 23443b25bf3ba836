//! What somebody gets to know from a post, and from no edit after it.

use ronda_domain::spec::Severity;

use crate::config::Config;
use crate::intake::{self, MAX_MENTIONS, Now};
use crate::route::Mention;
use crate::shard::Shard;
use crate::surface::Surface;

/// What a post says aloud: whom it calls, and how bad the worst is that it tells of. An edit notifies nobody, so an alert joins a message
/// that is posted only if that has said as much.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aloud {
    /// Of what is open; `None`: all is over.
    severity: Option<Severity>,
    mentions: Vec<Mention>,
}

impl Aloud {
    /// What a surface's post would say now.
    pub(crate) fn of(shard: &Shard, config: &Config, surface: &Surface, now: Now) -> Self {
        let severities = intake::open_alerts(shard, surface).into_iter().map(|alert| alert.summary.severity);
        Self { severity: severities.max(), mentions: intake::mentions(shard, config, surface, now) }
    }

    /// Whom it calls.
    pub(crate) fn mentions(&self) -> &[Mention] {
        &self.mentions
    }

    /// Whether somebody who has got to know this needs no post to get to know the other.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.severity <= self.severity && other.mentions.iter().all(|mention| self.mentions.contains(mention))
    }

    /// Both in one; `None`: more than one message may call.
    pub(super) fn with(&self, other: &Self) -> Option<Self> {
        let mut mentions = self.mentions.clone();
        mentions.extend(other.mentions.iter().filter(|mention| !self.mentions.contains(mention)).cloned());
        let severity = self.severity.max(other.severity);
        (mentions.len() <= MAX_MENTIONS).then_some(Self { severity, mentions })
    }
}

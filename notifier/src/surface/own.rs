//! What is true of one message, whatever it is about: the same alert may be told in time in one channel and late in another.

use ronda_domain::attention::Mute;
use ronda_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AlertFacts, Facts, Surface};

/// What is true of one message alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Own {
    /// Posted although it may be visible already: the history could not be read.
    pub(crate) maybe_repeat: bool,
    /// When it was kept back because nobody wanted to hear of it; `None`: never.
    pub(crate) kept_back: Option<KeptBack>,
    /// How it was told late; `None`: in time.
    pub(crate) late: Option<Late>,
    /// When people were called to it since it was posted; `None`: not since then.
    #[serde(default)]
    pub(crate) called: Option<Called>,
}

impl Own {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// How late a message was when it was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Late {
    /// Nobody wanted to hear of it before.
    Snoozed,
    /// It could not be told before, by so much.
    ByMillis(i64),
    /// It waited for the end of quiet hours.
    QuietHours,
    /// It waited for the end of a maintenance.
    Maintenance,
}

/// What kept a message back that could have been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptBy {
    /// A mute of its scheduler.
    Snooze,
    /// Quiet hours.
    QuietHours,
    /// A maintenance.
    Maintenance,
}

impl Late {
    /// What kept the message back; `None`: nothing that somebody wanted.
    pub(crate) const fn kept_by(self) -> Option<KeptBy> {
        match self {
            Self::Snoozed => Some(KeptBy::Snooze),
            Self::QuietHours => Some(KeptBy::QuietHours),
            Self::Maintenance => Some(KeptBy::Maintenance),
            Self::ByMillis(_) => None,
        }
    }
}

impl From<KeptBy> for Late {
    fn from(kept_by: KeptBy) -> Self {
        match kept_by {
            KeptBy::Snooze => Self::Snoozed,
            KeptBy::QuietHours => Self::QuietHours,
            KeptBy::Maintenance => Self::Maintenance,
        }
    }
}

/// When, and how often, people were called to an alert once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Called {
    /// The last time.
    pub(crate) at: Timestamp,
    /// How often it was told again.
    pub(crate) again: u32,
}

/// Between which times mutes, one after the other, kept back what nobody had seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptBack {
    pub(crate) since: Timestamp,
    /// Not in it.
    pub(crate) until: Timestamp,
}

impl KeptBack {
    /// What a mute does to an alert; `None`: it was over before that began.
    pub(crate) fn by(mute: &Mute, alert: &AlertFacts) -> Option<Self> {
        let since = mute.at.max(alert.opened_at);
        (since < mute.until).then_some(Self { since, until: mute.until })
    }

    /// The same after another mute, which counts from now on.
    pub(crate) fn then(self, next: Self) -> Self {
        Self { since: if next.since <= self.until { self.since } else { next.since }, until: next.until }
    }

    /// The same when people wanted to hear of it again at a time.
    pub(crate) fn ended(self, at: Timestamp) -> Option<Self> {
        let until = self.until.min(at);
        (self.since < until).then_some(Self { until, ..self })
    }

    /// Whether what was so from one time to another was so in it alone.
    pub(crate) fn covers(self, from: Timestamp, until: Timestamp) -> bool {
        self.since <= from && until < self.until
    }
}

/// Where rows that are older than version 5 keep what is a message's own now: read from them, and never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Former(bool);

impl Surface {
    /// Keeps it back as well for this time, if nobody has seen it.
    pub(crate) fn keep_back(&mut self, next: KeptBack) {
        if self.is_unseen() {
            self.own.kept_back = Some(self.own.kept_back.map_or(next, |before| before.then(next)));
        }
    }

    /// Moves what an older row says of its message to where it is kept now.
    pub(super) fn adopt(&mut self) {
        let is_unseen = self.is_unseen();
        let Facts::Alert(alert) = &mut self.facts else { return };
        self.own.maybe_repeat |= std::mem::take(&mut alert.former_repeat).0;
        let was_kept_back = alert.care.as_mut().is_some_and(|care| std::mem::take(&mut care.former_kept_back).0);
        if alert.care.as_deref().is_some_and(|care| care.acknowledged.is_none()) {
            alert.care = None;
        }
        if is_unseen {
            let kept_back = alert.summary.mute.as_deref().and_then(|mute| KeptBack::by(mute, alert));
            self.own.kept_back = self.own.kept_back.or(kept_back);
        } else if was_kept_back {
            self.own.late = Some(Late::Snoozed);
        }
    }
}

//! What a person is to see in the end, from what the notifier was told and from what happened.

use std::collections::{BTreeMap, BTreeSet};

use ronda_domain::event::{Change, EventKind, Resolution};
use ronda_domain::record::{OccurrenceStatus, StaleReason, Subject};
use ronda_domain::time::Timestamp;
use ronda_schemas::event::SchedulerEvent;
use ronda_slack_standin::{Message, message_as_text};

use crate::attention::wall_clock;
use crate::stage::{CHANNEL, key_in, key_of};
use crate::world::{CALLING_TEAM, World};

/// One alert.
pub(crate) struct Alert {
    pub(crate) job: String,
    /// Somebody is called for it.
    calls: bool,
    /// What is wrong, as the notifier was told last.
    now: Change,
    streak: u32,
    over: Option<Resolution>,
    pub(crate) replies: Vec<Reply>,
    acknowledged: Option<Acknowledged>,
    /// It was over while nobody wanted to hear of its job.
    ended_muted: bool,
}

/// Somebody looks after an alert.
struct Acknowledged {
    /// The digests in which the alert was to be seen then, where no other of its job can be meant.
    digests: Vec<String>,
}

/// Nobody wants to hear of a job, on the night's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Muted {
    from: Timestamp,
    until: Timestamp,
}

/// A reply that is due below an alert.
pub(crate) struct Reply {
    /// What it begins with.
    pub(crate) mark: &'static str,
    /// The channels in which the alert was visible when it was told: there nobody may miss the reply. Elsewhere the alert may say it all by
    /// itself.
    owed_in: Vec<&'static str>,
}

impl Reply {
    pub(crate) fn is_owed(&self, channel: &str) -> bool {
        self.owed_in.contains(&channel)
    }
}

/// What a night's table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Night {
    /// The line of counts, as people read it.
    pub(crate) counts: String,
    pub(crate) verdict: String,
    /// Each job with the word for the worst that became of it.
    pub(crate) rows: Vec<(String, &'static str)>,
    pub(crate) is_clear: bool,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Model {
    /// By the key that rides along with the message.
    pub(crate) alerts: BTreeMap<String, Alert>,
    /// The night as it was when it was closed.
    pub(crate) closed: Option<Night>,
    /// By job.
    pub(crate) mutes: BTreeMap<String, Vec<Muted>>,
    /// Jobs of which something came after the end.
    pub(crate) after_the_end: Vec<String>,
    /// Keys of what a person deleted.
    pub(crate) deleted: BTreeSet<String>,
    /// Texts of the digests that a person deleted, and of the replies that named alerts below one, each with its channel.
    pub(crate) deleted_digests: Vec<(&'static str, String)>,
}

impl Model {
    /// Takes in what the notifier is about to be told, and what a person sees by then.
    pub(crate) fn take_in(&mut self, event: &SchedulerEvent, messages: &[(&'static str, Message)]) {
        let (job, at) = (event.key.scheduler.as_str(), event.event.at);
        let key = |alert: &str| format!("a/{}/{}/{alert}", event.key.tenant, event.key.scheduler);
        let visible_in = |alert: &str| {
            let shows_it = |(channel, message): &&(&'static str, Message)| key_of(message) == key_in(channel, alert);
            messages.iter().filter(shows_it).map(|(channel, _)| *channel).collect::<Vec<&str>>()
        };
        // A reply that would notify is not owed then: whether the notifier makes one is a matter of its clock.
        let is_muted = self.is_muted(job, at);
        // What the night tells last is of tomorrow, when a mute that ends by the clock is over; by the notifier's it is not yet.
        let is_quiet = is_muted || self.is_muted(job, wall_clock());
        let owed_in = |alert: &str| if is_quiet { Vec::new() } else { visible_in(alert) };
        match &event.event.kind {
            EventKind::AlertOpened { alert, cause, streak } => {
                self.alerts.insert(key(alert), Alert::opened(event, cause, *streak));
            }
            EventKind::AlertChanged { alert, cause, streak } => {
                let key = key(alert);
                let alert = self.alerts.get_mut(&key).unwrap();
                let mark = mark(&alert.now, cause);
                alert.replies.extend(mark.map(|mark| Reply { mark, owed_in: owed_in(&key) }));
                if cause.to.is_bad() || is_late_start(cause) {
                    alert.now = cause.clone();
                }
                alert.streak = *streak;
            }
            EventKind::AlertResolved { alert, resolution, .. } => {
                let key = key(alert);
                let alert = self.alerts.get_mut(&key).unwrap();
                alert.replies.push(Reply { mark: "✅", owed_in: owed_in(&key) });
                alert.over = Some(resolution.clone());
                alert.ended_muted = is_muted;
            }
            EventKind::Lifecycle(_) | EventKind::Changed(_) => {}
            EventKind::AlertAcknowledged { alert, .. } => {
                let key = key(alert);
                let is_only_one = self.alerts.values().filter(|alert| alert.job == job).count() == 1;
                let own = visible_in(&key);
                let shows_it = |(channel, message): &&(&'static str, Message)| {
                    let is_digest = key_of(message).starts_with("d/") && !own.contains(channel);
                    is_digest && is_only_one && message_as_text(message).contains(&format!("*{job}*: "))
                };
                let digests = messages.iter().filter(shows_it).map(|(_, digest)| key_of(digest).to_owned()).collect();
                let alert = self.alerts.get_mut(&key).unwrap();
                alert.replies.push(Reply { mark: "👀", owed_in: visible_in(&key) });
                alert.acknowledged = Some(Acknowledged { digests });
            }
            EventKind::Muted(mute) => {
                self.end_mutes(job, at);
                let mute = Muted { from: at, until: mute.until };
                self.mutes.entry(job.to_owned()).or_default().push(mute);
                // At the end it may remind.
                for alert in self.alerts.values_mut().filter(|alert| alert.job == job && !alert.is_over()) {
                    alert.replies.push(Reply { mark: "⏰", owed_in: Vec::new() });
                }
            }
            EventKind::Unmuted { .. } => self.end_mutes(job, at),
        }
    }

    fn end_mutes(&mut self, job: &str, at: Timestamp) {
        for mute in self.mutes.get_mut(job).into_iter().flatten() {
            mute.until = mute.until.min(at);
        }
    }

    /// Whether nobody wanted to hear of a job at that time of the night.
    fn is_muted(&self, job: &str, at: Timestamp) -> bool {
        self.mutes.get(job).into_iter().flatten().any(|mute| mute.from <= at && at < mute.until)
    }
}

fn is_late_start(cause: &Change) -> bool {
    (cause.from, cause.to) == (OccurrenceStatus::Missed, OccurrenceStatus::Running)
}

/// How a reply begins that a change of what is wrong is worth: it gets worse (or starts after all), or goes wrong in another way.
fn mark(before: &Change, cause: &Change) -> Option<&'static str> {
    use OccurrenceStatus::{Failed, Missed, Running, Stale};
    let differs = before.to != cause.to;
    if before.subject == cause.subject {
        let worse = matches!(
            (cause.from, cause.to),
            (Stale | Missed | Running, Failed) | (Missed, Running) | (Missed | Running, Stale)
        );
        return (differs && worse).then_some("⬆️");
    }
    (differs && before.to.is_bad() && cause.to.is_bad()).then_some("↪️")
}

impl Alert {
    fn opened(event: &SchedulerEvent, cause: &Change, streak: u32) -> Self {
        let (job, calls) = (event.key.scheduler.as_str().to_owned(), &*event.summary.team == CALLING_TEAM);
        let now = cause.clone();
        Self { job, calls, now, streak, over: None, replies: Vec::new(), acknowledged: None, ended_muted: false }
    }

    /// Whether somebody has to have seen it: what was over before anybody wanted to hear of it is told to nobody.
    pub(crate) const fn is_owed(&self) -> bool {
        !self.ended_muted
    }

    /// Whether somebody has to have been called for it: it is wrong still, and nobody looks after it.
    pub(crate) const fn is_called_for(&self) -> bool {
        self.calls && self.over.is_none() && self.acknowledged.is_none()
    }

    pub(crate) const fn is_acknowledged(&self) -> bool {
        self.acknowledged.is_some()
    }

    /// The digests whose threads have to note that somebody looks after it.
    pub(crate) fn noted_below(&self) -> &[String] {
        self.acknowledged.as_ref().map_or(&[], |acknowledged| &acknowledged.digests)
    }

    /// Whether it is shown in a channel.
    pub(crate) fn is_shown_in(&self, channel: &str) -> bool {
        self.calls || channel == CHANNEL
    }

    /// What its first line says after the job's name.
    pub(crate) fn state(&self) -> &'static str {
        let is_silence = |by: &Change| matches!(by.subject, Subject::Silence { .. });
        match &self.over {
            Some(Resolution::Recovered { by } | Resolution::CompletedLate { by }) if is_silence(by) => {
                " is alive again"
            }
            Some(Resolution::Recovered { .. }) => " recovered",
            Some(Resolution::CompletedLate { by }) if by.to == OccurrenceStatus::Cancelled => " was cancelled",
            Some(Resolution::CompletedLate { .. }) => " completed, ",
            Some(Resolution::Paused | Resolution::Deleted) => ": alert closed",
            None => match (self.now.to, self.now.stale) {
                (OccurrenceStatus::Stale, _) if is_silence(&self.now) => " sends no heartbeat",
                (OccurrenceStatus::Stale, Some(StaleReason::OverMaxRun)) => " runs too long",
                (OccurrenceStatus::Stale, _) => " fell silent",
                (OccurrenceStatus::Missed, _) => " did not start",
                (OccurrenceStatus::Running, _) => " started late",
                _ => " failed",
            },
        }
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// How often it went wrong in a row, where that is said.
    pub(crate) fn in_a_row(&self) -> Option<String> {
        (self.over.is_none() && self.streak > 1).then(|| format!("{} in a row", self.streak))
    }

    /// The word that a digest has for it.
    pub(crate) const fn word(&self) -> &'static str {
        word(self.now.to)
    }
}

const fn word(status: OccurrenceStatus) -> &'static str {
    match status {
        OccurrenceStatus::Expected => "waiting",
        OccurrenceStatus::Running => "running",
        OccurrenceStatus::Succeeded => "succeeded",
        OccurrenceStatus::Failed => "failed",
        OccurrenceStatus::Cancelled => "cancelled",
        OccurrenceStatus::Skipped => "skipped",
        OccurrenceStatus::Missed => "missed",
        OccurrenceStatus::Stale => "stale",
        OccurrenceStatus::Unknown => "unknown",
    }
}

impl Night {
    /// The night of a world in which everything has come to its end: counted from what happened, not from what was told.
    pub(crate) fn of(world: &World) -> Self {
        use OccurrenceStatus::{Cancelled, Failed, Missed, Skipped, Stale, Succeeded};
        const WORST_FIRST: [OccurrenceStatus; 6] = [Failed, Stale, Missed, Cancelled, Skipped, Succeeded];
        const AS_COUNTED: [OccurrenceStatus; 6] = [Failed, Stale, Missed, Succeeded, Skipped, Cancelled];
        let jobs: Vec<_> = world.jobs.iter().filter(|job| job.key.tenant == world.tenants[0]).collect();
        let ends: Vec<OccurrenceStatus> = jobs.iter().flat_map(|job| &job.fates).map(|fate| fate.end()).collect();
        let count = |status| ends.iter().filter(|end| **end == status).count();
        let mut parts: Vec<String> = AS_COUNTED
            .into_iter()
            .filter(|status| count(*status) > 0)
            .map(|status| format!("{} {}", count(status), word(status)))
            .collect();
        parts.push(format!("{} in all, of {} jobs", ends.len(), jobs.len()));
        let problems = count(Failed) + count(Stale) + count(Missed);
        let verdict = match problems {
            0 => "all clear".to_owned(),
            1 => "ended with 1 problem".to_owned(),
            many => format!("ended with {many} problems"),
        };
        let worst = |fates: &[crate::world::Fate]| {
            WORST_FIRST.into_iter().find(|status| fates.iter().any(|fate| fate.end() == *status)).unwrap()
        };
        let rows = jobs.iter().map(|job| (job.name().to_owned(), word(worst(&job.fates)))).collect();
        Self { counts: parts.join("  ·  "), verdict, rows, is_clear: problems == 0 }
    }
}

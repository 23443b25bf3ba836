//! Whether people are to see a surface yet. Whoever posts, folds or counts asks here; intake alone says what waits, and for what.

use ronda_domain::time::Timestamp;

use super::{Facts, Phase, Surface};
use crate::route::Held;

/// Whether people are to see a surface as a message of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// As soon as its channel takes it.
    Now,
    /// When this is over.
    Later(Wait),
    /// A digest shows it, or it is about nobody.
    ByOthers,
}

/// For what a surface waits that nobody has seen. What else keeps it, such as the pace of its channel, is no business of people's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For the end of quiet hours, or of maintenance.
    Held(Held),
    /// For the end of a mute.
    Muted(Timestamp),
    /// For the time at which it is due.
    Due(Timestamp),
}

impl Wait {
    /// Until when, at least. What is so then is decided then.
    pub(crate) const fn until(self) -> Timestamp {
        match self {
            Self::Held(held) => held.until,
            Self::Muted(until) | Self::Due(until) => until,
        }
    }
}

impl Surface {
    /// Whether people are to see it now.
    pub(crate) fn telling(&self) -> Telling {
        if !self.is_of_its_own() {
            return Telling::ByOthers;
        }
        self.wait.filter(|_| self.is_unseen()).map_or(Telling::Now, Telling::Later)
    }

    /// Whether it is a message of its own: not shown by a digest, and about somebody.
    pub(super) fn is_of_its_own(&self) -> bool {
        let concerns_anybody = match &self.facts {
            Facts::Blind(blind) => blind.unknown_total > 0 || blind.parts.iter().any(|(_, total)| *total > 0),
            _ => true,
        };
        self.folded_into.is_none() && concerns_anybody
    }

    /// Whether it is certain that nobody has seen it: neither itself nor what a digest says of it.
    pub(crate) fn is_unseen(&self) -> bool {
        self.phase == Phase::Absent && self.applied.is_none() && self.folded_into.is_none()
    }

    /// Nobody is to see it, as nobody has: it is over, or is asked for no more.
    pub(crate) fn withdraw(&mut self) {
        if self.is_unseen() {
            self.phase = Phase::Gone;
        }
    }

    /// What was withdrawn is asked for again. What was there and is gone stays so.
    pub(crate) fn ask_again(&mut self) {
        if self.phase == Phase::Gone && self.applied.is_none() && self.parked.is_empty() {
            self.phase = Phase::Absent;
        }
    }
}

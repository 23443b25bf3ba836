//! How it went when it went well: what people ask first when it does not.

use serde::{Deserialize, Serialize};

use crate::event::Change;
use crate::limits::MAX_KEPT_DURATIONS;
use crate::record::{OccurrenceStatus, Subject};
use crate::time::Timestamp;

/// The last good runs, as far as a state remembers them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// When the newest of them ended.
    last_good_at: Timestamp,
    /// How long the newest ones took, in milliseconds, newest first; 0: there was none.
    took_ms: [u32; MAX_KEPT_DURATIONS],
}

impl Past {
    /// When the newest good run ended.
    #[must_use]
    pub const fn last_good_at(&self) -> Timestamp {
        self.last_good_at
    }

    /// How long a good run usually takes, in milliseconds: the middle one of the last three; `None` while there are fewer.
    #[must_use]
    pub fn usual_ms(&self) -> Option<u64> {
        let mut took = self.took_ms;
        took.sort_unstable();
        let is_known = took.first().is_some_and(|least| *least > 0);
        took.get(MAX_KEPT_DURATIONS / 2).filter(|_| is_known).map(|middle| u64::from(*middle))
    }

    /// Takes in what ended; only a run that succeeded says anything of how it usually is.
    pub(crate) fn note(past: &mut Option<Box<Self>>, change: &Change) {
        let is_run = !matches!(change.subject, Subject::Silence { .. });
        let (Some(ended), true) = (change.ended_at, is_run && change.to == OccurrenceStatus::Succeeded) else { return };
        let nothing = || Box::new(Self { last_good_at: ended, took_ms: [0; MAX_KEPT_DURATIONS] });
        let past = past.get_or_insert_with(nothing);
        past.last_good_at = past.last_good_at.max(ended);
        // Of a run whose start nobody told, its length is not known.
        if let Some(took) = change.duration_ms.filter(|took| *took > 0) {
            past.took_ms.rotate_right(1);
            if let Some(newest) = past.took_ms.first_mut() {
                *newest = u32::try_from(took).unwrap_or(u32::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(to: OccurrenceStatus, at: i64, duration_ms: u64) -> Change {
        Change {
            subject: Subject::Occurrence { due: Timestamp::from_seconds(at) },
            from: OccurrenceStatus::Running,
            to,
            correction: false,
            started_at: None,
            ended_at: Some(Timestamp::from_seconds(at)),
            late_start_ms: None,
            stale: None,
            run_id: None,
            error: None,
            exit_code: None,
            duration_ms: Some(duration_ms),
        }
    }

    #[test]
    fn the_middle_of_three_is_usual_and_one_that_hung_is_not() {
        let mut past = None;
        Past::note(&mut past, &ended(OccurrenceStatus::Failed, 1, 7));
        assert_eq!(past, None);
        for (at, took) in [(10, 60_000), (20, 9_000_000)] {
            Past::note(&mut past, &ended(OccurrenceStatus::Succeeded, at, took));
        }
        assert_eq!(past.as_ref().unwrap().usual_ms(), None, "two say nothing");
        Past::note(&mut past, &ended(OccurrenceStatus::Succeeded, 15, 62_000));
        let past = past.unwrap();
        assert_eq!((past.usual_ms(), past.last_good_at()), (Some(62_000), Timestamp::from_seconds(20)));
    }
}

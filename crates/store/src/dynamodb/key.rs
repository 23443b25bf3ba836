//! How keys are laid out, so that DynamoDB's order is the order that is read in. It sorts binary keys by unsigned bytes and text by its UTF-8.
//!
//! | table | hash key | range key |
//! |---|---|---|
//! | `partitions` | `meta`, or `partition/<generation>/<partition>` | |
//! | `schedulers` | slot | `tenant/scheduler` |
//! | `history` | `tenant/scheduler` | subject; then nothing for its entry, or 1 and the run id for one of its runs |
//! | `errors` | `tenant/<day>` | time and message, newest first |
//! | `errors` | `tenant` | day, newest first: which days there are |
//! | `surfaces` | shard | `h` for the head, `r` and the row's key, `j` and epoch, number and part of a journal |
//! | `overflow` | table, 0, and the key of the item that it belongs to | that item's stamp, and the part's number |
//!
//! A subject is its time, newest first (8 bytes), its kind (1 byte) and, for a run, the run id and 0. Ids have neither `/` nor 0 in them.

use ronda_domain::id::{MessageId, SchedulerKey};
use ronda_domain::record::Subject;
use ronda_domain::time::Timestamp;

use crate::port::ErrorCursor;

const END: u8 = 0;
const RUN: u8 = 1;
const TIME_BYTES: usize = 8;
/// Greater than the place of any entry.
pub(super) const LAST: [u8; TIME_BYTES] = [u8::MAX; TIME_BYTES];
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// A time whose bytes sort the newest first.
pub(super) fn newest_first(time: Timestamp) -> [u8; TIME_BYTES] {
    // Flipping the sign bit makes signed order unsigned order; the complement turns it round.
    let ascending = time.as_millis().cast_unsigned() ^ (1 << 63);
    (!ascending).to_be_bytes()
}

/// The time of such bytes.
pub(super) fn read_newest_first(bytes: [u8; TIME_BYTES]) -> Timestamp {
    Timestamp::from_millis((!u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed())
}

/// Where entries from before a time begin.
pub(super) fn before(time: Timestamp) -> [u8; TIME_BYTES] {
    // Entries of the time itself are not before it: the first wanted is a millisecond older. Nothing is older than MIN.
    Some(time.plus_millis(-1)).filter(|older| *older < time).map_or(LAST, newest_first)
}

/// The least key after another.
pub(super) fn successor(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// The least key after all that begin so.
pub(super) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    LAST.to_vec()
}

pub(super) fn scheduler(key: &SchedulerKey) -> String {
    format!("{}/{}", key.tenant, key.scheduler)
}

/// A history entry's place; its runs' places begin with it.
pub(super) fn entry(subject: &Subject) -> Vec<u8> {
    let mut out = newest_first(subject.time()).to_vec();
    match subject {
        Subject::Occurrence { .. } => out.push(0),
        Subject::Run { run_id, .. } => {
            out.push(1);
            out.extend_from_slice(run_id.as_str().as_bytes());
            out.push(END);
        }
        Subject::Silence { .. } => out.push(2),
    }
    out
}

pub(super) fn run(subject: &Subject, run_id: &str) -> Vec<u8> {
    let mut out = entry(subject);
    out.push(RUN);
    out.extend_from_slice(run_id.as_bytes());
    out
}

/// The entry that a place of the history is of: its own, or what a run's begins with.
pub(super) fn entry_of(place: &[u8]) -> Option<&[u8]> {
    let end = match place.get(TIME_BYTES)? {
        // Its subject is a run, whose id ends with 0.
        1 => TIME_BYTES + 1 + place.get(TIME_BYTES + 1..)?.iter().position(|byte| *byte == END)?,
        _ => TIME_BYTES,
    };
    place.get(..=end)
}

pub(super) fn error(cursor: ErrorCursor) -> Vec<u8> {
    let MessageId { source, sequence, index } = cursor.message;
    let mut out = newest_first(cursor.at).to_vec();
    out.extend_from_slice(&(!source).to_be_bytes());
    out.extend_from_slice(&(!sequence).to_be_bytes());
    out.extend_from_slice(&(!index).to_be_bytes());
    out
}

/// The day of a time, by its start; days of an error feed are storage partitions of their own.
pub(super) fn day(time: Timestamp) -> Timestamp {
    let millis = time.as_millis();
    Timestamp::from_millis(millis.saturating_sub(millis.rem_euclid(DAY_MILLIS)))
}

/// The end of that day.
pub(super) fn day_end(day: Timestamp) -> Timestamp {
    day.plus_millis(DAY_MILLIS)
}

pub(super) fn partition(generation: u64, partition: u32) -> String {
    format!("partition/{generation}/{partition}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ronda_domain::id::RunId;

    use super::*;

    fn subject() -> impl Strategy<Value = Subject> {
        let time = (-3_i64..3).prop_map(Timestamp::from_millis);
        (time, 0_u8..3, "[a-c.-]{1,3}").prop_map(|(time, kind, id)| match kind {
            0 => Subject::Occurrence { due: time },
            1 => Subject::Run { started: time, run_id: RunId::new(&id).expect("a run id") },
            _ => Subject::Silence { since: time },
        })
    }

    /// Newest first; of one moment by kind and then by run id.
    fn order(subject: &Subject) -> (std::cmp::Reverse<Timestamp>, u8, String) {
        let (kind, id) = match subject {
            Subject::Occurrence { .. } => (0, String::new()),
            Subject::Run { run_id, .. } => (1, run_id.to_string()),
            Subject::Silence { .. } => (2, String::new()),
        };
        (std::cmp::Reverse(subject.time()), kind, id)
    }

    proptest! {
        #[test]
        fn places_sort_as_the_port_says(left in subject(), right in subject(), run_id in "[a-c.-]{1,3}") {
            prop_assert_eq!(entry(&left).cmp(&entry(&right)), order(&left).cmp(&order(&right)));
            let (entry, run) = (entry(&left), run(&left, &run_id));
            prop_assert_eq!(entry_of(&run), Some(entry.as_slice()));
            prop_assert_eq!(entry_of(&entry), Some(entry.as_slice()));
            prop_assert!(run > entry && run < behind(&entry));
            if left != right {
                prop_assert_eq!(run.cmp(&super::entry(&right)), order(&left).cmp(&order(&right)));
            }
        }
    }

    #[test]
    fn times_have_an_end_on_both_sides() {
        let moments = [Timestamp::MAX, Timestamp::from_millis(0), Timestamp::from_millis(-1), Timestamp::MIN];
        assert!(moments.map(newest_first).is_sorted());
        assert_eq!(moments.map(newest_first).map(read_newest_first), moments);
        assert_eq!(before(Timestamp::MIN), LAST);
        assert!(newest_first(Timestamp::MIN) < LAST);
        assert!(before(Timestamp::from_millis(0)) == newest_first(Timestamp::from_millis(-1)));
        assert_eq!(day(Timestamp::from_millis(-1)), Timestamp::from_millis(-DAY_MILLIS));
        assert!(day(Timestamp::MIN) <= day(Timestamp::from_millis(0)));
    }
}

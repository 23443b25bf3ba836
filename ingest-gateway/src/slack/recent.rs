//! What was asked of late and what came of it: Slack may tell of one thing more than once, over one connection or another.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use ronda_domain::id::MessageId;

use super::answer::Answer;

/// Most occasions remembered. What is forgotten and told again, or told to another gateway, changes nothing all the same: it is the same
/// message to the scheduler, which knows those of late.
const MAX_REMEMBERED: usize = 4_096;

/// How an occasion stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It is new, and being worked on from now on.
    New,
    /// It is being worked on.
    UnderWay,
    /// It was answered so.
    Answered(Option<Answer>),
}

/// The occasions of late.
#[derive(Default)]
pub(super) struct Recent(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    stands: HashMap<MessageId, Stand>,
    order: VecDeque<MessageId>,
}

impl Recent {
    /// Begins with an occasion, if it is new.
    pub(super) fn begin(&self, occasion: MessageId) -> Stand {
        let mut remembered = self.0.lock();
        if let Some(stand) = remembered.stands.get(&occasion) {
            return stand.clone();
        }
        while remembered.order.len() >= MAX_REMEMBERED {
            if let Some(oldest) = remembered.order.pop_front() {
                remembered.stands.remove(&oldest);
            }
        }
        remembered.order.push_back(occasion);
        remembered.stands.insert(occasion, Stand::UnderWay);
        Stand::New
    }

    /// Keeps what came of it.
    pub(super) fn settle(&self, occasion: MessageId, answer: Option<Answer>) {
        if let Some(stand) = self.0.lock().stands.get_mut(&occasion) {
            *stand = Stand::Answered(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn occasion(number: u64) -> MessageId {
        MessageId { source: 1, sequence: number, index: 0 }
    }

    #[test]
    fn one_occasion_is_begun_once_and_its_answer_kept() {
        let recent = Recent::default();
        assert_eq!(recent.begin(occasion(1)), Stand::New);
        assert_eq!(recent.begin(occasion(1)), Stand::UnderWay);
        recent.settle(occasion(1), Some(Answer::later()));
        assert_eq!(recent.begin(occasion(1)), Stand::Answered(Some(Answer::later())));
        assert_eq!(recent.begin(occasion(2)), Stand::New);
    }

    #[test]
    fn it_is_bounded() {
        let recent = Recent::default();
        for number in 0..=MAX_REMEMBERED as u64 {
            assert_eq!(recent.begin(occasion(number)), Stand::New);
        }
        let remembered = recent.0.lock();
        assert_eq!((remembered.order.len(), remembered.stands.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(!remembered.stands.contains_key(&occasion(0)));
    }
}

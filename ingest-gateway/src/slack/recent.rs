//! What was asked of late and what came of it: Slack may tell of one thing more than once, over one connection or another.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use ronda_domain::id::MessageId;

use super::answer::Answer;

/// Most occasions remembered. What is forgotten and told again changes nothing all the same: it is the same message to the pipeline.
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
    outcomes: HashMap<MessageId, Option<Option<Answer>>>,
    order: VecDeque<MessageId>,
}

impl Recent {
    /// Begins with an occasion, if it is new.
    pub(super) fn begin(&self, occasion: MessageId) -> Stand {
        let mut remembered = self.0.lock();
        match remembered.outcomes.get(&occasion) {
            Some(Some(answer)) => return Stand::Answered(answer.clone()),
            Some(None) => return Stand::UnderWay,
            None => {}
        }
        while remembered.order.len() >= MAX_REMEMBERED {
            if let Some(oldest) = remembered.order.pop_front() {
                remembered.outcomes.remove(&oldest);
            }
        }
        remembered.order.push_back(occasion);
        remembered.outcomes.insert(occasion, None);
        Stand::New
    }

    /// Keeps what came of it.
    pub(super) fn settle(&self, occasion: MessageId, answer: Option<Answer>) {
        if let Some(outcome) = self.0.lock().outcomes.get_mut(&occasion) {
            *outcome = Some(answer);
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
        assert_eq!((remembered.order.len(), remembered.outcomes.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(!remembered.outcomes.contains_key(&occasion(0)));
    }
}

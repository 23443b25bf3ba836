//! One completion for all requests of a frame: they wait on one atomic and one wait list, not on a channel each.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

const PENDING: u64 = 0;
/// It was given up, and may be in the queue all the same.
const FAILED: u64 = u64::MAX;
/// It was given up before it was ever handed to the queue.
const NEVER_SENT: u64 = u64::MAX - 1;

/// A frame that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It may be in the queue all the same.
    Maybe,
    /// It was never handed to the queue.
    Surely,
}

/// Tells everyone whose command is in a frame what became of it.
#[derive(Debug, Default)]
pub(super) struct FrameCompletion {
    /// [`PENDING`], [`FAILED`], [`NEVER_SENT`], or the number of the confirmed frame.
    state: AtomicU64,
    notify: Notify,
}

impl FrameCompletion {
    /// The queue has confirmed the frame under this number.
    pub(super) fn confirm(&self, number: u64) {
        self.state.store(number, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// The frame was given up.
    pub(super) fn fail(&self, lost: Lost) {
        let state = if lost == Lost::Surely { NEVER_SENT } else { FAILED };
        self.state.store(state, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Waits for the frame's end: its number, unless it was given up.
    pub(super) async fn wait(&self) -> Result<u64, Lost> {
        // The waiter is registered before the state is read, so that an end in between is not missed.
        let notified = self.notify.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if self.state.load(Ordering::Acquire) == PENDING {
            notified.await;
        }
        match self.state.load(Ordering::Acquire) {
            PENDING | FAILED => Err(Lost::Maybe),
            NEVER_SENT => Err(Lost::Surely),
            number => Ok(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn everyone_learns_of_the_end_whether_they_waited_before_it_or_came_after() {
        let completion = Arc::new(FrameCompletion::default());
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let completion = Arc::clone(&completion);
                tokio::spawn(async move { completion.wait().await })
            })
            .collect();
        tokio::task::yield_now().await;
        completion.confirm(7);
        for waiter in waiting {
            assert_eq!(waiter.await.unwrap(), Ok(7));
        }
        assert_eq!(completion.wait().await, Ok(7));
    }

    #[tokio::test]
    async fn a_frame_that_was_given_up_says_so() {
        for lost in [Lost::Maybe, Lost::Surely] {
            let completion = FrameCompletion::default();
            completion.fail(lost);
            assert_eq!(completion.wait().await, Err(lost));
        }
    }
}

//! One completion for all requests of a frame: they wait on one atomic and one wait list, not on a channel each.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

const PENDING: u64 = 0;
const FAILED: u64 = u64::MAX;

/// Tells everyone whose command is in a frame what became of it.
#[derive(Debug, Default)]
pub(super) struct FrameCompletion {
    /// [`PENDING`], [`FAILED`], or the number of the confirmed frame.
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
    pub(super) fn fail(&self) {
        self.state.store(FAILED, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Waits for the frame's end: its number, or `None` when it was given up.
    pub(super) async fn wait(&self) -> Option<u64> {
        // The waiter is registered before the state is read, so that an end in between is not missed.
        let notified = self.notify.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        if self.state.load(Ordering::Acquire) == PENDING {
            notified.await;
        }
        match self.state.load(Ordering::Acquire) {
            PENDING | FAILED => None,
            number => Some(number),
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
            assert_eq!(waiter.await.unwrap(), Some(7));
        }
        assert_eq!(completion.wait().await, Some(7));
    }

    #[tokio::test]
    async fn a_frame_that_was_given_up_says_so() {
        let completion = FrameCompletion::default();
        completion.fail();
        assert_eq!(completion.wait().await, None);
    }
}

//! How many requests are worked on at once. What looks at all jobs stands in a line of its own, so that a click finds a place however many ask.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Most requests worked on at once, but for those in the line.
const MAX_AT_ONCE: usize = 64;
/// Most requests in the line: those that look at all jobs, or wait for it.
const MAX_IN_LINE: usize = 16;
/// Most of them that look at once.
const MAX_TURNS: usize = 2;

/// All places there are.
pub(super) struct Places {
    at_once: Arc<Semaphore>,
    line: Arc<Semaphore>,
    turns: Semaphore,
}

/// One of them, given back when it is dropped.
pub(super) type Place = OwnedSemaphorePermit;

impl Places {
    pub(super) fn new() -> Self {
        Self {
            at_once: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            line: Arc::new(Semaphore::new(MAX_IN_LINE)),
            turns: Semaphore::new(MAX_TURNS),
        }
    }

    /// A place; `None`: all are taken.
    pub(super) fn take(&self) -> Option<Place> {
        Arc::clone(&self.at_once).try_acquire_owned().ok()
    }

    /// Exchanges a place for one in the line and waits there for its turn; `None`: the line is full.
    pub(super) async fn turn(&self, place: &mut Place) -> Option<SemaphorePermit<'_>> {
        *place = Arc::clone(&self.line).try_acquire_owned().ok()?;
        self.turns.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_waits_in_the_line_leaves_the_places_to_others() {
        let places = Places::new();
        let mut askers: Vec<Place> = (0..MAX_AT_ONCE).map(|_| places.take().unwrap()).collect();
        assert!(places.take().is_none());
        let (mut turns, mut waiting, mut refused) = (0, Vec::new(), 0);
        let mut held = Vec::new();
        for asker in &mut askers {
            let mut turn = Box::pin(places.turn(asker));
            match turn.as_mut().now_or_never() {
                Some(Some(turn)) => {
                    turns += 1;
                    held.push(turn);
                }
                Some(None) => refused += 1,
                None => waiting.push(turn),
            }
        }
        assert_eq!((turns, waiting.len(), refused), (MAX_TURNS, MAX_IN_LINE - MAX_TURNS, MAX_AT_ONCE - MAX_IN_LINE));
        let free: Vec<Place> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!(free.len(), MAX_IN_LINE, "the places of those in the line");
        held.pop();
        assert!(waiting.remove(0).await.is_some(), "the next one's turn");
    }
}

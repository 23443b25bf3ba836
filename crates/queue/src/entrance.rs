//! The way of publishes into a lane of bounded length, for adapters whose lanes are tasks of their own.

use tokio::sync::{Mutex, mpsc};
use tokio::task::unconstrained;

use crate::error::QueueError;

/// Where publishes get into a lane.
pub(crate) struct Entrance<T> {
    jobs: mpsc::Sender<T>,
    /// Held while a publish waits for room. Room that comes free is given to those who wait, but whoever comes before they are woken would
    /// take what is left of it and be in the lane first.
    turn: Mutex<()>,
}

impl<T> Entrance<T> {
    pub(crate) fn new(jobs: mpsc::Sender<T>) -> Self {
        Self { jobs, turn: Mutex::default() }
    }

    /// Puts a job into the lane, after those that came before.
    pub(crate) async fn enter(&self, job: T) -> Result<(), QueueError> {
        // A task that has done much in one go would be put off here, and others could come in between.
        unconstrained(async {
            let _turn = self.turn.lock().await;
            self.jobs.send(job).await.map_err(|_| QueueError::closed())
        })
        .await
    }
}

//! Whether an owner that was long without a word from the store still is the owner.
//!
//! One that was replaced finds out when it commits. By then it would have written history and errors, which come before the row that is
//! fenced, and published what rows can't carry. That does no harm as long as it has taken in the same messages as its successor. But a queue
//! gives nobody what was settled: to an owner that stood still, what others have worked off meanwhile is missing without a trace, and the
//! runs that began in it seem to begin later.

use std::sync::Arc;
use std::time::Duration;

use ronda_store::port::{KeyStore, PartitionStore, Retention};

use super::Owner;
use crate::runner::ProcessorError;
use crate::runner::pause::Stopwatch;

/// When this owner was certainly the owner.
pub(super) struct Proof(Option<Stopwatch>);

impl Proof {
    /// There is none yet.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// It was the owner after this was started.
    pub(super) fn since(asked: Stopwatch) -> Self {
        Self(Some(asked))
    }

    fn is_younger(&self, age: Duration) -> bool {
        self.0.as_ref().is_some_and(|asked| asked.elapsed() <= age)
    }
}

impl<S: PartitionStore + Retention + KeyStore + ?Sized + 'static> Owner<S> {
    /// Asks, before anything leaves this process, whether what it has received can be all that there was.
    pub(super) async fn prove(&mut self, epoch: u64, misses_frames: bool) -> Result<(), ProcessorError> {
        let enough = Duration::from_millis(self.shared.config.owner_proof_ms.into());
        // Frames that are missing may be somebody else's work, however short it was.
        if self.proof.is_younger(enough) && !misses_frames {
            return Ok(());
        }
        let (shared, partition) = (Arc::clone(&self.shared), self.partition);
        let asked =
            self.insist("an owner could not be confirmed", || shared.store.check_owner(partition, epoch)).await?;
        self.proof = Proof::since(asked);
        Ok(())
    }
}

//! Whether an owner has been given all that there was, although it may have been replaced without knowing.
//!
//! One that was replaced finds out when it commits. Where a commit is no single transaction, it has by then written history and errors, which
//! come before the row that is fenced, and has published what rows can't carry. That does no harm as long as it has taken in the same messages as
//! its successor. But a queue gives nobody what was settled: to an owner that stood still, what others have worked off meanwhile is
//! missing without a trace, and the runs that began in it seem to begin later.
//!
//! So an owner that acquires a partition settles nothing for a time, and one that works on it trusts the store's last word that it is the
//! owner no longer than that time, counted from when it asked. Whoever acquired the partition did so after that word: until it is worn out nothing is
//! missing. No clocks are compared; they only have to run equally fast.

use std::sync::Arc;
use std::time::Duration;

use ronda_store::port::{KeyStore, PartitionStore, Retention};

use super::Owner;
use crate::runner::ProcessorError;
use crate::runner::pause::Stopwatch;

/// What an owner knows of its being the owner.
#[derive(Default)]
pub(super) struct Proof {
    /// Since it acquired the partition.
    acquired: Option<Stopwatch>,
    /// Since it asked the store for what it then answered: that it was the owner.
    asked: Option<Stopwatch>,
}

impl Proof {
    /// The store has answered that the partition is acquired.
    pub(super) fn acquired(&mut self) {
        self.acquired = Some(Stopwatch::start());
    }

    /// It was the owner after this was started.
    pub(super) fn confirmed(&mut self, asked: Stopwatch) {
        self.asked = Some(asked);
    }
}

fn is_older(than: Duration, watch: Option<&Stopwatch>) -> bool {
    watch.is_none_or(|watch| watch.elapsed() > than)
}

impl<S: PartitionStore + Retention + KeyStore + ?Sized + 'static> Owner<S> {
    fn proved_for(&self) -> Duration {
        Duration::from_millis(self.shared.config.owner_proof_ms.into())
    }

    /// Asks, before anything leaves this process, whether what it has received can be all that there was.
    pub(super) async fn prove(&mut self, epoch: u64, misses_frames: bool) -> Result<(), ProcessorError> {
        if self.shared.store.is_atomic() {
            return Ok(());
        }
        // Should a machine have stood still together with its clock, missing frames are a sign of it.
        if !is_older(self.proved_for(), self.proof.asked.as_ref()) && !misses_frames {
            return Ok(());
        }
        let (shared, partition) = (Arc::clone(&self.shared), self.partition);
        let asked = self
            .insist("the store can't be asked for the owner", || shared.store.check_owner(partition, epoch))
            .await?;
        self.proof.confirmed(asked);
        Ok(())
    }

    /// Whether what is settled now can't be missing to a former owner that still trusts its last word.
    pub(super) fn may_settle(&self) -> bool {
        self.shared.store.is_atomic() || is_older(self.proved_for(), self.proof.acquired.as_ref())
    }
}

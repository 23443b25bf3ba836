//! How much of all request bodies is in memory at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::problem::Problem;

/// Up to here a body is not counted, in bytes: their sum is bounded by the number of connections, and counting would cost each report.
pub(crate) const UNCOUNTED_BYTES: usize = 4 * 1024;

/// Bytes of bodies that may be in memory, over all requests.
pub(crate) struct BodyBudget(Arc<Semaphore>);

/// A body's share of the budget, given back when it is dropped.
#[derive(Default)]
pub(crate) struct BodyShare {
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl BodyBudget {
    pub(crate) fn new(config: &Config) -> Self {
        // One body of the largest kind must always fit.
        let bytes = config.max_inflight_body_bytes.max(config.max_bulk_body_bytes).max(config.max_body_bytes);
        Self::of(bytes)
    }

    /// One of so many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Grows a share to so many bytes.
    ///
    /// # Errors
    /// 503 when they are not there: nobody waits for memory, since those who wait would hold theirs meanwhile.
    pub(crate) fn grow(&self, share: &mut BodyShare, bytes: usize) -> Result<(), Problem> {
        if bytes <= UNCOUNTED_BYTES || bytes <= share.bytes {
            return Ok(());
        }
        let more = u32::try_from(bytes - share.bytes).map_err(|_| Problem::too_many_bodies())?;
        let permit = Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| Problem::too_many_bodies())?;
        match &mut share.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        share.bytes = bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_bounded_together_and_come_back() {
        let config = Config { max_inflight_body_bytes: 20_000, max_bulk_body_bytes: 16_000, ..Config::default() };
        let config = Config { max_body_bytes: 10_000, ..config };
        let budget = BodyBudget::new(&config);
        let (mut first, mut second) = (BodyShare::default(), BodyShare::default());
        budget.grow(&mut first, 5_000).unwrap();
        budget.grow(&mut first, 12_000).unwrap();
        budget.grow(&mut second, UNCOUNTED_BYTES).unwrap();
        assert_eq!(budget.grow(&mut second, 8_001).unwrap_err().status(), http::StatusCode::SERVICE_UNAVAILABLE);
        budget.grow(&mut second, 8_000).unwrap();
        drop(first);
        budget.grow(&mut second, 20_000).unwrap();
    }
}

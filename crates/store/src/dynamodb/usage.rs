//! What the store has asked of DynamoDB, and what it was told that this cost.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::ConsumedCapacity;
use metrics::{counter, describe_counter};

use crate::requests::Request;

const WRITE_UNITS: &str = "ronda_store_write_units_total";

/// Says what is counted.
pub(super) fn describe() {
    describe_counter!(WRITE_UNITS, "Write units that DynamoDB says were consumed");
}

/// What was used since the store was opened. Calls that failed are counted; what they may have consumed is not told by DynamoDB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Calls, the SDK's own further attempts left out.
    pub calls: u64,
    /// Read units.
    pub read_units: f64,
    /// Write units.
    pub write_units: f64,
}

impl Usage {
    /// What was used since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            read_units: self.read_units - earlier.read_units,
            write_units: self.write_units - earlier.write_units,
        }
    }
}

/// Counts; units in halves, the smallest that there is.
#[derive(Debug, Default)]
pub(super) struct Meter {
    calls: AtomicU64,
    read_halves: AtomicU64,
    write_halves: AtomicU64,
}

impl Meter {
    pub(super) fn called(&self, request: Request) {
        request.count(1);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        self.read_halves.fetch_add(halves(consumed), Ordering::Relaxed);
    }

    pub(super) fn wrote<'a>(&self, consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        let halves = halves(consumed);
        counter!(WRITE_UNITS).increment(halves / 2);
        self.write_halves.fetch_add(halves, Ordering::Relaxed);
    }

    #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 halves")]
    pub(super) fn usage(&self) -> Usage {
        let units = |halves: &AtomicU64| halves.load(Ordering::Relaxed) as f64 / 2.0;
        Usage {
            calls: self.calls.load(Ordering::Relaxed),
            read_units: units(&self.read_halves),
            write_units: units(&self.write_halves),
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of units, never negative")]
fn halves<'a>(consumed: impl IntoIterator<Item = &'a ConsumedCapacity>) -> u64 {
    consumed.into_iter().filter_map(ConsumedCapacity::capacity_units).map(|units| (units * 2.0).round() as u64).sum()
}

//! History entries as adapters store them: with a version, as every row.

use ronda_domain::record::{OccurrenceRecord, RunRecord};
use ronda_schemas::codec::Versioned;
use serde::{Deserialize, Serialize};

/// A history entry as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredOccurrence(pub OccurrenceRecord);

impl Versioned for StoredOccurrence {
    const WHAT: &'static str = "history entry";
    const VERSION: u32 = 1;
}

/// A run of a history entry as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredRun(pub RunRecord);

impl Versioned for StoredRun {
    const WHAT: &'static str = "run";
    const VERSION: u32 = 1;
}

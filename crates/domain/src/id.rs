//! Names of tenants, schedulers and runs, and where a scheduler lives.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// Longest tenant or scheduler id, in bytes.
pub const MAX_ID_BYTES: usize = 128;
/// Longest run id, in bytes.
pub const MAX_RUN_ID_BYTES: usize = 128;
/// Number of slots that rows are stored by; the largest number of partitions a queue can have.
pub const SLOTS: u32 = 1024;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// The text has no characters.
    #[error("must not be empty")]
    Empty,
    /// The text has more bytes than an id may.
    #[error("must be at most {max} characters long, and is {actual}")]
    TooLong {
        /// The most that is allowed, in bytes.
        max: usize,
        /// What was given, in bytes.
        actual: usize,
    },
    /// A character outside the allowed set.
    #[error("must consist of {allowed}; the character at position {position} is not one of them")]
    Character {
        /// Which characters are allowed.
        allowed: &'static str,
        /// Zero-based byte position of the first offending character.
        position: usize,
    },
}

fn check(text: &str, max: usize, allowed: &'static str, is_allowed: impl Fn(u8) -> bool) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > max {
        return Err(IdError::TooLong { max, actual: text.len() });
    }
    match text.bytes().position(|byte| !is_allowed(byte)) {
        Some(position) => Err(IdError::Character { allowed, position }),
        None => Ok(()),
    }
}

/// Checks that a text may name a tenant or a scheduler: `[A-Za-z0-9_-]{1,128}`.
///
/// # Errors
/// [`IdError`] says which rule the text breaks.
pub fn check_id(text: &str) -> Result<(), IdError> {
    check(text, MAX_ID_BYTES, "letters, digits, '_' and '-'", |byte| {
        byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
    })
}

/// Checks that a text may name a run: `[A-Za-z0-9_.:-]{1,128}`, wide enough for UUIDs, ULIDs and `airflow__2026-11-23`.
///
/// # Errors
/// [`IdError`] says which rule the text breaks.
pub fn check_run_id(text: &str) -> Result<(), IdError> {
    check(text, MAX_RUN_ID_BYTES, "letters, digits, '_', '-', '.' and ':'", |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':')
    })
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Checks and takes a text.
            ///
            /// # Errors
            /// [`IdError`] says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// Who a scheduler belongs to: `[A-Za-z0-9_-]{1,128}`. Cheap to clone: one tenant has many schedulers.
    TenantId,
    Arc<str>,
    check_id
);
id_type!(
    /// What a tenant calls one scheduler: `[A-Za-z0-9_-]{1,128}`.
    SchedulerId,
    Box<str>,
    check_id
);
id_type!(
    /// What one run is called, by the client or made for it: `[A-Za-z0-9_.:-]{1,128}`.
    RunId,
    Box<str>,
    check_run_id
);

/// A scheduler's full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SchedulerKey {
    /// Whose scheduler it is.
    pub tenant: TenantId,
    /// Which of the tenant's schedulers it is.
    pub scheduler: SchedulerId,
}

impl SchedulerKey {
    /// FNV-1a 32 over the tenant's and then the scheduler's bytes; see [`hash_of`].
    #[must_use]
    pub fn hash(&self) -> u32 {
        hash_of(self.tenant.as_str(), self.scheduler.as_str())
    }

    /// The slot that this scheduler's row is stored in: `hash mod 1024`.
    #[must_use]
    pub fn slot(&self) -> u32 {
        self.hash() % SLOTS
    }
}

/// FNV-1a 32 over the two texts joined without a separator.
///
/// The same value as NATS computes for `{{partition(n,1,2)}}` before its modulo; offset basis 2166136261 and prime
/// 16777619 as in draft-eastlake-fnv.
#[must_use]
pub fn hash_of(tenant: &str, scheduler: &str) -> u32 {
    let bytes = tenant.bytes().chain(scheduler.bytes());
    bytes.fold(2_166_136_261, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
}

/// The queue partition that a scheduler's messages go through, for a queue of so many partitions.
#[must_use]
pub fn partition_of(tenant: &str, scheduler: &str, partitions: u32) -> u32 {
    hash_of(tenant, scheduler).checked_rem(partitions).unwrap_or(0)
}

/// Which message an input came in: unique for ever, and the same whenever the message is replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    /// The gateway start that took the message in (random per start), or a broker's name hashed for direct messages.
    pub source: u64,
    /// Number of the frame at that gateway and partition, or the broker's sequence.
    pub sequence: u64,
    /// Place of the command within the frame, from 0.
    pub index: u32,
}

impl MessageId {
    /// The run id made for a run whose client gave none: `r-`, then the message's id in lower-case hexadecimal.
    #[must_use]
    pub fn made_run_id(self) -> RunId {
        RunId(format!("r-{:016x}-{:x}-{:x}", self.source, self.sequence, self.index).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked() {
        assert!(SchedulerId::new("nightly-billing_2").is_ok());
        assert_eq!(SchedulerId::new(""), Err(IdError::Empty));
        assert_eq!(SchedulerId::new(&"a".repeat(129)), Err(IdError::TooLong { max: 128, actual: 129 }));
        assert!(matches!(SchedulerId::new("a/../b"), Err(IdError::Character { position: 1, .. })));
        assert!(RunId::new("scheduled__2026-11-23T00:00:00.5").is_ok());
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // Published test vectors of FNV-1a 32.
        assert_eq!(hash_of("", ""), 0x811c_9dc5);
        assert_eq!(hash_of("", "a"), 0xe40c_292c);
        assert_eq!(hash_of("foo", "bar"), 0xbf9c_f968);
    }
}

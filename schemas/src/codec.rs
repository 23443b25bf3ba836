//! MessagePack with a version in front: how every persistent or transmitted value is written.
//!
//! A value is written as the array `[version, value]`, its structs as arrays. Fields are only ever added at the end, with a
//! default, so that a newer reader fills in what is not there. An older one can't skip what it does not know: each added field raises
//! the version, which tells it to be upgraded. A value is written in the oldest version that has all of it, so that a release to
//! which one goes back reads whatever it knows.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why bytes are not what they should be.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Written by a newer release with another layout.
    #[error("{what} has version {found}; this release reads up to {newest}: upgrade it before it reads this data")]
    NewerVersion {
        /// What was being read.
        what: &'static str,
        /// The version found.
        found: u32,
        /// The newest version that this release reads.
        newest: u32,
    },
    /// Not MessagePack of the expected shape.
    #[error("{what} can't be read: {reason}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl DecodeError {
    /// A [`DecodeError::Malformed`] from any error that says why.
    pub fn malformed(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { what, reason: reason.to_string() }
    }
}

/// A value with a version of its own.
pub trait Versioned: Serialize + DeserializeOwned {
    /// What it is called in errors.
    const WHAT: &'static str;
    /// The newest version that this release reads, and writes.
    const VERSION: u32;

    /// The oldest version that has all of this value: the one that it is written in.
    fn version(&self) -> u32 {
        Self::VERSION
    }

    /// Writes `[version, value]`.
    ///
    /// # Errors
    /// Only when a value can't be represented, such as a map key of a wrong type: a mistake in the type itself.
    fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        rmp_serde::to_vec(&(self.version(), self)).map_err(|error| DecodeError::malformed(Self::WHAT, error))
    }

    /// Reads what [`encode`](Self::encode) wrote, in this release or an earlier one.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are of a newer version or not of this shape.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = bytes;
        let malformed = |reason: String| DecodeError::Malformed { what: Self::WHAT, reason };
        let length = rmp::decode::read_array_len(&mut input).map_err(|error| malformed(error.to_string()))?;
        if length < 2 {
            return Err(malformed(format!("an array of {length} in place of [version, value]")));
        }
        let version: u32 = rmp::decode::read_int(&mut input).map_err(|error| malformed(error.to_string()))?;
        if version > Self::VERSION {
            return Err(DecodeError::NewerVersion { what: Self::WHAT, found: version, newest: Self::VERSION });
        }
        rmp_serde::from_slice(input).map_err(|error| malformed(error.to_string()))
    }
}

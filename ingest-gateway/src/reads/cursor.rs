//! Cursors: where a page ends, in a form that clients can't take for anything else.
//!
//! A cursor is base64url of a version byte, eight bytes of a hash over the request that it belongs to (tenant, address and filters) and the place
//! as JSON. The hash is no secret: it catches cursors used with other filters, it does not guard anything. Every request is
//! limited to its key's tenant anyway.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::problem::{Kind, Problem};

const VERSION: u8 = 1;
const HASH_BYTES: usize = 8;
/// Longest cursor that is looked at, in bytes.
const MAX_BYTES: usize = 1_024;

/// What a cursor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Binding([u8; HASH_BYTES]);

impl Binding {
    /// From everything that the pages of one list have in common.
    pub(super) fn of<'p>(parts: impl IntoIterator<Item = &'p str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // With the length, so that no two lists of parts are the same bytes.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut out = [0; HASH_BYTES];
        for (to, from) in out.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        Self(out)
    }
}

/// Writes a cursor.
pub(super) fn write<T: Serialize>(binding: Binding, place: &T) -> Result<String, Problem> {
    let place =
        serde_json::to_vec(place).map_err(|_| Problem::new(Kind::Internal, "A cursor could not be written."))?;
    Ok(URL_SAFE_NO_PAD.encode([&[VERSION][..], &binding.0, &place].concat()))
}

/// Reads a cursor that was answered to the same request.
pub(super) fn read<T: DeserializeOwned>(binding: Binding, cursor: &str) -> Result<T, Problem> {
    let wrong = |what: &'static str| Problem::new(Kind::InvalidCursor, what);
    let not_ours = "The cursor is not one of this API; use next_cursor as it was answered, or begin again without one.";
    if cursor.len() > MAX_BYTES {
        return Err(wrong(not_ours));
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong(not_ours))?;
    let (version, rest) = bytes.split_first().ok_or_else(|| wrong(not_ours))?;
    if *version != VERSION {
        return Err(wrong("The cursor is of another release; begin again without one."));
    }
    let (hash, place) = rest.split_at_checked(HASH_BYTES).ok_or_else(|| wrong(not_ours))?;
    if hash != binding.0 {
        return Err(wrong("The cursor belongs to other filters; use the same ones, or begin again without it."));
    }
    serde_json::from_slice(place).map_err(|_| wrong(not_ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_fits_the_request_that_it_came_from_only() {
        let here = Binding::of(["acme", "schedulers", "team=a"]);
        let cursor = write(here, &"nightly").unwrap();
        assert_eq!(read::<String>(here, &cursor).unwrap(), "nightly");
        for elsewhere in [["acme", "schedulers", "team=b"], ["acm", "eschedulers", "team=a"]] {
            assert_eq!(read::<String>(Binding::of(elsewhere), &cursor).unwrap_err().kind(), Kind::InvalidCursor);
        }
        let cut = &cursor[..cursor.len() - 2];
        for rubbish in ["", "!", "AA", "AQ", "Ag", cut, &"A".repeat(4_000), "äöü"] {
            assert_eq!(read::<String>(here, rubbish).unwrap_err().kind(), Kind::InvalidCursor, "{rubbish}");
        }
    }
}

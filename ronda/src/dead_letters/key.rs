//! The API key that goes with messages that are put back.

use serde::{Deserialize, Serialize};

/// Longest API key, in bytes, as the processor takes it.
const MAX_KEY_BYTES: usize = 256;

/// An API key on its way to a queue: over the admin socket it goes as it is, and nowhere else is it shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiKey(String);

impl ApiKey {
    /// Reads what a file has: one line.
    ///
    /// # Errors
    /// Why it is no key; nothing of it is repeated.
    pub fn read(text: &str) -> Result<Self, String> {
        let key = text.trim();
        match key.len() {
            0 => Err(String::from("it is empty; it has to hold an API key")),
            1..=MAX_KEY_BYTES if key.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(key.to_owned())),
            _ => Err(String::from("that is no API key: it has to be one word")),
        }
    }

    /// The key itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in ["", " \n", "two words", "a\nb", "\u{e9}", &"k".repeat(257)] {
            let refused = ApiKey::read(text).unwrap_err();
            assert!(text.trim().is_empty() || !refused.contains(text), "{refused}");
        }
    }
}

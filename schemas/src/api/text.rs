//! Texts in bodies: borrowed where JSON allows it, and free of control characters.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// A JSON string that borrows from the body unless it has escapes.
///
/// `Option<Cow<str>>` never borrows with serde's own implementation; this does.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Whether line breaks and tabs may be in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// One line only.
    One,
    /// Line feeds, carriage returns and tabs are fine.
    Many,
}

/// The byte position of the first control character that may not be there. Everything else of Unicode is welcome.
pub(super) fn control_character(text: &str, lines: Lines) -> Option<usize> {
    let allowed = |byte: u8| lines == Lines::Many && matches!(byte, b'\n' | b'\r' | b'\t');
    // C1 controls are two bytes from 0xC2 0x80 to 0xC2 0x9F; everything else that is a control is one byte.
    let mut previous = 0;
    text.bytes().position(|byte| {
        let bad = (byte < 0x20 || byte == 0x7f) && !allowed(byte);
        let c1 = previous == 0xc2 && (0x80..0xa0).contains(&byte);
        previous = byte;
        bad || c1
    })
}

/// What is wrong with a text, as code and message.
pub(super) fn check_text(text: &str, max_bytes: usize, lines: Lines) -> Result<(), (&'static str, String)> {
    if text.len() > max_bytes {
        let actual = text.len();
        return Err(("too_long", format!("must be at most {max_bytes} bytes of UTF-8 long, and is {actual}")));
    }
    match control_character(text, lines) {
        None => Ok(()),
        Some(position) => {
            let except = if lines == Lines::Many { " other than line breaks and tabs" } else { "" };
            Err((
                "control_character",
                format!("must not have control characters{except}; there is one at byte {position}"),
            ))
        }
    }
}

/// Checks a text of a query string: bounded, one line, no control characters.
///
/// # Errors
/// What is wrong with it, to follow the parameter's name.
pub fn check_query_text(text: &str, max_bytes: usize) -> Result<(), String> {
    check_text(text, max_bytes, Lines::One).map_err(|(_, message)| message)
}

/// At most so many characters of a text from outside, escaped, for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const MOST: usize = 64;
    let mut out: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_may_write_as_they_do_but_not_control_terminals() {
        for good in ["", "Nightly billing", "مهمة الفوترة", "🔥 night 🔥", "a\u{202e}b", "é\u{a0}x", "\u{c2}\u{a0}"]
        {
            assert_eq!(control_character(good, Lines::One), None, "{good:?}");
        }
        for bad in ["a\0", "a\u{7f}", "a\u{9b}2J", "a\u{80}", "a\u{1b}[0m", "a\nb", "a\tb"] {
            assert!(control_character(bad, Lines::One).is_some(), "{bad:?}");
            let lines = bad.contains(['\n', '\t']);
            assert_eq!(control_character(bad, Lines::Many).is_none(), lines, "{bad:?}");
        }
        let agrees = |c: char| control_character(&c.to_string(), Lines::One).is_some() == c.is_control();
        assert!(('\0'..=char::MAX).all(agrees));
    }
}

//! What is wrong with a body.

use std::fmt;

pub use ronda_domain::draft::FieldError;
use ronda_domain::id::IdError;

use super::MAX_LISTED_ERRORS;

/// Why a body was refused: it is not JSON at all, or some of its fields are wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// `invalid_json` or `invalid_msgpack` when it could not be read, `invalid_body` when fields are wrong.
    pub code: &'static str,
    /// What is wrong, in a sentence.
    pub detail: String,
    /// Every wrong field, at most [`MAX_LISTED_ERRORS`]; none when it could not be read.
    pub fields: Vec<FieldError>,
}

impl Invalid {
    /// The code of a body that is not JSON.
    pub const NOT_JSON: &'static str = "invalid_json";
    /// The code of a body that is not MessagePack.
    pub const NOT_MSGPACK: &'static str = "invalid_msgpack";
    /// The code of a body with wrong fields.
    pub const WRONG_FIELDS: &'static str = "invalid_body";

    /// A body that could not be read as JSON.
    #[must_use]
    pub fn json(detail: impl Into<String>) -> Self {
        Self { code: Self::NOT_JSON, detail: detail.into(), fields: Vec::new() }
    }

    /// A body that could not be read as MessagePack.
    #[must_use]
    pub fn msgpack(detail: impl Into<String>) -> Self {
        Self { code: Self::NOT_MSGPACK, detail: detail.into(), fields: Vec::new() }
    }

    /// A body with wrong fields. Beyond [`MAX_LISTED_ERRORS`] they are only counted.
    #[must_use]
    pub fn fields(fields: Vec<FieldError>) -> Self {
        let count = fields.len();
        Self::counted(fields, count)
    }

    /// The same when only the first of `count` wrong fields were kept.
    fn counted(mut fields: Vec<FieldError>, count: usize) -> Self {
        let detail = match fields.as_slice() {
            [only] if only.pointer.is_empty() => format!("The body {}.", only.message),
            [only] => format!("{}: {}.", only.pointer, only.message),
            _ if count > MAX_LISTED_ERRORS => {
                format!("{count} fields are wrong; the first {MAX_LISTED_ERRORS} are listed.")
            }
            _ => format!("{count} fields are wrong; each is listed with its place and the reason."),
        };
        fields.truncate(MAX_LISTED_ERRORS);
        Self { code: Self::WRONG_FIELDS, detail, fields }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        // What is wrong alone is the detail itself.
        let listed = if self.fields.len() > 1 { self.fields.as_slice() } else { &[] };
        for field in listed {
            write!(f, "\n  {}: {}", if field.pointer.is_empty() { "/" } else { &field.pointer }, field.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// Collects what is wrong while a body is read.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    listed: Vec<FieldError>,
    /// How many more there were than are listed.
    more: usize,
}

impl Findings {
    pub(crate) fn add(&mut self, pointer: impl Into<String>, code: &'static str, message: impl Into<String>) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.listed.push(FieldError { pointer: pointer.into(), code, message: message.into() });
        }
    }

    /// Whether what is found from now on is only counted: nobody needs to write a message for it.
    pub(crate) fn is_full(&self) -> bool {
        self.listed.len() >= MAX_LISTED_ERRORS
    }

    /// Counts one whose message nobody will see.
    pub(crate) fn count(&mut self) {
        self.more += 1;
    }

    pub(crate) fn add_id(&mut self, pointer: &str, error: IdError) {
        let code = match error {
            IdError::Empty => "empty",
            IdError::TooLong { .. } => "too_long",
            IdError::Character { .. } => "invalid_id",
        };
        self.add(pointer, code, error.to_string());
    }

    /// Adds what was found by somebody else, unless something is known about that field, or about one inside it, already.
    pub(crate) fn merge(&mut self, others: Vec<FieldError>) {
        let known: Vec<String> = self.listed.iter().map(|error| error.pointer.clone()).collect();
        let is_known = |pointer: &str| {
            known.iter().any(|known| {
                known.strip_prefix(pointer).is_some_and(|inner| inner.is_empty() || inner.starts_with('/'))
            })
        };
        for error in others.into_iter().filter(|error| !is_known(&error.pointer)) {
            self.add(error.pointer, error.code, error.message);
        }
    }

    /// The value when nothing was found.
    pub(crate) fn or<T>(self, value: Option<T>) -> Result<T, Invalid> {
        match value {
            Some(value) if self.listed.is_empty() => Ok(value),
            _ => {
                let count = self.listed.len() + self.more;
                Err(Invalid::counted(self.listed, count))
            }
        }
    }
}

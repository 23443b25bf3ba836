//! Query strings, parameter by parameter, with everything that is wrong told at once.

use std::borrow::Cow;

use ronda_domain::time::Timestamp;
use ronda_schemas::api::time::parse_rfc3339;
use ronda_schemas::api::{FieldError, check_query_text};
use url::form_urlencoded;

use crate::problem::Problem;

/// Items on a page unless the client says otherwise.
pub(super) const DEFAULT_LIMIT: usize = 50;
/// Most items on a page.
pub(super) const MAX_LIMIT: usize = 500;
/// Most parameters that are looked at.
const MAX_PARAMETERS: usize = 64;
/// Longest text of a parameter, in characters.
const MAX_TEXT_CHARS: usize = 256;

/// A query being read: each parameter is taken out by name, and what is left at the end is unknown.
#[derive(Debug)]
pub(super) struct Query<'q> {
    pairs: Vec<(Cow<'q, str>, Cow<'q, str>)>,
    errors: Vec<FieldError>,
}

impl<'q> Query<'q> {
    pub(super) fn new(raw: Option<&'q str>) -> Self {
        let raw = raw.unwrap_or_default();
        let mut query = Self { pairs: Vec::new(), errors: Vec::new() };
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            if query.pairs.len() == MAX_PARAMETERS {
                query.wrong("", "too_many", format!("list is longer than {MAX_PARAMETERS}"));
                break;
            }
            query.pairs.push((name, value));
        }
        query
    }

    fn wrong(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        self.errors.push(FieldError { pointer: name, code, message: message.into() });
    }

    /// Every value of a parameter that may be repeated.
    pub(super) fn all(&mut self, name: &str) -> Vec<String> {
        let mut values = Vec::new();
        self.pairs.retain(|(key, value)| {
            let this = key == name;
            if this {
                values.push(value.to_string());
            }
            !this
        });
        for value in &values {
            // What is not UTF-8 has been replaced while it was decoded.
            if value.contains('\u{fffd}') {
                self.wrong(name, "not_utf8", "must be UTF-8");
            } else if value.chars().count() > MAX_TEXT_CHARS {
                self.wrong(name, "too_long", format!("must be at most {MAX_TEXT_CHARS} characters long"));
            } else if let Err(message) = check_query_text(value, MAX_TEXT_CHARS * 4) {
                self.wrong(name, "invalid_text", message);
            }
        }
        values
    }

    /// A parameter that is given once or not at all.
    pub(super) fn one(&mut self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        if values.len() > 1 {
            self.wrong(name, "repeated", "must be given only once");
        }
        values.pop()
    }

    /// One that is read by its type.
    pub(super) fn parsed<T, E: ToString>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        let text = self.one(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(name, "not_allowed", error.to_string());
                None
            }
        }
    }

    /// A time of RFC 3339. An unescaped `+` of its offset is a space by now, and taken for what was meant.
    pub(super) fn time(&mut self, name: &str) -> Option<Timestamp> {
        self.parsed(name, |text| {
            parse_rfc3339(&text.replace(' ', "+"))
                .ok_or("must be a time of RFC 3339 with its offset, such as 2026-11-23T18:00:00Z")
        })
    }

    /// Where the page begins; an empty one is the beginning. Cursors are longer than other texts and checked where they are read.
    pub(super) fn cursor(&mut self) -> Option<String> {
        let position = self.pairs.iter().position(|(name, _)| name == "cursor")?;
        let (_, cursor) = self.pairs.remove(position);
        if self.pairs.iter().any(|(name, _)| name == "cursor") {
            self.pairs.retain(|(name, _)| name != "cursor");
            self.wrong("cursor", "repeated", "must be given only once");
        }
        Some(cursor.into_owned()).filter(|cursor| !cursor.is_empty())
    }

    /// How many items a page shall have.
    pub(super) fn limit(&mut self) -> usize {
        let limit = self.parsed("limit", |text| match text.parse() {
            Ok(limit) if (1..=MAX_LIMIT).contains(&limit) && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(limit)
            }
            _ => Err(format!("must be a whole number between 1 and {MAX_LIMIT}")),
        });
        limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// The end: everything that was not asked for is refused by name.
    pub(super) fn end(mut self, known: &[&str]) -> Result<(), Problem> {
        let left: Vec<String> = self.pairs.iter().map(|(name, _)| name.to_string()).collect();
        let advice = if known.is_empty() {
            "this address takes none".to_owned()
        } else {
            format!("known are {}", known.join(", "))
        };
        for name in left {
            self.wrong(&name, "unknown_parameter", format!("is not a known parameter; {advice}"));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid_query(self.errors)) }
    }
}

/// The same query with another cursor, for a `Link`.
pub(super) fn with_cursor(raw: Option<&str>, cursor: &str) -> String {
    let raw = raw.unwrap_or_default();
    let others = form_urlencoded::parse(raw.as_bytes()).filter(|(name, _)| name != "cursor");
    form_urlencoded::Serializer::new(String::new()).extend_pairs(others).append_pair("cursor", cursor).finish()
}

//! Reading an object field by field in the slow path, noting everything that is wrong.

use super::invalid::Findings;
use super::node::Node;
use super::text::{Lines, check_text, excerpt};
use super::time::parse_rfc3339;
use ronda_domain::time::Timestamp;

/// An object being read: each field is taken out by name, and what is left at the end is unknown.
pub(crate) struct Fields<'f> {
    pairs: Vec<(String, Node)>,
    prefix: String,
    findings: &'f mut Findings,
}

/// A JSON pointer one level deeper (RFC 6901: `~` and `/` are written `~0` and `~1`).
pub(crate) fn pointer(prefix: &str, name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    format!("{prefix}/{}", short.replace('~', "~0").replace('/', "~1"))
}

impl<'f> Fields<'f> {
    /// Begins reading; notes names that are there twice.
    pub(crate) fn of(node: Node, prefix: &str, findings: &'f mut Findings) -> Option<Self> {
        let Node::Object(pairs) = node else {
            findings.add(prefix, "wrong_type", format!("must be an object, and is {}", node.kind()));
            return None;
        };
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut last = None;
        for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
            if last.replace(pair[0]) != Some(pair[0]) {
                findings.add(pointer(prefix, pair[0]), "duplicate_field", "must be given only once");
            }
        }
        Some(Self { pairs, prefix: prefix.to_owned(), findings })
    }

    pub(crate) fn findings(&mut self) -> &mut Findings {
        self.findings
    }

    pub(crate) fn pointer(&self, name: &str) -> String {
        pointer(&self.prefix, name)
    }

    fn wrong(&mut self, name: &str, code: &'static str, message: impl Into<String>) {
        let pointer = self.pointer(name);
        self.findings.add(pointer, code, message);
    }

    fn wrong_type(&mut self, name: &str, expected: &str, found: &Node) {
        self.wrong(name, "wrong_type", format!("must be {expected}, and is {}", found.kind()));
    }

    /// A field's value; null is the same as absent.
    pub(crate) fn take(&mut self, name: &str) -> Option<Node> {
        let mut found = None;
        self.pairs.retain_mut(|(key, node)| {
            let this = key == name;
            if this {
                found = Some(std::mem::replace(node, Node::Null));
            }
            !this
        });
        found.filter(|node| *node != Node::Null)
    }

    /// Notes that a field is needed, unless its value is there.
    pub(crate) fn need<T>(&mut self, name: &str, was_there: bool, value: Option<T>, what: &str) -> Option<T> {
        if !was_there {
            self.wrong(name, "required", format!("is required: {what}"));
        }
        value
    }

    /// Whether a field is there and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, node)| key == name && *node != Node::Null)
    }

    /// A string, unchecked.
    pub(crate) fn raw_text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Node::Text(text) => Some(text),
            other => {
                self.wrong_type(name, "a string", &other);
                None
            }
        }
    }

    /// A bounded string.
    pub(crate) fn text(&mut self, name: &str, max_bytes: usize, lines: Lines) -> Option<String> {
        let text = self.raw_text(name)?;
        match check_text(&text, max_bytes, lines) {
            Ok(()) => Some(text),
            Err((code, message)) => {
                self.wrong(name, code, message);
                None
            }
        }
    }

    /// One of several words.
    pub(crate) fn word<T>(&mut self, name: &str, allowed: &[&str], parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.raw_text(name)?;
        let value = parse(&text);
        if value.is_none() {
            let message = format!("must be one of {}, and is '{}'", allowed.join(", "), excerpt(&text));
            self.wrong(name, "not_allowed", message);
        }
        value
    }

    /// An id, checked by the given rule.
    pub(crate) fn id(
        &mut self,
        name: &str,
        check: impl Fn(&str) -> Result<(), ronda_domain::id::IdError>,
    ) -> Option<String> {
        let text = self.raw_text(name)?;
        match check(&text) {
            Ok(()) => Some(text),
            Err(error) => {
                let pointer = self.pointer(name);
                self.findings.add_id(&pointer, error);
                None
            }
        }
    }

    /// A time of RFC 3339.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.raw_text(name)?;
        let time = parse_rfc3339(&text);
        if time.is_none() {
            let message =
                "must be a time of RFC 3339 with its offset, such as 2026-11-23T18:00:00Z or 2026-11-24T01:00:00+07:00";
            self.wrong(name, "invalid_time", message);
        }
        time
    }

    /// A whole number between two others, inclusive.
    pub(crate) fn integer<T: TryFrom<i128>>(&mut self, name: &str, least: i128, most: i128) -> Option<T> {
        match self.take(name)? {
            Node::Integer(number) if (least..=most).contains(&number) => T::try_from(number).ok(),
            Node::Integer(number) => {
                self.wrong(name, "out_of_range", format!("must be between {least} and {most}, and is {number}"));
                None
            }
            other => {
                self.wrong_type(name, "a whole number", &other);
                None
            }
        }
    }

    /// Notes every field that nobody asked for, with the nearest name that there is.
    pub(crate) fn end(self, known: &[&str]) {
        for (name, _) in &self.pairs {
            if known.contains(&name.as_str()) {
                continue;
            }
            if self.findings.is_full() {
                self.findings.count();
                continue;
            }
            let nearest = known
                .iter()
                .map(|candidate| {
                    (strsim::jaro_winkler(candidate, &name.chars().take(64).collect::<String>()), candidate)
                })
                .filter(|(likeness, _)| *likeness > 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let advice = match nearest {
                Some((_, candidate)) => format!("did you mean '{candidate}'?"),
                None => format!("known are {}", known.join(", ")),
            };
            let message = format!("is not a known field ('{}'); {advice}", excerpt(name));
            self.findings.add(pointer(&self.prefix, name), "unknown_field", message);
        }
    }
}

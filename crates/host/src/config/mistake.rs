//! Mistakes in the configuration: where, which key, what is wrong, how to put it right.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it was made.
    pub origin: Origin,
    /// Which setting, as `section.key`; empty when it is none in particular.
    pub key: String,
    /// What is wrong and what to do.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.what)
        } else {
            write!(f, "{}: {} {}", self.origin, self.key, self.what)
        }
    }
}

/// Every mistake of a configuration, at once.
#[derive(Debug, Error)]
#[error("{}", listed(.0))]
pub struct Mistakes(pub Vec<Mistake>);

fn listed(mistakes: &[Mistake]) -> String {
    let count = match mistakes.len() {
        1 => String::from("There is a mistake in the configuration"),
        count => format!("There are {count} mistakes in the configuration"),
    };
    let lines: String = mistakes.iter().map(|mistake| format!("\n  - {mistake}")).collect();
    format!("{count}.{lines}")
}

/// The known name that is most like a wrong one, if any is like it at all.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

//! How the program ends: one message, and a code that a script can tell apart.

use std::fmt;

/// What an exit code means. The numbers are documented and stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Something failed that has no code of its own.
    Failed = 1,
    /// The command line was wrong. (`clap` ends with the same number.)
    Usage = 2,
    /// The configuration has mistakes.
    Configuration = 3,
    /// The data directory can't be used: another process owns it, it is damaged, made by a newer release, or its disk failed.
    Data = 4,
    /// An address can't be listened on.
    Address = 5,
    /// The server could not be reached, or gave no answer.
    Unreachable = 6,
    /// The server refused the request.
    Refused = 7,
    /// Embedded parts can't be split over several processes.
    Embedded = 8,
    /// The queue's broker can't be reached, refuses us, or has queues that can't be used.
    Queue = 9,
    /// The store's server can't be reached, refuses us, or has tables that can't be used.
    Store = 10,
}

impl Code {
    const ALL: [Self; 10] = [
        Self::Failed,
        Self::Usage,
        Self::Configuration,
        Self::Data,
        Self::Address,
        Self::Unreachable,
        Self::Refused,
        Self::Embedded,
        Self::Queue,
        Self::Store,
    ];

    /// Its number, as a process ends with it.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The code of a number, if it is one.
    #[must_use]
    pub fn of(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| u64::from(code.number()) == number)
    }
}

/// For `--help` and the documentation.
pub const CODES_HELP: &str = "\
Exit codes:
  0    done
  1    failed, in a way that has no code of its own
  2    the command line is wrong
  3    the configuration has mistakes (all of them are listed)
  4    the data directory can't be used: another process owns it, it is damaged, or its disk failed
  5    an address can't be listened on
  6    the server can't be reached
  7    the server refused the request
  8    embedded parts can't be split over several processes
  9    the queue's broker can't be reached or refuses us, or its queues can't be used
  10   the store's server can't be reached or refuses us, or its tables can't be used
  130  ended at once by a second signal";

/// Why the program ends without having done what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: Code,
    /// What was wrong and what to do.
    pub message: String,
}

impl Failure {
    /// A failure with its code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// One without a code of its own.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(Code::Failed, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<crate::config::Mistakes> for Failure {
    fn from(mistakes: crate::config::Mistakes) -> Self {
        Self::new(Code::Configuration, mistakes.to_string())
    }
}

/// An error with everything that caused it, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

//! Whom a message calls.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Somebody whom Slack notifies: a user, a user group, or whoever is active in the channel. Nothing else can be one, so that no text from
/// outside can call anybody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention(Whom);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whom {
    Here,
    User(String),
    Group(String),
}

/// Nobody who can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be \"here\", a user's id (U… or W…) or a user group's (S…)")]
pub struct NotAMention;

impl FromStr for Mention {
    type Err = NotAMention;

    fn from_str(text: &str) -> Result<Self, NotAMention> {
        if text == "here" {
            return Ok(Self(Whom::Here));
        }
        let fits = (9..=24).contains(&text.len());
        if !fits || !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
            return Err(NotAMention);
        }
        match text.as_bytes().first() {
            Some(b'U' | b'W') => Ok(Self(Whom::User(text.to_owned()))),
            Some(b'S') => Ok(Self(Whom::Group(text.to_owned()))),
            _ => Err(NotAMention),
        }
    }
}

/// As it is written in settings.
impl fmt::Display for Mention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Whom::Here => f.write_str("here"),
            Whom::User(id) | Whom::Group(id) => f.write_str(id),
        }
    }
}

impl Mention {
    /// As Slack reads it.
    pub(crate) fn markup(&self) -> String {
        match &self.0 {
            Whom::Here => String::from("<!here>"),
            Whom::User(id) => format!("<@{id}>"),
            Whom::Group(id) => format!("<!subteam^{id}>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_and_here_call_anybody() {
        for (text, markup) in [
            ("here", "<!here>"),
            ("U0123ABCD", "<@U0123ABCD>"),
            ("W0123ABCD", "<@W0123ABCD>"),
            ("S0123ABCD", "<!subteam^S0123ABCD>"),
        ] {
            let mention: Mention = text.parse().unwrap();
            assert_eq!((mention.to_string().as_str(), mention.markup().as_str()), (text, markup));
        }
        for text in [
            "",
            "channel",
            "everyone",
            "@here",
            "U1",
            "C0123ABCD",
            "U0123ABCd",
            "U0123ABC>",
            "S0123ABCD> <!channel",
            "<@U0123ABCD>",
        ] {
            assert_eq!(text.parse::<Mention>(), Err(NotAMention), "{text}");
        }
    }
}

//! Every kind of message from sample data, as it would be sent: for `ronda slack preview`, for the pictures in the documentation,
//! and for tests that keep the wording.

mod alerts;
#[cfg(test)]
mod golden_tests;
mod nights;
mod notices;

use jiff::tz::TimeZone;
use ronda_domain::time::Timestamp;

use crate::channel::Content;
use crate::language::Language;
use crate::render::{self, Voice};
use crate::surface::{Facts, Form, Late, Own};

/// 01:00 on 24 November 2026 in Jakarta: in the night that the samples tell of.
const ONE: Timestamp = Timestamp::from_seconds(1_795_456_800);

/// A message of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// What it is called, as in `failure`.
    pub kind: &'static str,
    /// When people see such a one.
    pub about: &'static str,
    /// It stands in a thread.
    pub is_reply: bool,
    /// What it shows.
    pub content: Content,
}

/// Facts to be shown.
struct Sample {
    kind: &'static str,
    about: &'static str,
    facts: Facts,
    /// What is true of this message alone.
    own: Own,
    /// With buttons.
    interactive: bool,
}

impl Sample {
    fn content(&self, form: Form, voice: &Voice) -> Content {
        let voice = Voice { interactive: self.interactive, ..voice.clone() };
        render::content(&self.facts, &self.own, form, &voice)
    }

    fn late(self, late: Late) -> Self {
        Self { own: Own { late: Some(late), ..Own::default() }, ..self }
    }

    fn new(kind: &'static str, about: &'static str, facts: Facts) -> Self {
        Self { kind, about, facts, own: Own::default(), interactive: false }
    }
}

/// All kinds of messages, in the order in which somebody would want to read of them.
#[must_use]
pub fn previews(language: Language, form: Form) -> Vec<Preview> {
    samples()
        .into_iter()
        .map(|sample| Preview {
            kind: sample.kind,
            about: sample.about,
            is_reply: matches!(sample.facts, Facts::Reply(_)),
            content: sample.content(form, &voice(language)),
        })
        .collect()
}

fn voice(language: Language) -> Voice {
    Voice {
        language,
        zone: TimeZone::get("Asia/Jakarta").unwrap_or(TimeZone::UTC),
        details_url: Some("https://ronda.example/{tenant}/schedulers/{scheduler}".into()),
        interactive: false,
    }
}

fn samples() -> Vec<Sample> {
    alerts::samples().into_iter().chain(nights::samples()).chain(notices::samples()).collect()
}

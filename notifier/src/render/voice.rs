//! How it is told: in which language, in which zone, with which links.

use jiff::tz::TimeZone;

use super::escape::url;
use super::words::{self, Words};
use crate::language::Language;

/// How a surface is told.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    pub(crate) language: Language,
    /// For times where a reader's own zone can't be used.
    pub(crate) zone: TimeZone,
    /// Address of a page about a scheduler, with `{tenant}` and `{scheduler}` in it.
    pub(crate) details_url: Option<Box<str>>,
    /// Whether a reader can do something about it right there, with buttons.
    pub(crate) interactive: bool,
}

impl Voice {
    pub(crate) fn words(&self) -> &'static dyn Words {
        words::words(self.language)
    }

    /// The page about a scheduler; `None`: there is none, or its address would be none.
    pub(super) fn details(&self, tenant: &str, scheduler: &str) -> Option<String> {
        let template = self.details_url.as_deref()?;
        let address = template.replace("{tenant}", &encoded(tenant)).replace("{scheduler}", &encoded(scheduler));
        url(&address).map(|_| address)
    }
}

/// Text as a part of an address.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_scheduler_in_its_address_whatever_its_id() {
        let voice = |details_url: Option<&str>| Voice {
            language: Language::English,
            zone: TimeZone::UTC,
            details_url: details_url.map(Into::into),
            interactive: false,
        };
        let page = voice(Some("https://ronda.example/{tenant}/s/{scheduler}")).details("acme", "a/b ü");
        assert_eq!(page.as_deref(), Some("https://ronda.example/acme/s/a%2Fb%20%C3%BC"));
        assert_eq!(voice(Some("ftp://x/{scheduler}")).details("acme", "a"), None);
        assert_eq!(voice(None).details("acme", "a"), None);
    }
}

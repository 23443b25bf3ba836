//! A mail from a message: pure. What came from outside stands in the body and, on one line, in the subject; nowhere else.

use std::time::SystemTime;

use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use ring::digest::{SHA256, digest};

use crate::channel::{About, Content, Metadata};

/// The longest subject, in characters.
const MAX_SUBJECT: usize = 180;

/// Which mail it is, and which it belongs to.
pub(super) struct Place<'a> {
    /// Its own `Message-ID`.
    pub(super) id: &'a str,
    /// The one that it is a reply to.
    pub(super) below: Option<&'a str>,
}

/// The `Message-ID` of a revision of a surface. A repeat has the same one, so mail servers and programs that know it drop it.
pub(super) fn message_id(metadata: &Metadata, domain: &str) -> String {
    let Metadata { installation, k, generation, revision } = metadata;
    let text = format!("{}:{installation}{}:{k}{generation}.{revision}", installation.len(), k.len());
    let hash = digest(&SHA256, text.as_bytes());
    let hex: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("<{hex}.g{generation}.r{revision}@{domain}>")
}

/// Whether it has the form of an id of ours: ids of other channels don't, and what can't be one must not get into a header.
fn is_message_id(text: &str) -> bool {
    let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'@');
    inner.is_some_and(|inner| inner.len() < 400 && inner.contains('@') && inner.bytes().all(is_plain))
}

/// Writes a mail.
pub(super) fn write(
    from: &Mailbox,
    to: &[Mailbox],
    place: &Place<'_>,
    content: &Content,
    about: &About,
    now: SystemTime,
) -> Result<Message, lettre::error::Error> {
    let auto = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(subject(&content.plain))
        .date(now)
        .message_id(Some(place.id.to_owned()))
        .raw_header(auto);
    for recipient in to {
        builder = builder.to(recipient.clone());
    }
    if let Some(below) = place.below.filter(|below| is_message_id(below)) {
        builder = builder.in_reply_to(below.to_owned()).references(below.to_owned());
    }
    builder.multipart(MultiPart::alternative_plain_html(content.plain.clone(), html(content, about)))
}

/// The first line, without anything that could end it.
fn subject(plain: &str) -> String {
    let line = plain.lines().next().unwrap_or_default();
    let visible = line.chars().map(|character| if character.is_control() { ' ' } else { character });
    let subject: String = visible.take(MAX_SUBJECT).collect();
    let subject = subject.trim();
    if subject.is_empty() { "Ronda".to_owned() } else { subject.to_owned() }
}

fn html(content: &Content, about: &About) -> String {
    let colour = content.colour.unwrap_or("#dddddd");
    let links: String = about
        .links
        .iter()
        .map(|link| format!("<p><a href=\"{}\">{}</a></p>", escaped(&link.url), escaped(link.label)))
        .collect();
    format!(
        "<!doctype html><html><body><div style=\"border-left:4px solid {colour};padding-left:12px\">\
         <pre style=\"font-family:ui-monospace,monospace;white-space:pre-wrap\">{}</pre>{links}</div></body></html>",
        escaped(&content.plain)
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::channel::Link;

    fn metadata(k: &str, generation: u32, revision: u64) -> Metadata {
        Metadata { installation: "here".into(), k: k.into(), generation, revision }
    }

    /// The names of all headers before the body, in lower case, folded lines with those they continue.
    fn header_names(mail: &[u8]) -> Vec<String> {
        let text = std::str::from_utf8(mail).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "a bare line break in the headers: {head:?}");
        let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        lines.map(|line| line.split_once(':').unwrap().0.to_ascii_lowercase()).collect()
    }

    proptest! {
        #[test]
        fn nothing_that_a_job_says_gets_into_a_header_or_adds_a_recipient(
            plain in "(?s).{0,300}|(a\r\nBcc: x@y.z\r\n\r\n.\r\n|Subject: \u{2028}x\n|=\\?utf-8\\?q\\?=0ABcc:\\?=){0,4}",
            k in "(?s).{0,60}",
            below in "(?s)<?.{0,40}@?.{0,20}>?",
            url in "https://[a-z<>\"'&]{0,20}",
        ) {
            let from: Mailbox = "Ronda <ronda@example.com>".parse().unwrap();
            let to: Vec<Mailbox> = vec!["ops@example.com".parse().unwrap()];
            let id = message_id(&metadata(&k, 0, 1), "example.com");
            prop_assert!(is_message_id(&id));
            let content = Content { plain: plain.clone(), ..Content::default() };
            let about = About { links: vec![Link { label: "Runbook", url }], ..About::default() };
            let place = Place { id: &id, below: Some(&below) };
            let mail = write(&from, &to, &place, &content, &about, SystemTime::UNIX_EPOCH).unwrap();
            let recipients: Vec<String> = mail.envelope().to().iter().map(ToString::to_string).collect();
            prop_assert_eq!(recipients, ["ops@example.com"]);
            let bytes = mail.formatted();
            prop_assert!(bytes.is_ascii());
            let mut names = header_names(&bytes);
            names.retain(|name| !matches!(name.as_str(), "in-reply-to" | "references"));
            names.sort();
            let wanted = ["auto-submitted", "content-type", "date", "from", "message-id", "mime-version", "subject", "to"];
            prop_assert_eq!(names, wanted);
        }
    }

    #[test]
    fn a_repeat_has_the_same_id_and_nothing_else_has() {
        let id = |k: &str, generation, revision| message_id(&metadata(k, generation, revision), "example.com");
        assert_eq!(id("a", 0, 1), id("a", 0, 1));
        for other in [id("b", 0, 1), id("a", 1, 1), id("a", 0, 2)] {
            assert_ne!(id("a", 0, 1), other);
        }
    }

    #[test]
    fn html_shows_what_a_job_says_as_text() {
        let content = Content { plain: "<script>alert('x')</script> & \"y\"".into(), ..Content::default() };
        let html = html(&content, &About::default());
        assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;"), "{html}");
    }
}

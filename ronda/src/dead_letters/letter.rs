//! One dead letter as it is shown.

use std::fmt::Write as _;

use ronda_domain::time::Timestamp;
use ronda_processor::dead_letter::may_hold_credential;
use ronda_processor::{DeadLetter, LetterOrigin};
use ronda_queue::Origin;
use ronda_schemas::api::time::Time;
use ronda_schemas::codec::{DecodeError, Versioned};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::text::printable;

/// Bytes of an id: enough for as many letters as a queue holds.
const ID_BYTES: usize = 8;
/// What is written in the place of a header that lets somebody in.
const HIDDEN: &str = "***";

/// One dead letter without its message: that may hold anything, and a terminal or a ticket is no place for it. For the same reason the
/// decoder's own words are left out: they may quote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// What it is named by: a hash of it, the same wherever it lies and however often it is there.
    pub id: String,
    /// The partition's clock when it was put aside; none before the first pulse.
    pub at: Option<Time>,
    /// The command partition that it came from.
    pub partition: Option<u32>,
    /// Its position there.
    pub offset: Option<u64>,
    /// Which commands of the frame, from 0; empty: the whole message.
    pub commands: Vec<u32>,
    /// Machine-readable.
    pub reason: String,
    /// Where it was published to, if it was published directly.
    pub source: Option<String>,
    /// Whose it is; where that was not made sure of, whose the place says that it is.
    pub tenant: Option<String>,
    /// How long the message is.
    pub message_bytes: u64,
}

/// One dead letter with all that it carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// What the list has of it.
    #[serde(flatten)]
    pub letter: Letter,
    /// What was wrong, in the decoder's words.
    pub detail: String,
    /// The publisher's own id of a message that was published directly, or the broker's where it has none. It is no header on every broker.
    #[serde(default)]
    pub message_id: Option<String>,
    /// Headers or attributes of a message that was published directly; what lets somebody in is hidden.
    pub headers: Vec<(String, String)>,
    /// The message, or its beginning, if it is text.
    pub text: Option<String>,
    /// The same in hexadecimal, if it is not.
    pub hex: Option<String>,
    /// Whether that is the whole message.
    pub is_whole: bool,
}

/// The name of a letter.
#[must_use]
pub(super) fn id(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice().get(..ID_BYTES).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads what the queue of dead letters carries.
#[must_use]
pub(super) fn read(bytes: &[u8]) -> Letter {
    let id = id(bytes);
    match DeadLetter::decode(bytes) {
        Ok(letter) => summary(id, &letter),
        Err(error) => Letter {
            id,
            at: None,
            partition: None,
            offset: None,
            commands: Vec::new(),
            reason: match error {
                DecodeError::NewerVersion { .. } => String::from("letter_of_a_newer_release"),
                DecodeError::Malformed { .. } => String::from("unreadable_letter"),
            },
            source: None,
            tenant: None,
            message_bytes: bytes.len() as u64,
        },
    }
}

fn summary(id: String, letter: &DeadLetter) -> Letter {
    Letter {
        id,
        at: Some(letter.at).filter(|at| *at != Timestamp::MIN).map(Time),
        partition: Some(letter.partition),
        offset: Some(letter.position),
        commands: letter.command.into_iter().chain(letter.more.iter().copied()).collect(),
        reason: printable(&letter.code),
        source: origin(letter).map(|origin| printable(&origin.source)),
        tenant: letter.origin.as_deref().and_then(|origin| {
            let tenant = origin.tenant.as_deref().or(origin.named_tenant.as_deref());
            tenant.map(printable)
        }),
        message_bytes: letter.message_bytes,
    }
}

/// Reads a letter with all that it carries.
#[must_use]
pub(super) fn read_whole(bytes: &[u8]) -> Whole {
    let Ok(letter) = DeadLetter::decode(bytes) else {
        let (letter, detail) = (read(bytes), String::from("the letter itself can't be read: this is all of it"));
        return Whole {
            letter,
            detail,
            message_id: None,
            headers: Vec::new(),
            text: None,
            hex: Some(hex(bytes)),
            is_whole: true,
        };
    };
    let headers = letter.origin.as_deref().map_or(&[][..], |origin| &origin.headers).iter().map(|(name, value)| {
        let value = if may_hold_credential(name) { HIDDEN.to_owned() } else { printable(value) };
        (printable(name), value)
    });
    let text = std::str::from_utf8(&letter.message).ok().filter(|text| text.chars().all(is_shown)).map(str::to_owned);
    Whole {
        letter: summary(id(bytes), &letter),
        detail: printable(&letter.detail),
        message_id: letter.origin.as_deref().and_then(|origin| origin.message_id.as_deref()).map(printable),
        headers: headers.collect(),
        hex: text.is_none().then(|| hex(&letter.message)),
        text,
        is_whole: letter.message.len() as u64 == letter.message_bytes,
    }
}

/// Whether a terminal shows it as it is.
fn is_shown(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t' | '\r')
}

/// Where a message came from that was published directly; `None`: a gateway sent it.
#[must_use]
pub(super) fn origin(letter: &DeadLetter) -> Option<Origin> {
    letter.origin.as_deref().map(LetterOrigin::origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(message: &'static [u8]) -> Vec<u8> {
        let letter = DeadLetter {
            partition: 2,
            position: 7,
            command: Some(1),
            more: vec![4],
            at: Timestamp::from_seconds(60),
            code: "bad_command".into(),
            detail: "unknown variant `secret`".into(),
            message_bytes: 100,
            message: message.into(),
            origin: None,
        };
        letter.encode().unwrap()
    }

    #[test]
    fn a_list_has_nothing_of_what_a_letter_carries_and_show_has_all() {
        let bytes = letter(b"a secret");
        let listed = serde_json::to_string(&read(&bytes)).unwrap();
        assert!(listed.contains(r#""commands":[1,4],"reason":"bad_command""#), "{listed}");
        assert!(listed.contains("1970-01-01T00:01:00.000Z") && !listed.contains("secret"), "{listed}");
        let whole = read_whole(&bytes);
        assert_eq!((whole.text.as_deref(), whole.hex.as_deref(), whole.is_whole), (Some("a secret"), None, false));
        assert!(whole.detail.contains("unknown variant"));
        assert_eq!(read_whole(&letter(b"\x1b[2J")).hex.as_deref(), Some("1b5b324a"), "nothing drives the terminal");
    }

    #[test]
    fn headers_are_shown_as_they_came() {
        let headers = vec![("trace".into(), "t".into())];
        let origin = LetterOrigin { headers, message_id: Some("m-1".into()), ..LetterOrigin::default() };
        let letter = DeadLetter { origin: Some(Box::new(origin)), ..DeadLetter::decode(&letter(b"x")).unwrap() };
        let whole = read_whole(&letter.encode().unwrap());
        assert_eq!(whole.headers, [(String::from("trace"), String::from("t"))], "nobody has put it back yet");
        assert_eq!(whole.message_id.as_deref(), Some("m-1"));
    }

    #[test]
    fn what_is_no_letter_is_shown_as_it_is() {
        assert_eq!(read(b"rubbish").reason, "unreadable_letter");
        assert_eq!(read_whole(b"ab").hex.as_deref(), Some("6162"));
        assert_eq!(read(b"ab").id.len(), 16);
    }
}

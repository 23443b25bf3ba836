//! What somebody in Slack asks for, however it came: a slash command's fields, or the payload of a click. Pure.

use ronda_domain::time::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use ronda_domain::id::MessageId;

/// One request of one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Who.
    pub(crate) who: Who,
    /// What Slack calls the occasion, as often as it tells of it.
    pub(crate) trigger: String,
    /// When, by Slack's clock where that is told.
    pub(crate) at: Timestamp,
    /// Where more can be said about it.
    pub(crate) response_url: Option<String>,
    /// What.
    pub(crate) what: What,
}

/// A person in Slack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Who {
    /// The person's id, `U…` or `W…`.
    pub(crate) user: String,
    /// What the person is called there; may be empty.
    pub(crate) name: String,
    /// The workspace where it was asked; empty: not told.
    pub(crate) team: String,
    /// The person's own workspace, which in a shared channel may be another; empty: not told.
    pub(crate) home: String,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The text after `/ronda`.
    Command(String),
    /// A button below a message.
    Click(Click),
}

/// A click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Click {
    pub(crate) button: Button,
    /// Whose job the message is about.
    pub(crate) tenant: String,
    /// Which.
    pub(crate) scheduler: String,
    /// When the alert was opened that the message is about: which of its alerts it is. `None`: the message does not tell.
    pub(crate) opened_at: Option<Timestamp>,
}

/// The buttons that ask for something; those that only lead to a page do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Button {
    Acknowledge,
    SnoozeHour,
    SnoozeMorning,
}

impl Button {
    fn of(action_id: &str) -> Option<Self> {
        match action_id {
            "acknowledge" => Some(Self::Acknowledge),
            "snooze_1h" => Some(Self::SnoozeHour),
            "snooze_morning" => Some(Self::SnoozeMorning),
            _ => None,
        }
    }
}

/// Why something from Slack can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unreadable {
    #[error("it has no '{0}'")]
    Lacks(&'static str),
    #[error("its payload is not JSON")]
    NotJson,
    #[error("the value of its button is none of Ronda's")]
    Value,
}

impl Asked {
    /// A slash command, by its fields. `at`: when it came.
    pub(crate) fn command(fields: &Value, at: Timestamp) -> Result<Self, Unreadable> {
        let who = Who {
            user: text(&fields["user_id"]).ok_or(Unreadable::Lacks("user_id"))?,
            name: text(&fields["user_name"]).unwrap_or_default(),
            team: text(&fields["team_id"]).unwrap_or_default(),
            home: String::new(),
        };
        let trigger = text(&fields["trigger_id"]).ok_or(Unreadable::Lacks("trigger_id"))?;
        let command = fields["text"].as_str().unwrap_or_default().to_owned();
        Ok(Self { who, trigger, at, response_url: text(&fields["response_url"]), what: What::Command(command) })
    }

    /// A click, by its payload; `None`: nothing is asked of us. `at`: when it came, where the payload does not tell when it was clicked.
    pub(crate) fn interaction(payload: &Value, at: Timestamp) -> Result<Option<Self>, Unreadable> {
        if payload["type"] != "block_actions" {
            return Ok(None);
        }
        let actions = payload["actions"].as_array().map_or(&[][..], Vec::as_slice);
        let ours = actions.iter().find_map(|action| Some((action, Button::of(action["action_id"].as_str()?)?)));
        let Some((action, button)) = ours else { return Ok(None) };
        let value: Value = serde_json::from_str(action["value"].as_str().ok_or(Unreadable::Lacks("value"))?)
            .map_err(|_| Unreadable::Value)?;
        let (Some(tenant), Some(scheduler)) = (text(&value["t"]), text(&value["s"])) else {
            return Err(Unreadable::Value);
        };
        let opened_at = value["o"].as_i64().map(Timestamp::from_millis);
        let user = &payload["user"];
        let who = Who {
            user: text(&user["id"]).ok_or(Unreadable::Lacks("user"))?,
            name: text(&user["username"]).or_else(|| text(&user["name"])).unwrap_or_default(),
            team: text(&payload["team"]["id"]).unwrap_or_default(),
            home: text(&user["team_id"]).unwrap_or_default(),
        };
        Ok(Some(Self {
            who,
            trigger: text(&payload["trigger_id"]).ok_or(Unreadable::Lacks("trigger_id"))?,
            at: action["action_ts"].as_str().and_then(clicked_at).unwrap_or(at),
            response_url: text(&payload["response_url"]),
            what: What::Click(Click { button, tenant, scheduler, opened_at }),
        }))
    }

    /// The message that this is to the pipeline: the same however often, and through whichever gateway, Slack tells of it.
    pub(crate) fn message(&self) -> MessageId {
        let mut hash = Sha256::new();
        for part in ["slack", &self.who.team, &self.who.user, &self.trigger] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let number = |from: usize| {
            let bytes = digest.get(from..from + 8).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
            u64::from_be_bytes(bytes)
        };
        // Never taken for a frame's.
        MessageId { source: number(0), sequence: MADE | number(8), index: 0 }
    }
}

/// As in the messages that are made for an `Idempotency-Key`.
const MADE: u64 = 1 << 63;

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// `1548426417.840180`, in milliseconds.
fn clicked_at(ts: &str) -> Option<Timestamp> {
    let (seconds, fraction) = ts.split_once('.')?;
    let millis: i64 = fraction.get(..3)?.parse().ok()?;
    Some(Timestamp::from_millis(seconds.parse::<i64>().ok()?.checked_mul(1_000)?.checked_add(millis)?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(5_000);

    fn click(action: &str, value: &str) -> Value {
        json!({
            "type": "block_actions", "trigger_id": "1.2.a", "response_url": "https://hooks.slack.com/actions/T1/2/3",
            "team": {"id": "T1"}, "user": {"id": "U1", "username": "dewi", "team_id": "T2"},
            "actions": [
                {"action_id": "details", "type": "button"},
                {"action_id": action, "type": "button", "value": value, "action_ts": "1548426417.840180"},
            ],
        })
    }

    #[test]
    fn a_click_says_who_what_and_when() {
        let payload = click("snooze_1h", r#"{"t":"acme","s":"nightly","o":1548426000123}"#);
        let asked = Asked::interaction(&payload, AT).unwrap().unwrap();
        let who = Who { user: "U1".into(), name: "dewi".into(), team: "T1".into(), home: "T2".into() };
        let opened_at = Some(Timestamp::from_millis(1_548_426_000_123));
        let click = Click { button: Button::SnoozeHour, tenant: "acme".into(), scheduler: "nightly".into(), opened_at };
        assert_eq!((&asked.who, &asked.what), (&who, &What::Click(click)));
        assert_eq!(asked.at, Timestamp::from_millis(1_548_426_417_840));
    }

    #[test]
    fn what_asks_nothing_of_us_is_left_alone() {
        for payload in [json!({"type": "view_submission"}), json!({}), json!([]), click("runbook", "{}")] {
            assert_eq!(Asked::interaction(&payload, AT), Ok(None), "{payload}");
        }
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for value in ["", "x", "{}", r#"{"t":"a"}"#, r#"{"t":1,"s":"b"}"#, "[1]"] {
            assert_eq!(Asked::interaction(&click("acknowledge", value), AT), Err(Unreadable::Value), "{value}");
        }
        let mut payload = click("acknowledge", r#"{"t":"a","s":"b"}"#);
        payload["trigger_id"] = json!(null);
        assert_eq!(Asked::interaction(&payload, AT), Err(Unreadable::Lacks("trigger_id")));
    }

    #[test]
    fn the_same_occasion_is_the_same_message_and_another_is_another() {
        let fields = json!({"user_id": "U1", "team_id": "T1", "trigger_id": "1.2.a", "text": "ack x"});
        let one = Asked::command(&fields, AT).unwrap();
        let again = Asked::command(&fields, Timestamp::from_millis(9_000)).unwrap();
        assert_eq!(one.message(), again.message());
        assert!(one.message().sequence & MADE != 0);
        let mut other = one.clone();
        other.trigger = "1.2.b".into();
        assert_ne!(one.message(), other.message());
    }
}

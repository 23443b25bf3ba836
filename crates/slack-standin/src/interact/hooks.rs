//! Response URLs: an answer to a person without a token, for a while.
//! <https://docs.slack.dev/interactivity/handling-user-interaction#message_responses>

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::api::{change, content, post_in_pieces};
use crate::limits::{Purpose, Refusal, refusal};
use crate::state::{Slack, whisper_of};

/// "You can respond to a user interaction up to 5 times within 30 minutes of receiving the payload."
const USES: u32 = 5;
const LIFE_MS: u64 = 30 * 60_000;

/// Whom a response URL reaches, and what it may change.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) user: String,
    pub(super) channel: String,
    /// What was clicked on, or the command's first answer.
    pub(super) original: Option<String>,
    pub(super) made_at_ms: u64,
    pub(super) uses: u32,
}

/// All response URLs, by number.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    hooks: BTreeMap<u64, Hook>,
}

impl Hooks {
    pub(super) fn add(&mut self, number: u64, hook: Hook) {
        self.hooks.insert(number, hook);
    }

    /// Counts a use. (j) The codes are what people met; Slack documents none.
    fn take(&mut self, number: u64, now_ms: u64) -> Result<Hook, &'static str> {
        let hook = self.hooks.get_mut(&number).ok_or("expired_url")?;
        if now_ms.saturating_sub(hook.made_at_ms) > LIFE_MS {
            return Err("expired_url");
        }
        if hook.uses == USES {
            return Err("used_url");
        }
        hook.uses += 1;
        Ok(hook.clone())
    }

    fn first_answer(&mut self, number: u64, ts: &str) {
        if let Some(hook) = self.hooks.get_mut(&number) {
            hook.original.get_or_insert_with(|| ts.to_owned());
        }
    }
}

/// Booleans of a response may come as words: Slack's own examples write both.
fn asked(arguments: &Map<String, Value>, key: &str) -> bool {
    arguments.get(key).is_some_and(|value| *value == true || *value == "true")
}

impl Slack {
    /// What is posted to a response URL takes effect, or is refused with a code.
    pub(crate) fn respond(&self, number: u64, arguments: &Map<String, Value>) -> Result<(), Refusal> {
        let now_ms = self.now_ms();
        let taken = self.interactions(|state| state.hooks.take(number, now_ms));
        let hook = taken.map_err(|code| Refusal::new(code, "5 uses within 30 minutes"))?;
        self.say(number, &hook, arguments).map(drop)
    }

    /// Shows an answer to the person, or to all in the channel; answers its `ts`.
    pub(super) fn say(
        &self,
        number: u64,
        hook: &Hook,
        arguments: &Map<String, Value>,
    ) -> Result<Option<String>, Refusal> {
        let (channel, original) = (hook.channel.as_str(), hook.original.as_deref());
        if asked(arguments, "delete_original") {
            let gone = original.is_some_and(|ts| self.remove(channel, ts) || self.remove_whisper(channel, ts));
            return if gone { Ok(None) } else { Err(Refusal::new("message_not_found", "nothing to delete")) };
        }
        let message = content(arguments);
        if let Some(refused) = refusal(&message, Purpose::Post) {
            return Err(refused);
        }
        if asked(arguments, "replace_original")
            && let Some(ts) = original
        {
            let replaced = self.update(channel, ts, |message| change(message, arguments))
                || self.change_whisper(channel, ts, |message| change(message, arguments));
            return if replaced { Ok(None) } else { Err(Refusal::new("message_not_found", ts)) };
        }
        let shown = if arguments.get("response_type").is_some_and(|kind| kind == "in_channel") {
            post_in_pieces(self, channel, message)
        } else {
            self.whisper(channel, whisper_of(message, &hook.user))
        };
        self.interactions(|state| state.hooks.first_answer(number, &shown.ts));
        Ok(Some(shown.ts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks() -> Hooks {
        let mut hooks = Hooks::default();
        let (user, channel) = ("U1".to_owned(), "C1".to_owned());
        hooks.add(1, Hook { user, channel, original: None, made_at_ms: 0, uses: 0 });
        hooks
    }

    #[test]
    fn a_response_url_can_be_used_five_times() {
        let mut hooks = hooks();
        let codes: Vec<Option<&str>> = (0..7).map(|_| hooks.take(1, 0).err()).collect();
        assert_eq!(codes, [None, None, None, None, None, Some("used_url"), Some("used_url")]);
    }

    #[test]
    fn a_response_url_lives_half_an_hour() {
        let mut hooks = hooks();
        assert!(hooks.take(1, 30 * 60_000).is_ok());
        assert_eq!(hooks.take(1, 30 * 60_000 + 1).err(), Some("expired_url"));
        assert_eq!(hooks.take(2, 0).err(), Some("expired_url"));
    }
}

//! What people do that reaches the app: clicks and commands, over HTTP with a signature or over a socket.

mod gesture;
mod hooks;
mod http;
mod payload;
mod sign;
pub(crate) mod socket;

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::state::{Message, Slack, whisper_of};
use hooks::{Hook, Hooks};
use http::Signed;
use payload::Occasion;
use socket::Sockets;

pub use gesture::{Gesture, Interaction, NothingThere, Outcome, RequestUrls};
pub(crate) use payload::{APP, TEAM, channel_name};
pub use sign::{SIGNING_SECRET, Signing};
pub use socket::SocketTrouble;

/// How long an app has to acknowledge. <https://docs.slack.dev/interactivity/handling-user-interaction#acknowledgment_response>
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything that interactions need.
#[derive(Debug, Default)]
pub(crate) struct Interactions {
    state: Mutex<State>,
    pub(crate) sockets: Sockets,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    base: String,
    urls: Option<RequestUrls>,
    patience: Option<Duration>,
    numbers: u64,
    hooks: Hooks,
    done: Vec<Interaction>,
}

/// What is sent for a gesture, before it is known which way.
struct Errand {
    gesture: Gesture,
    occasion: Occasion,
    hook: Hook,
    what: Sent,
}

enum Sent {
    Click(Value),
    Command(Vec<(&'static str, String)>),
}

impl Slack {
    pub(crate) fn interactions<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.interactions.state.lock())
    }

    pub(crate) fn base(&self) -> String {
        self.interactions(|state| state.base.clone())
    }

    /// From where the stand-in can be reached.
    pub(crate) fn opened_at(&self, base: String) {
        self.interactions(|state| state.base = base);
    }

    /// Requests go there from now on, and Socket Mode is off; `None`: Socket Mode is on.
    pub fn set_request_urls(&self, urls: Option<RequestUrls>) {
        if urls.is_some() {
            self.trouble_sockets(SocketTrouble::Disable);
        }
        self.interactions(|state| state.urls = urls);
    }

    /// An app has so long in place of three seconds, so that tests of lateness needn't wait.
    pub fn set_patience(&self, patience: Duration) {
        self.interactions(|state| state.patience = Some(patience));
    }

    /// Everything that people did, in order.
    #[must_use]
    pub fn gestures(&self) -> Vec<Interaction> {
        self.interactions(|state| state.done.clone())
    }

    /// A person clicks on a button that they see.
    ///
    /// # Errors
    /// [`NothingThere`]: they see no such button.
    pub async fn click(
        &self,
        channel: &str,
        ts: &str,
        action_id: &str,
        user: &str,
        signing: Signing,
    ) -> Result<Interaction, NothingThere> {
        let message = self.shown_to(user, channel, ts).ok_or(NothingThere)?;
        let button = payload::find(&message, action_id).ok_or(NothingThere)?;
        let (occasion, hook) = self.occasion("actions", channel, user, Some(ts));
        let what = Sent::Click(payload::click(&occasion, &message, &button));
        let [channel, ts, action_id, user] = [channel, ts, action_id, user].map(str::to_owned);
        let gesture = Gesture::Click { channel, ts, action_id, user };
        Ok(self.carry_out(Errand { gesture, occasion, hook, what }, signing).await)
    }

    /// A person enters a slash command in a channel, such as `/ronda` and `status`.
    pub async fn slash(&self, channel: &str, command: &str, text: &str, user: &str, signing: Signing) -> Interaction {
        let (occasion, hook) = self.occasion("commands", channel, user, None);
        let what = Sent::Command(payload::command(&occasion, command, text));
        let [channel, command, text, user] = [channel, command, text, user].map(str::to_owned);
        let gesture = Gesture::Command { channel, command, text, user };
        self.carry_out(Errand { gesture, occasion, hook, what }, signing).await
    }

    /// A person does something.
    ///
    /// # Errors
    /// [`NothingThere`]: there is no such button to be seen.
    pub async fn perform(&self, gesture: &Gesture, signing: Signing) -> Result<Interaction, NothingThere> {
        match gesture {
            Gesture::Click { channel, ts, action_id, user } => self.click(channel, ts, action_id, user, signing).await,
            Gesture::Command { channel, command, text, user } => {
                Ok(self.slash(channel, command, text, user, signing).await)
            }
        }
    }

    /// Sends it, and shows the person what came of it.
    async fn carry_out(&self, errand: Errand, signing: Signing) -> Interaction {
        let (urls, patience) = self.interactions(|state| (state.urls.clone(), state.patience.unwrap_or(PATIENCE)));
        let started = Instant::now();
        let (delivered, sent) = match urls {
            Some(urls) => {
                let signed = self.signed(&urls, &errand.what, signing);
                (over_http(&signed, patience).await, Some(signed))
            }
            None => (self.over_socket(&errand.what, patience).await, None),
        };
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (outcome, told) = self.conclude(&errand, delivered);
        let Errand { gesture, occasion, .. } = errand;
        let interaction = Interaction { gesture, outcome, took_ms, response_url: occasion.response_url, told, sent };
        self.interactions(|state| state.done.push(interaction.clone()));
        self.changed();
        interaction
    }

    /// Sends the very same request again, signature and all, as one who listened would; `None`: it went over a socket.
    pub async fn replay(&self, interaction: &Interaction) -> Option<Outcome> {
        let patience = self.interactions(|state| state.patience.unwrap_or(PATIENCE));
        let delivered = over_http(interaction.sent.as_ref()?, patience).await;
        Some(delivered.map_or_else(|outcome| outcome, |_| Outcome::Acknowledged))
    }

    /// What Slack makes up for an interaction, with its response URL.
    fn occasion(&self, kind: &str, channel: &str, user: &str, original: Option<&str>) -> (Occasion, Hook) {
        let now_ms = self.now_ms();
        let [channel, user] = [channel, user].map(str::to_owned);
        let original = original.map(str::to_owned);
        let hook = Hook { user: user.clone(), channel: channel.clone(), original, made_at_ms: now_ms, uses: 0 };
        self.interactions(|state| {
            state.numbers += 1;
            let number = state.numbers;
            state.hooks.add(number, hook.clone());
            let response_url = format!("{}/{kind}/{TEAM}/{number}", state.base);
            let trigger_id = format!("{now_ms}.{number}.stand-in");
            (Occasion { number, user, channel, response_url, trigger_id, now_ms }, hook)
        })
    }

    fn signed(&self, urls: &RequestUrls, what: &Sent, signing: Signing) -> Signed {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let (url, body) = match what {
            Sent::Click(payload) => (&urls.interactivity, form.append_pair("payload", &payload.to_string()).finish()),
            Sent::Command(fields) => (&urls.commands, form.extend_pairs(fields).finish()),
        };
        Signed { url: url.clone(), signature: sign::signature(signing, self.now_ms(), &body), body }
    }

    async fn over_socket(&self, what: &Sent, patience: Duration) -> Result<Answer, Outcome> {
        let (kind, payload) = match what {
            Sent::Click(payload) => ("interactive", payload.clone()),
            Sent::Command(fields) => {
                let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str())));
                ("slash_commands", Value::Object(fields.collect()))
            }
        };
        self.interactions.sockets.deliver(kind, payload, patience).await.map(Answer::Payload)
    }

    /// Shows the person what came of it.
    fn conclude(&self, errand: &Errand, delivered: Result<Answer, Outcome>) -> (Outcome, Option<String>) {
        let (outcome, told) = match (delivered, &errand.gesture) {
            // A click is only acknowledged: what else its answer says is passed over.
            (Ok(_), Gesture::Click { .. }) => (Outcome::Acknowledged, None),
            (Ok(answer), Gesture::Command { command, text, .. }) => {
                match self.answer_command(errand, &answer, &format!("{command} {text}")) {
                    Ok(told) => (Outcome::Acknowledged, told),
                    Err(code) => (Outcome::BadAnswer { code }, None),
                }
            }
            (Err(outcome), _) => (outcome, None),
        };
        let Some(error) = outcome.error() else { return (outcome, told) };
        let text = match &errand.gesture {
            Gesture::Command { command, .. } => format!("{command} failed with the error \"{error}\""),
            Gesture::Click { .. } => format!("⚠ Ronda is not responding ({error})"),
        };
        let author = Some("Slackbot".to_owned());
        let message = Message { author, text: text.clone(), ..Message::default() };
        self.whisper(&errand.hook.channel, whisper_of(message, &errand.hook.user));
        (outcome, Some(text))
    }

    /// The answer that comes with the acknowledgement, if there is one; the command is shown to all when its answer is.
    fn answer_command(&self, errand: &Errand, answer: &Answer, typed: &str) -> Result<Option<String>, String> {
        let Some(arguments) = answer.arguments() else { return Ok(None) };
        let hook = &errand.hook;
        if arguments.get("response_type").is_some_and(|kind| kind == "in_channel") {
            self.person_posts(&hook.user, &hook.channel, None, typed.trim_end());
        }
        let ts = self.say(errand.occasion.number, hook, &arguments).map_err(|refused| refused.code.to_owned())?;
        let shown = ts.and_then(|ts| self.shown_to(&hook.user, &hook.channel, &ts));
        Ok(shown.map(|message| crate::render::message_as_text(&message)))
    }
}

/// What the app said with its acknowledgement.
enum Answer {
    Body(axum::body::Bytes),
    Payload(Value),
}

impl Answer {
    /// As a message: JSON is one, anything else is its text.
    fn arguments(&self) -> Option<Map<String, Value>> {
        match self {
            Self::Body(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let plain = || Map::from_iter([("text".to_owned(), Value::from(text.trim()))]);
                (!text.trim().is_empty()).then(|| serde_json::from_str(&text).unwrap_or_else(|_| plain()))
            }
            Self::Payload(payload) => payload.as_object().filter(|payload| !payload.is_empty()).cloned(),
        }
    }
}

async fn over_http(signed: &Signed, patience: Duration) -> Result<Answer, Outcome> {
    match tokio::time::timeout(patience, http::post(signed)).await {
        Err(_) => Err(Outcome::TooLate),
        Ok(Err(why)) => Err(Outcome::Unreachable { why }),
        Ok(Ok((200, body))) => Ok(Answer::Body(body)),
        Ok(Ok((status, _))) => Err(Outcome::Refused { status }),
    }
}

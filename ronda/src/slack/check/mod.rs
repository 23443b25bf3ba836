//! `slack check`: whether Slack takes what Ronda will send, tried before a night depends on it.

mod advice;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use reqwest::{Client, Response, header};
use ronda_host::arguments::draft;
use ronda_host::config::Settings;
use ronda_host::exit::{Code, Failure, chain};
use ronda_host::slack::SCOPES;
use ronda_runtime::Secret;
use serde_json::{Value, json};

use self::advice::advice;
use crate::cli::SlackCheckArguments;

/// How far the clocks may be apart, in seconds: signatures are refused from five minutes on.
const MAX_SKEW_SECONDS: i64 = 60;
const TIMEOUT: Duration = Duration::from_secs(10);
const TEST_MESSAGE: &str = "Ronda checks whether it can post here. This message goes away at once.";

/// One thing that was tried.
#[derive(Debug)]
struct Finding {
    what: String,
    /// What to do about it; `None`: it is fine.
    fix: Option<String>,
}

impl Finding {
    fn fine(what: impl Into<String>) -> Self {
        Self { what: what.into(), fix: None }
    }

    fn bad(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: Some(fix.into()) }
    }

    fn line(&self) -> String {
        match &self.fix {
            None => format!("ok     {}\n", self.what),
            Some(fix) => format!("WRONG  {}\n       {fix}\n", self.what),
        }
    }
}

/// Tries everything that the settings need of Slack.
///
/// # Errors
/// What is wrong, each with what to do.
pub(super) async fn run(arguments: &SlackCheckArguments) -> Result<String, Failure> {
    let settings = draft(&arguments.place, Vec::new())?.for_sending().finish()?.settings;
    if settings.slack.bot_token.is_empty() && settings.slack.app_token.is_empty() {
        let what = "There is nothing to check: neither slack.bot_token (SLACK_BOT_TOKEN) nor slack.app_token (SLACK_APP_TOKEN) is set.";
        return Err(Failure::new(Code::Configuration, what));
    }
    let findings = check(&settings).await?;
    let lines: String = findings.iter().map(Finding::line).collect();
    match findings.iter().filter(|finding| finding.fix.is_some()).count() {
        0 => Ok(format!("{lines}Slack takes what Ronda sends.\n")),
        wrong => Err(Failure::new(Code::Refused, format!("{wrong} of {} are wrong.\n{lines}", findings.len()))),
    }
}

async fn check(settings: &Settings) -> Result<Vec<Finding>, Failure> {
    let slack = &settings.slack;
    let api = Api::new(&slack.api_url)?;
    let mut findings = Vec::new();
    if !slack.bot_token.is_empty() {
        let (told, head) = match api.call("auth.test", &slack.bot_token, &json!({})).await {
            Ok(answer) => answer,
            Err(why) => return Err(unreachable(&api, &why)),
        };
        findings.push(head.clock(SystemTime::now()));
        match told {
            Ok(body) => {
                let name = |key: &str| body[key].as_str().unwrap_or("?").to_owned();
                findings.push(Finding::fine(format!("the bot's token: {} in {}", name("user"), name("team"))));
                findings.extend(head.scopes());
                for channel in channels(settings) {
                    findings.extend(posts(&api, &slack.bot_token, &channel).await);
                }
            }
            Err(code) => {
                findings.push(Finding::bad(format!("the bot's token: {code}"), advice("auth.test", &code, None)));
            }
        }
    }
    if !slack.app_token.is_empty() {
        let method = "apps.connections.open";
        findings.push(match api.call(method, &slack.app_token, &json!({})).await {
            Ok((Ok(_), _)) => Finding::fine("Socket Mode: a connection may be opened"),
            Ok((Err(code), _)) => Finding::bad(format!("Socket Mode: {code}"), advice(method, &code, None)),
            Err(why) => return Err(unreachable(&api, &why)),
        });
    }
    Ok(findings)
}

/// The channels of the settings that are Slack's, each once.
fn channels(settings: &Settings) -> BTreeSet<String> {
    let boards = settings.boards.iter().map(|board| &board.channel);
    let routes = settings.routes.iter().map(|route| &route.channel);
    let all = boards.chain(routes).chain([&settings.slack.channel, &settings.notifier.admin_channel]);
    // An id has no colon: `webhook:NAME` and `mail:NAME` are elsewhere.
    all.filter(|channel| !channel.is_empty() && !channel.contains(':')).cloned().collect()
}

/// Posts a message, reads the channel, and takes the message away again.
async fn posts(api: &Api, token: &Secret, channel: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut step = |name: &str, method: &str, outcome: &Outcome| match outcome {
        Ok((Ok(_), _)) => findings.push(Finding::fine(format!("{channel}: {name}"))),
        Ok((Err(code), _)) => {
            findings.push(Finding::bad(format!("{channel}: {name}: {code}"), advice(method, code, Some(channel))));
        }
        Err(why) => findings.push(Finding::bad(format!("{channel}: {name}: {why}"), "try again")),
    };
    let posted = api.call("chat.postMessage", token, &json!({"channel": channel, "text": TEST_MESSAGE})).await;
    step("posts", "chat.postMessage", &posted);
    let read = api.call("conversations.history", token, &json!({"channel": channel, "limit": 1})).await;
    step("reads", "conversations.history", &read);
    if let Ok((Ok(message), _)) = &posted {
        let gone = json!({"channel": message["channel"], "ts": message["ts"]});
        step("deletes", "chat.delete", &api.call("chat.delete", token, &gone).await);
    }
    findings
}

fn unreachable(api: &Api, why: &str) -> Failure {
    let what =
        format!("{} was not reached: {why}. This machine must reach it (through a proxy: set HTTPS_PROXY).", api.base);
    Failure::new(Code::Unreachable, what)
}

/// Slack's yes or its code, with the answer's head; or why there was no answer.
type Outcome = Result<(Result<Value, String>, Head), String>;

struct Api {
    client: Client,
    base: String,
}

/// What an answer's head says.
#[derive(Debug, Default)]
struct Head {
    date: Option<String>,
    scopes: Option<String>,
}

impl Api {
    fn new(api_url: &str) -> Result<Self, Failure> {
        ronda_notifier::slack::install_tls_provider();
        let mut builder = Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        if api_url.starts_with("http://") {
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| Failure::other(chain(&error)))?;
        Ok(Self { client, base: api_url.trim_end_matches('/').to_owned() })
    }

    async fn call(&self, method: &str, token: &Secret, arguments: &Value) -> Outcome {
        // Forms are taken by every method.
        let form: Vec<(&String, String)> = arguments
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        let request = self.client.post(format!("{}/{method}", self.base)).bearer_auth(token.expose()).form(&form);
        let answer = request.send().await.map_err(|error| chain(&error.without_url()))?;
        let head = Head::of(&answer);
        let status = answer.status();
        let body: Value = answer.json().await.map_err(|_| format!("{method} answered {status} without JSON"))?;
        if body["ok"] == true {
            return Ok((Ok(body), head));
        }
        Ok((Err(body["error"].as_str().unwrap_or("no reason given").to_owned()), head))
    }
}

impl Head {
    fn of(answer: &Response) -> Self {
        let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { date: text(header::DATE.as_str()), scopes: text("x-oauth-scopes") }
    }

    fn clock(&self, now: SystemTime) -> Finding {
        let date = self.date.as_deref().and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        let now = jiff::Timestamp::try_from(now).unwrap_or_default();
        match date.map(|date| now.as_second() - date.timestamp().as_second()) {
            None => Finding::fine("the clock: Slack does not tell the time"),
            Some(skew) if skew.abs() <= MAX_SKEW_SECONDS => {
                Finding::fine(format!("the clock: {} s from Slack's", skew.abs()))
            }
            Some(skew) => {
                let way = if skew > 0 { "ahead of" } else { "behind" };
                let fix = "set this machine's clock (NTP): Slack's signatures are refused five minutes off, and times in messages are wrong";
                Finding::bad(format!("the clock: {} s {way} Slack's", skew.abs()), fix)
            }
        }
    }

    fn scopes(&self) -> Vec<Finding> {
        let Some(scopes) = &self.scopes else { return vec![Finding::fine("the scopes: Slack does not tell them")] };
        let has: BTreeSet<&str> = scopes.split(',').map(str::trim).collect();
        let missing: Vec<Finding> = SCOPES
            .iter()
            .filter(|(scope, _)| !has.contains(scope))
            .map(|(scope, why)| {
                let fix =
                    format!("add it (OAuth & Permissions, Scopes) and install the app anew: it is needed to {why}");
                Finding::bad(format!("the scope {scope} is missing"), fix)
            })
            .collect();
        if missing.is_empty() { vec![Finding::fine("the scopes")] } else { missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(date: &str, scopes: &str) -> Head {
        Head { date: Some(date.to_owned()), scopes: Some(scopes.to_owned()) }
    }

    #[test]
    fn a_clock_that_is_off_and_a_scope_that_is_missing_are_told_with_what_to_do() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_443_535);
        let head = head("Mon, 23 Nov 2026 14:18:55 GMT", "chat:write,channels:history,commands");
        assert_eq!(head.clock(now).fix, None, "{:?}", head.clock(now));
        let late = head.clock(now + Duration::from_secs(301));
        assert!(late.what.contains("301 s ahead of") && late.fix.is_some(), "{late:?}");
        let scopes = head.scopes();
        assert!(
            scopes.len() == 1 && scopes[0].what.contains("groups:history") && scopes[0].fix.is_some(),
            "{scopes:?}"
        );
    }

    #[tokio::test]
    async fn slack_is_tried_and_nothing_is_left_behind() {
        use ronda_slack_standin::{StandIn, TOKEN};

        let slack = StandIn::start().await.unwrap();
        let mut settings = Settings::default();
        settings.slack.api_url = slack.api_url();
        settings.slack.channel = "C1".into();
        settings.slack.bot_token = Secret::new(TOKEN);
        let findings = check(&settings).await.unwrap();
        assert!(findings.iter().all(|finding| finding.fix.is_none()), "{findings:?}");
        for wanted in ["C1: posts", "C1: reads", "C1: deletes"] {
            assert!(findings.iter().any(|finding| finding.what == wanted), "{wanted}: {findings:?}");
        }
        assert!(slack.slack().messages("C1").is_empty());
        settings.slack.bot_token = Secret::new("xoxb-another");
        let findings = check(&settings).await.unwrap();
        let wrong: Vec<&str> = findings.iter().filter_map(|finding| finding.fix.as_deref()).collect();
        assert!(wrong.len() == 1 && wrong[0].contains("SLACK_BOT_TOKEN"), "{findings:?}");
    }

    #[test]
    fn each_channel_of_slack_is_tried_once() {
        let mut settings = Settings::default();
        settings.slack.channel = "C1".into();
        settings.notifier.admin_channel = "webhook:ops".into();
        settings.boards = ["C1", "C2", "mail:ops", ""]
            .into_iter()
            .map(|channel| ronda_host::config::Board { channel: channel.into(), ..Default::default() })
            .collect();
        settings.routes = ["C2", "C3", "webhook:ops", ""]
            .into_iter()
            .map(|channel| ronda_host::config::Route { channel: channel.into(), ..Default::default() })
            .collect();
        assert_eq!(channels(&settings).into_iter().collect::<Vec<_>>(), ["C1", "C2", "C3"]);
    }
}

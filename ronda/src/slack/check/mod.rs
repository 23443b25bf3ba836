//! `slack check`: whether Slack takes what Ronda will send, tried before a night depends on it.

mod advice;
mod api;

use std::collections::BTreeSet;
use std::time::SystemTime;

use ronda_host::arguments::draft;
use ronda_host::config::{NamedChannel, Settings};
use ronda_host::exit::{Code, Failure};
use ronda_host::slack::SCOPES;
use ronda_runtime::Secret;
use serde_json::json;

use self::advice::advice;
use self::api::{Api, Head, LIMITED, Outcome};
use crate::cli::SlackCheckArguments;

/// How far the clocks may be apart, in seconds: signatures are refused from five minutes on.
const MAX_SKEW_SECONDS: i64 = 60;
const TEST_MESSAGE: &str = "Ronda checks whether it can post here. This message goes away at once.";

/// One thing that was looked at.
#[derive(Debug)]
struct Finding {
    what: String,
    is: Is,
}

/// How it is.
#[derive(Debug)]
enum Is {
    Fine,
    /// With what to do about it.
    Wrong(String),
    /// Slack did not let us, for longer than we wait. With what to do.
    Untried(String),
}

impl Finding {
    fn fine(what: impl Into<String>) -> Self {
        Self { what: what.into(), is: Is::Fine }
    }

    fn bad(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), is: Is::Wrong(fix.into()) }
    }

    /// Of what a method of Slack's refused with a code.
    fn refused(what: &str, method: &str, code: &str, channel: Option<&str>) -> Self {
        let fix = advice(method, code, channel);
        if code == LIMITED {
            Self { what: what.to_owned(), is: Is::Untried(fix) }
        } else {
            Self::bad(format!("{what}: {code}"), fix)
        }
    }

    fn line(&self) -> String {
        match &self.is {
            Is::Fine => format!("ok         {}\n", self.what),
            Is::Wrong(fix) => format!("WRONG      {}\n           {fix}\n", self.what),
            Is::Untried(fix) => format!("not tried  {}\n           {fix}\n", self.what),
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
    summed(&findings)
}

fn summed(findings: &[Finding]) -> Result<String, Failure> {
    let lines: String = findings.iter().map(Finding::line).collect();
    let count = |is: fn(&Is) -> bool| findings.iter().filter(|finding| is(&finding.is)).count();
    let (wrong, untried) = (count(|is| matches!(is, Is::Wrong(_))), count(|is| matches!(is, Is::Untried(_))));
    let told = match (wrong, untried) {
        (0, 0) => return Ok(format!("{lines}Slack takes what Ronda sends.\n")),
        (wrong, 0) => format!("{wrong} of {} are wrong.", findings.len()),
        (0, untried) => format!("{untried} of {} were not tried; the others are fine.", findings.len()),
        (wrong, untried) => format!("{wrong} of {} are wrong, and {untried} were not tried.", findings.len()),
    };
    Err(Failure::new(Code::Refused, format!("{told}\n{lines}")))
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
            Err(code) => findings.push(Finding::refused("the bot's token", "auth.test", &code, None)),
        }
    }
    if !slack.app_token.is_empty() {
        let method = "apps.connections.open";
        findings.push(match api.call(method, &slack.app_token, &json!({})).await {
            Ok((Ok(_), _)) => Finding::fine("Socket Mode: a connection may be opened"),
            Ok((Err(code), _)) => Finding::refused("Socket Mode", method, &code, None),
            Err(why) => return Err(unreachable(&api, &why)),
        });
    }
    Ok(findings)
}

/// The channels of the settings that are Slack's, each once.
fn channels(settings: &Settings) -> BTreeSet<String> {
    let all = settings.channels().into_iter().filter(NamedChannel::is_slacks);
    all.map(|named| named.channel.to_owned()).collect()
}

/// Reads the channel, posts a message, and takes it away again.
async fn posts(api: &Api, token: &Secret, channel: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut step = |name: &str, method: &str, outcome: &Outcome| match outcome {
        Ok((Ok(_), _)) => findings.push(Finding::fine(format!("{channel}: {name}"))),
        Ok((Err(code), _)) => {
            findings.push(Finding::refused(&format!("{channel}: {name}"), method, code, Some(channel)));
        }
        Err(why) => findings.push(Finding::bad(format!("{channel}: {name}: {why}"), "try again")),
    };
    // Read first: the message is to be there for as short a time as can be, and Slack may ask for patience before each call.
    let read = api.call("conversations.history", token, &json!({"channel": channel, "limit": 1})).await;
    step("reads", "conversations.history", &read);
    let posted = api.call("chat.postMessage", token, &json!({"channel": channel, "text": TEST_MESSAGE})).await;
    step("posts", "chat.postMessage", &posted);
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

impl Head {
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
    use std::time::Duration;

    use ronda_slack_standin::{Fault, StandIn, TOKEN};

    use super::api::MAX_SILENCE;
    use super::*;

    fn head(date: &str, scopes: &str) -> Head {
        Head { date: Some(date.to_owned()), scopes: Some(scopes.to_owned()), retry_after: None }
    }

    /// What to do about a finding.
    fn fix(finding: &Finding) -> Option<&str> {
        match &finding.is {
            Is::Fine => None,
            Is::Wrong(fix) | Is::Untried(fix) => Some(fix),
        }
    }

    fn settings(slack: &StandIn) -> Settings {
        let mut settings = Settings::default();
        settings.slack.api_url = slack.api_url();
        settings.slack.channel = "C1".into();
        settings.slack.bot_token = Secret::new(TOKEN);
        settings
    }

    #[test]
    fn a_clock_that_is_off_and_a_scope_that_is_missing_are_told_with_what_to_do() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_443_535);
        let head = head("Mon, 23 Nov 2026 14:18:55 GMT", "chat:write,channels:history,commands");
        assert_eq!(fix(&head.clock(now)), None, "{:?}", head.clock(now));
        let late = head.clock(now + Duration::from_secs(301));
        assert!(late.what.contains("301 s ahead of") && fix(&late).is_some(), "{late:?}");
        let scopes = head.scopes();
        assert!(
            scopes.len() == 1 && scopes[0].what.contains("groups:history") && fix(&scopes[0]).is_some(),
            "{scopes:?}"
        );
    }

    #[tokio::test]
    async fn slack_is_tried_and_nothing_is_left_behind() {
        let slack = StandIn::start().await.unwrap();
        let mut settings = settings(&slack);
        let findings = check(&settings).await.unwrap();
        assert!(summed(&findings).is_ok(), "{findings:?}");
        for wanted in ["C1: posts", "C1: reads", "C1: deletes"] {
            assert!(findings.iter().any(|finding| finding.what == wanted), "{wanted}: {findings:?}");
        }
        assert!(slack.slack().messages("C1").is_empty());
        settings.slack.bot_token = Secret::new("xoxb-another");
        let findings = check(&settings).await.unwrap();
        let wrong: Vec<&str> = findings.iter().filter_map(fix).collect();
        assert!(wrong.len() == 1 && wrong[0].contains("SLACK_BOT_TOKEN"), "{findings:?}");
    }

    #[tokio::test]
    async fn slack_is_waited_for_when_it_is_asked_too_often() {
        let slack = StandIn::start().await.unwrap();
        for method in ["auth.test", "conversations.history", "chat.delete"] {
            slack.slack().fail_next(method, Fault::RateLimited { retry_after_seconds: 1 });
        }
        let findings = check(&settings(&slack)).await.unwrap();
        assert!(summed(&findings).is_ok(), "{findings:?}");
        assert!(slack.slack().messages("C1").is_empty());
    }

    #[tokio::test]
    async fn what_slack_would_not_answer_for_long_is_not_tried_and_not_called_wrong() {
        let slack = StandIn::start().await.unwrap();
        let long = Fault::RateLimited { retry_after_seconds: MAX_SILENCE.as_secs() + 1 };
        slack.slack().fail_always("conversations.history", Some(long.clone()));
        let told = summed(&check(&settings(&slack)).await.unwrap()).unwrap_err().to_string();
        assert!(told.starts_with("1 of 6 were not tried; the others are fine.\n"), "{told}");
        assert!(told.contains("not tried  C1: reads\n           Slack is asked too often"), "{told}");
        // The message is there, and somebody has to know.
        slack.slack().fail_always("chat.delete", Some(long));
        let told = summed(&check(&settings(&slack)).await.unwrap()).unwrap_err().to_string();
        assert!(told.contains("not tried  C1: deletes\n           delete the test message in C1 by hand"), "{told}");
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

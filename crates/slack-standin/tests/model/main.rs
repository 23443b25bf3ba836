//! The stand-in against Python packages that are not ours: Slack's own SDK, `slack_sdk`, and `slackblocks`. `sdk` is an app on that SDK; here
//! both are models for the stand-in's limits.
//!
//! What the stand-in accepts, each of them accepts that knows such blocks. Where they are more patient than the stand-in, both of them, it
//! is said here why: the stand-in may be stricter, for a reason, but never kinder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod cases;
mod sdk;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use ronda_slack_standin::{StandIn, TOKEN};
use serde_json::{Value, json};

/// What only the stand-in refuses, and from where it has that.
const STRICTER: [(&str, &str); 11] = [
    ("text of a message's blocks", "measured by people, not documented: bolt-js#2509"),
    ("table characters", "table block: 10,000 characters over all cells"),
    ("tables of a message", "table block: one a message, only_one_table_allowed"),
    ("a header in mrkdwn", "header block: plain_text only; the models make plain text of it"),
    ("a context of nothing", "invalid_blocks: no fewer than 1 items allowed"),
    ("actions of nothing", "invalid_blocks: no fewer than 1 items allowed"),
    ("two blocks of one id", "block_id should be unique for each message"),
    ("two buttons of one id", "action_id should be unique among all other action_ids in the block"),
    ("a table with an empty cell", "(j) seen refused"),
    ("a table of uneven rows", "(j) seen refused"),
    ("a message of nothing", "chat.postMessage: no_text; the models look at blocks"),
];

/// A script of this folder, with its packages. `None`, said loudly: Python or they can't be had here.
fn python(script: &str) -> Option<Command> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model");
    let folder = match ronda_tools::from_requirements(&here.join("requirements.txt")) {
        Ok(folder) => folder,
        Err(error) => {
            eprintln!("!! SKIPPED: the stand-in against slack_sdk and slackblocks, {script}: {error:#}");
            return None;
        }
    };
    let mut command = Command::new(folder.join("bin/python"));
    command.args(["-W", "ignore"]).arg(here.join(script));
    Some(command)
}

/// What each model says of each message: nothing, why not, or `unknown`.
fn verdicts(messages: &[Value]) -> Option<Vec<[Option<String>; 2]>> {
    let mut command = python("judge.py")?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut told, mut lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    let ask = |message: &Value| {
        writeln!(told, "{message}").unwrap();
        serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap()
    };
    let verdicts = messages.iter().map(ask).collect();
    drop(told);
    assert!(child.wait().unwrap().success());
    Some(verdicts)
}

/// The stand-in's error code, if it refuses the message.
async fn refusal(stand_in: &StandIn, message: &Value) -> Option<String> {
    let mut body = message.clone();
    body["channel"] = json!("C1");
    let url = format!("{}chat.postMessage", stand_in.api_url());
    let answer = reqwest::Client::new().post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["error"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn what_the_stand_in_accepts_other_models_accept_and_where_it_is_stricter_is_said() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stand_in = StandIn::start().await.unwrap();
    let cases = cases::all();
    let messages: Vec<Value> = cases.iter().map(|case| case.message.clone()).collect();
    let mut refusals = Vec::new();
    for case in &cases {
        let refused = refusal(&stand_in, &case.message).await;
        assert_eq!(refused.is_none(), case.within, "{}: {refused:?}", case.name);
        refusals.push(refused);
    }
    let Some(verdicts) = verdicts(&messages) else { return };
    let mut stricter = BTreeSet::new();
    for ((case, refused), [sdk, slackblocks]) in cases.iter().zip(&refusals).zip(&verdicts) {
        let refuses = |model: &Option<String>| model.as_deref().is_some_and(|why| why != "unknown");
        if refused.is_none() {
            assert!(!refuses(sdk), "{}: slack_sdk refuses it: {sdk:?}", case.name);
            assert!(!refuses(slackblocks), "{}: slackblocks refuses it: {slackblocks:?}", case.name);
        } else if !refuses(sdk) && !refuses(slackblocks) {
            stricter.insert(case.name);
        }
    }
    assert_eq!(stricter, STRICTER.iter().map(|(name, _)| *name).collect(), "where the stand-in alone refuses");
}

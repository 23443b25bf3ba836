//! The port's other channels, each against a receiver that is not ours, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod conformance;
mod mail;
mod stranger;
mod webhook;
mod whole;

use ronda_notifier::channel::{About, Content, Link, Metadata, PostRequest, UpdateRequest};

fn metadata(k: &str, revision: u64) -> Metadata {
    Metadata { installation: "here".into(), k: k.into(), generation: 0, revision }
}

fn about() -> About {
    let links = vec![Link { label: "Runbook", url: "https://wiki/billing".into() }];
    About { what: "alert", since_ms: Some(1_795_456_800_000), is_over: false, links }
}

fn content(text: &str) -> Content {
    Content { text: text.into(), plain: format!("{text}\n  Severity  critical"), ..Content::default() }
}

fn post(channel: &str, k: &str, text: &str) -> PostRequest {
    PostRequest {
        channel: channel.into(),
        thread_ts: None,
        content: content(text),
        metadata: metadata(k, 1),
        about: about(),
    }
}

fn update(channel: &str, ts: &str, k: &str, revision: u64, about: About) -> UpdateRequest {
    UpdateRequest {
        channel: channel.into(),
        ts: ts.into(),
        content: content("changed"),
        metadata: metadata(k, revision),
        about,
    }
}

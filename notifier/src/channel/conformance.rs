//! What every channel promises, as tests. Part of the port: an adapter is one when it passes all of them.
//!
//! An adapter's tests implement [`ChannelHarness`] for their service and name it in
//! [`channel_conformance_tests!`](crate::channel_conformance_tests), which makes one test of each case. Cases panic, as tests do. What a
//! channel can't do by its nature is said by its [`Capabilities`](super::Capabilities), and the case then checks only what holds for it.
#![allow(clippy::unwrap_used, reason = "cases panic, as tests do")]

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    About, Channel, ChannelError, ChannelErrorKind, Content, FindRequest, Metadata, PostRequest, Posted, UpdateRequest,
};

/// How the next call is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is carried out, and its answer is lost.
    AnswerLost,
    /// It is refused for what it says.
    Payload,
    /// It is refused because of who or where we are.
    Broken,
    /// It is refused for now.
    NotNow,
}

/// A message as whoever gets it sees it; a receiver that drops repeats is taken at its word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The message's id, as answered to its post.
    pub ts: String,
    /// The id of the message that it is a reply to.
    pub reply_to: Option<String>,
    /// Its first line.
    pub text: String,
}

/// Makes a service of one kind for the cases.
#[async_trait]
pub trait ChannelHarness: Send + Sized {
    /// A new one that nobody has posted to; `None`, and told loudly: it can't be had here.
    async fn start() -> Option<Self>;

    /// The channel.
    fn channel(&self) -> Arc<dyn Channel>;

    /// A destination on it.
    fn place(&self) -> String;

    /// The next call that posts meets this.
    async fn meet(&mut self, trouble: Trouble);

    /// What is seen, oldest first.
    async fn seen(&mut self) -> Vec<Shown>;
}

/// Makes a `#[tokio::test]` of each case for a [`ChannelHarness`](crate::channel::conformance::ChannelHarness).
#[macro_export]
macro_rules! channel_conformance_tests {
    ($harness:ty) => {
        $crate::channel_conformance_tests!(@cases $harness:
            a_channel_says_who_we_are
            a_post_is_seen_once
            a_reply_is_seen_below_its_parent
            an_update_is_seen_where_the_message_is_as_far_as_edits_are
            a_lost_answer_is_ambiguous_and_can_be_settled_with_one_message_seen
            a_refusal_is_certain_and_nothing_is_seen
            a_removal_is_seen_or_refused_for_good
            a_lookup_finds_our_own_and_nothing_else
        );
    };
    (@cases $harness:ty: $($case:ident)+) => {
        $(
            #[tokio::test]
            async fn $case() {
                if let Some(harness) = <$harness as $crate::channel::conformance::ChannelHarness>::start().await {
                    $crate::channel::conformance::$case(harness).await;
                }
            }
        )+
    };
}

fn metadata(k: &str, revision: u64) -> Metadata {
    Metadata { installation: "here".to_owned(), k: k.to_owned(), generation: 0, revision }
}

fn content(text: &str) -> Content {
    Content { text: text.to_owned(), plain: text.to_owned(), ..Content::default() }
}

fn about() -> About {
    About { what: "alert", ..About::default() }
}

fn post(place: &str, k: &str, text: &str) -> PostRequest {
    let (channel, content, metadata) = (place.to_owned(), content(text), metadata(k, 1));
    PostRequest { channel, thread_ts: None, content, metadata, about: about() }
}

fn update(posted: &Posted, k: &str, revision: u64, text: &str) -> UpdateRequest {
    let Posted { channel, ts } = posted.clone();
    UpdateRequest { channel, ts, content: content(text), metadata: metadata(k, revision), about: about() }
}

fn find(place: &str, installation: &str, k: &str) -> FindRequest {
    let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    FindRequest {
        channel: place.to_owned(),
        thread_ts: None,
        installation: installation.to_owned(),
        k: k.to_owned(),
        oldest_ms: now_ms - 3_600_000,
        claimed_ms: (now_ms, now_ms),
    }
}

fn texts(seen: &[Shown]) -> Vec<&str> {
    seen.iter().map(|shown| shown.text.as_str()).collect()
}

/// [`Channel::check`] answers as whom and where we post.
pub async fn a_channel_says_who_we_are<H: ChannelHarness>(harness: H) {
    assert!(!harness.channel().check(&[harness.place()]).await.unwrap().is_empty());
}

/// A post is visible under the id that it was answered with.
pub async fn a_post_is_seen_once<H: ChannelHarness>(mut harness: H) {
    let posted = harness.channel().post(post(&harness.place(), "alert/1", "one")).await.unwrap();
    let seen = harness.seen().await;
    assert_eq!(seen, [Shown { ts: posted.ts, reply_to: None, text: "one".to_owned() }]);
}

/// A reply belongs to the message that it names.
pub async fn a_reply_is_seen_below_its_parent<H: ChannelHarness>(mut harness: H) {
    let (channel, place) = (harness.channel(), harness.place());
    let parent = channel.post(post(&place, "alert/1", "one")).await.unwrap();
    let reply = PostRequest { thread_ts: Some(parent.ts.clone()), ..post(&place, "reply/1", "two") };
    let reply = channel.post(reply).await.unwrap();
    let seen = harness.seen().await;
    let shown = seen.iter().find(|shown| shown.ts == reply.ts).unwrap();
    assert_eq!((shown.reply_to.as_ref(), seen.len()), (Some(&parent.ts), 2), "{seen:?}");
}

/// Where edits are seen there is one message that says the newest; elsewhere what was sent stays, and an update of an alert adds none.
pub async fn an_update_is_seen_where_the_message_is_as_far_as_edits_are<H: ChannelHarness>(mut harness: H) {
    let (channel, place) = (harness.channel(), harness.place());
    let posted = channel.post(post(&place, "alert/1", "one")).await.unwrap();
    channel.update(update(&posted, "alert/1", 2, "two")).await.unwrap();
    // An ambiguous update is made again: that changes nothing.
    channel.update(update(&posted, "alert/1", 2, "two")).await.unwrap();
    let wanted = if channel.manner(&place).capabilities.can_edit { "two" } else { "one" };
    assert_eq!(texts(&harness.seen().await), [wanted]);
}

/// By a lookup, or by the same post once more.
pub async fn a_lost_answer_is_ambiguous_and_can_be_settled_with_one_message_seen<H: ChannelHarness>(mut harness: H) {
    let (channel, place) = (harness.channel(), harness.place());
    harness.meet(Trouble::AnswerLost).await;
    let error = channel.post(post(&place, "alert/1", "one")).await.unwrap_err();
    assert_eq!(error.kind, ChannelErrorKind::Ambiguous, "{error}");
    let ts = if channel.manner(&place).capabilities.can_find {
        let found = channel.find(find(&place, "here", "alert/1")).await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().map(|found| found.ts).collect()
    } else {
        channel.post(post(&place, "alert/1", "one")).await.unwrap().ts
    };
    assert_eq!(harness.seen().await, [Shown { ts, reply_to: None, text: "one".to_owned() }]);
}

/// Each kind of refusal has its class, and leaves nothing behind.
pub async fn a_refusal_is_certain_and_nothing_is_seen<H: ChannelHarness>(mut harness: H) {
    let (channel, place) = (harness.channel(), harness.place());
    let classes: [(Trouble, &[&str]); 3] = [
        (Trouble::Payload, &["payload"]),
        (Trouble::Broken, &["destination_broken"]),
        (Trouble::NotNow, &["not_sent", "rate_limited"]),
    ];
    for (trouble, wanted) in classes {
        harness.meet(trouble).await;
        let error: ChannelError = channel.post(post(&place, "alert/1", "one")).await.unwrap_err();
        assert!(wanted.contains(&error.kind.class()), "{trouble:?}: {error}");
    }
    assert_eq!(harness.seen().await, []);
    channel.post(post(&place, "alert/1", "one")).await.unwrap();
    assert_eq!(texts(&harness.seen().await), ["one"]);
}

/// What can't be taken back says so in the way after which nobody tries again.
pub async fn a_removal_is_seen_or_refused_for_good<H: ChannelHarness>(mut harness: H) {
    let (channel, place) = (harness.channel(), harness.place());
    let posted = channel.post(post(&place, "alert/1", "one")).await.unwrap();
    let removed = channel.delete(&posted.channel, &posted.ts).await;
    if channel.manner(&place).capabilities.can_delete {
        removed.unwrap();
        channel.delete(&posted.channel, &posted.ts).await.expect("one that is gone already counts as removed");
        assert_eq!(harness.seen().await, []);
    } else {
        assert_eq!(removed.unwrap_err().kind.class(), "fixed");
        assert_eq!(texts(&harness.seen().await), ["one"]);
    }
}

/// By installation and key. Where nothing can be looked up the answer is an error, never "there is none".
pub async fn a_lookup_finds_our_own_and_nothing_else<H: ChannelHarness>(harness: H) {
    let (channel, place) = (harness.channel(), harness.place());
    let posted = channel.post(post(&place, "alert/1", "one")).await.unwrap();
    if !channel.manner(&place).capabilities.can_find {
        channel.find(find(&place, "here", "alert/1")).await.unwrap_err();
        return;
    }
    let found = channel.find(find(&place, "here", "alert/1")).await.unwrap();
    assert_eq!(found.iter().map(|found| (&found.ts, found.revision)).collect::<Vec<_>>(), [(&posted.ts, 1)]);
    assert_eq!(channel.find(find(&place, "elsewhere", "alert/1")).await.unwrap(), []);
    assert_eq!(channel.find(find(&place, "here", "alert/2")).await.unwrap(), []);
}

//! The stand-in's own pages: what is to be seen, and deeds of people and of an unkind world.
//!
//! | below `/stand-in/` | |
//! |---|---|
//! | GET `transcript`, `seen` | everything that was to be seen, in order: as text, as JSON |
//! | GET `messages/{channel}` | a channel's messages as they stand, as JSON |
//! | GET `timeline/{channel}`, `page/{channel}` | a channel as a reader sees it: as text, as HTML; `?zone=Asia/Jakarta&user=U1` |
//! | POST `gestures` | a person clicks or commands: a [`Gesture`], with `signing`; answered is what came of it |
//! | GET `gestures` | everything that people did, and what came of it |
//! | PUT, DELETE `request-urls` | where that goes: [`RequestUrls`], else over Socket Mode |
//! | POST `deeds` | something happens: a [`Deed`] |
//! | POST `faults` | calls fail by a [`FaultRule`] |
//! | POST `faults/{method}` | the next call of a method fails: a [`Fault`] |
//! | DELETE `faults` | no call fails any more |

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post, put};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::faults::{Fault, FaultRule};
use crate::interact::{Gesture, RequestUrls, Signing, SocketTrouble};
use crate::render::Reader;
use crate::state::{Place, Seen, Slack};

pub(super) fn router() -> Router<Arc<Slack>> {
    Router::new()
        .route("/stand-in/transcript", get(transcript))
        .route("/stand-in/seen", get(seen))
        .route("/stand-in/messages/{channel}", get(messages))
        .route("/stand-in/timeline/{channel}", get(timeline))
        .route("/stand-in/page/{channel}", get(page))
        .route("/stand-in/faults", post(rule).delete(no_faults))
        .route("/stand-in/faults/{method}", post(fault))
        .route("/stand-in/deeds", post(deed))
        .route("/stand-in/gestures", get(gestures).post(gesture))
        .route("/stand-in/request-urls", put(request_urls).delete(no_request_urls))
}

/// Something that happens in the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "deed")]
pub enum Deed {
    /// A person writes.
    Post {
        /// Who.
        user: String,
        /// Where.
        channel: String,
        /// In which thread.
        #[serde(default)]
        thread_ts: Option<String>,
        /// What.
        text: String,
    },
    /// A person deletes a message.
    Delete {
        /// Where.
        channel: String,
        /// Which.
        ts: String,
    },
    /// A person reacts to a message.
    React {
        /// Who.
        user: String,
        /// Where.
        channel: String,
        /// To which.
        ts: String,
        /// Its name, without colons.
        emoji: String,
    },
    /// A channel is archived, made private, left, or all of this undone.
    SetPlace {
        /// Which.
        channel: String,
        /// What it is now.
        place: Place,
    },
    /// The app gets a scope or loses it.
    SetScope {
        /// Which.
        scope: String,
        /// Whether it has it now.
        granted: bool,
    },
    /// The token is refused with a code such as `token_revoked`, or taken again.
    RefuseToken {
        /// The code; none: it is taken.
        code: Option<String>,
    },
    /// Posts appear in the history so much later.
    LagHistory {
        /// Milliseconds.
        lag_ms: u64,
    },
    /// Messages that are older can't be edited.
    CloseEditWindow {
        /// Milliseconds; none: all can.
        window_ms: Option<u64>,
    },
    /// Something happens to all Socket Mode connections.
    Sockets {
        /// What.
        trouble: SocketTrouble,
    },
    /// Time passes.
    Advance {
        /// Milliseconds.
        by_ms: u64,
    },
}

impl Slack {
    /// Lets something happen; `false`: there is nothing that it could happen to.
    pub fn happens(&self, deed: &Deed) -> bool {
        match deed {
            Deed::Post { user, channel, thread_ts, text } => {
                self.person_posts(user, channel, thread_ts.as_deref(), text);
            }
            Deed::Delete { channel, ts } => return self.delete_by_hand(channel, ts),
            Deed::React { user, channel, ts, emoji } => return self.person_reacts(user, channel, ts, emoji),
            Deed::SetPlace { channel, place } => self.set_place(channel, *place),
            Deed::SetScope { scope, granted } => self.set_scope(scope, *granted),
            Deed::RefuseToken { code } => self.set_token_refused(code.as_deref()),
            Deed::LagHistory { lag_ms } => self.set_history_lag(Duration::from_millis(*lag_ms)),
            Deed::CloseEditWindow { window_ms } => self.set_edit_window(window_ms.map(Duration::from_millis)),
            Deed::Sockets { trouble } => return self.trouble_sockets(*trouble),
            Deed::Advance { by_ms } => self.advance(Duration::from_millis(*by_ms)),
        }
        true
    }
}

async fn deed(State(slack): State<Arc<Slack>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Deed>(&body) {
        Ok(deed) if slack.happens(&deed) => StatusCode::NO_CONTENT.into_response(),
        Ok(_) => (StatusCode::NOT_FOUND, "nothing there to happen to").into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// What a person does, and how truly it is signed.
#[derive(Deserialize)]
struct Performed {
    #[serde(flatten)]
    gesture: Gesture,
    #[serde(default)]
    signing: Signing,
}

async fn gesture(State(slack): State<Arc<Slack>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Performed>(&body) {
        Ok(Performed { gesture, signing }) => match slack.perform(&gesture, signing).await {
            Ok(interaction) => axum::Json(interaction).into_response(),
            Err(_) => (StatusCode::NOT_FOUND, "no such button is to be seen").into_response(),
        },
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn gestures(State(slack): State<Arc<Slack>>) -> Response {
    axum::Json(slack.gestures()).into_response()
}

async fn request_urls(State(slack): State<Arc<Slack>>, body: Bytes) -> Response {
    planned(serde_json::from_slice(&body), |urls: RequestUrls| slack.set_request_urls(Some(urls)))
}

async fn no_request_urls(State(slack): State<Arc<Slack>>) -> StatusCode {
    slack.set_request_urls(None);
    StatusCode::NO_CONTENT
}

async fn transcript(State(slack): State<Arc<Slack>>) -> String {
    let line = |seen: &Seen| {
        let seconds = seen.at_ms / 1_000 % 86_400;
        let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
        format!("── {clock} UTC  {:?} in {} ({})\n{}\n", seen.kind, seen.channel, seen.ts, seen.text)
    };
    slack.seen().iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn seen(State(slack): State<Arc<Slack>>) -> Response {
    axum::Json(slack.seen()).into_response()
}

async fn messages(State(slack): State<Arc<Slack>>, Path(channel): Path<String>) -> Response {
    axum::Json(slack.messages(&channel)).into_response()
}

/// Whose eyes a page is seen with.
#[derive(Deserialize)]
struct Eyes {
    /// A zone such as `Asia/Jakarta`; UTC when none is said.
    zone: Option<String>,
    /// Who; what is only for others is left out then.
    user: Option<String>,
}

impl Eyes {
    fn reader(&self, slack: &Slack) -> Result<Reader, (StatusCode, String)> {
        let zone = self.zone.as_deref().unwrap_or("UTC");
        let reader = Reader::new(zone, slack.now_ms())
            .map_err(|error| (StatusCode::BAD_REQUEST, format!("zone {zone:?}: {error}")))?;
        Ok(self.user.iter().fold(reader, |reader, user| reader.as_user(user)))
    }
}

async fn timeline(
    State(slack): State<Arc<Slack>>,
    Path(channel): Path<String>,
    Query(eyes): Query<Eyes>,
) -> Result<String, (StatusCode, String)> {
    Ok(slack.timeline(&channel, &eyes.reader(&slack)?))
}

async fn page(
    State(slack): State<Arc<Slack>>,
    Path(channel): Path<String>,
    Query(eyes): Query<Eyes>,
) -> Result<Html<String>, (StatusCode, String)> {
    Ok(Html(slack.page(&channel, &eyes.reader(&slack)?)))
}

async fn rule(State(slack): State<Arc<Slack>>, body: Bytes) -> Response {
    planned(serde_json::from_slice(&body), |rule: FaultRule| slack.fail(rule))
}

async fn fault(State(slack): State<Arc<Slack>>, Path(method): Path<String>, body: Bytes) -> Response {
    planned(serde_json::from_slice(&body), |fault: Fault| slack.fail_next(&method, fault))
}

fn planned<T>(read: serde_json::Result<T>, plan: impl FnOnce(T)) -> Response {
    match read {
        Ok(value) => {
            plan(value);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, axum::Json(json!({"error":error.to_string()}))).into_response(),
    }
}

async fn no_faults(State(slack): State<Arc<Slack>>) -> StatusCode {
    slack.fail_no_more();
    StatusCode::NO_CONTENT
}

//! What is said of one request, where and when.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::error;

use super::answer::Answer;
use super::http::Replies;
use super::metrics::SlackMetrics;

/// Most answers that are being said at `response_url`s at once. Each takes a moment, unless Slack is slow or away.
const MAX_VOICES: usize = 512;

/// What came of the work.
pub(super) struct Done {
    pub(super) answer: Answer,
    /// Whether the message that was clicked on will show it, so that nothing has to be said.
    pub(super) shows: bool,
}

impl From<Answer> for Done {
    fn from(answer: Answer) -> Self {
        Self { answer, shows: false }
    }
}

/// How many may speak at once.
#[derive(Clone)]
pub(super) struct Voices(Arc<Semaphore>);

/// Leave to speak, given back when it is dropped.
pub(super) type Voice = OwnedSemaphorePermit;

impl Voices {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_VOICES)))
    }

    /// A voice; `None`: too many are speaking.
    pub(super) fn raise(&self) -> Option<Voice> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}

/// What is said of one request, and where.
pub(super) struct Conversation {
    /// Slack shows no answer to a click: all that is to be said is said at the `response_url`.
    pub(super) is_click: bool,
    pub(super) replies: Option<Replies>,
    pub(super) voices: Voices,
}

impl Conversation {
    /// Waits for the work, tells the request in time what Slack shall show, and says the rest.
    pub(super) async fn hold(
        mut self,
        work: impl Future<Output = Done>,
        deadline: Instant,
        tell: oneshot::Sender<Option<Answer>>,
        settle: impl Fn(&Option<Answer>),
        metrics: &SlackMetrics,
    ) {
        tokio::pin!(work);
        let is_click = self.is_click;
        let now = |answer: &Answer| (!is_click).then(|| answer.clone());
        match timeout_at(deadline, &mut work).await {
            Ok(done) => {
                let answer = now(&done.answer);
                settle(&answer);
                // Whoever waited may be gone.
                let _ = tell.send(answer);
                if self.is_click && !done.shows {
                    self.say(&done.answer).await;
                }
            }
            Err(_) => {
                metrics.late();
                let later = Answer::later();
                let _ = tell.send(now(&later));
                let done = if self.is_click {
                    // Both at once: whatever holds up the one must not hold up the other.
                    let (done, ()) = tokio::join!(work, self.say(&later));
                    done
                } else {
                    work.await
                };
                settle(&now(&done.answer));
                self.say(&done.answer).await;
            }
        }
    }

    async fn say(&mut self, answer: &Answer) {
        let Some(voice) = self.voices.raise() else {
            error!("an answer in Slack could not be said: too many are being said");
            return;
        };
        self.say_with(voice, answer).await;
    }

    /// Says it; what was raised for it is lowered then.
    pub(super) async fn say_with(&mut self, _voice: Voice, answer: &Answer) {
        match &mut self.replies {
            Some(replies) => replies.say(answer).await,
            None => error!("an answer in Slack has nowhere to go: the request had no response_url of Slack's"),
        }
    }
}

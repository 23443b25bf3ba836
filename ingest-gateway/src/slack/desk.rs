//! The core: what is asked, by whichever way it came, is carried out once (`deeds`), and answered in time (`conversation`).

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::answer::Answer;
use super::asked::{Asked, What};
use super::config::SlackConfig;
use super::conversation::{Conversation, Done, Voices};
use super::deeds::Stopped;
use super::http::{SlackError, SlackHttp};
use super::metrics::SlackMetrics;
use super::places::{Place, Places};
use super::recent::{Recent, Stand};
use super::signature::{Refused, Verifier};
use crate::state::AppState;
use crate::writes::BodyBudget;

/// How long a request waits for its answer, from its first byte on. Slack gives three seconds, of which the way there and back takes some.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long the work goes on after that.
const AT_MOST: Duration = Duration::from_secs(60);
/// Most bytes of requests' bodies at once.
const MAX_BODIES_BYTES: usize = 16 * 1024 * 1024;

/// How often it is told that requests are not taken for Slack's.
const REFUSED_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Where people in Slack are answered.
pub(crate) struct Desk {
    pub(super) config: SlackConfig,
    pub(super) zone: TimeZone,
    /// Tells Slack's requests from others'; `None`: none are taken over HTTPS.
    pub(super) verifier: Option<Verifier>,
    pub(super) http: Arc<SlackHttp>,
    pub(super) metrics: SlackMetrics,
    recent: Recent,
    /// For bodies of which nobody knows yet whether they are Slack's: who floods these takes nothing away from reports.
    pub(super) bodies: BodyBudget,
    pub(super) places: Places,
    voices: Voices,
    /// When it was last told that a request was not taken for Slack's.
    refused_told: Mutex<Option<Instant>>,
}

/// A click for which there was no place, and nobody to say so: Slack has to show that nothing came of it.
#[derive(Debug)]
pub(super) struct Unheard;

/// Until when a request that begins now has to be answered.
pub(super) fn deadline() -> Instant {
    Instant::now() + ANSWER_WITHIN
}

impl Desk {
    pub(crate) fn new(config: &SlackConfig) -> Result<Self, SlackError> {
        Ok(Self {
            zone: TimeZone::get(&config.timezone).map_err(|_| SlackError::Zone(config.timezone.clone()))?,
            verifier: (!config.signing_secret.is_empty()).then(|| Verifier::new(&config.signing_secret)),
            http: Arc::new(SlackHttp::new(&config.api_url)?),
            metrics: SlackMetrics::new(),
            recent: Recent::default(),
            bodies: BodyBudget::of(MAX_BODIES_BYTES),
            places: Places::new(),
            voices: Voices::new(),
            refused_told: Mutex::default(),
            config: config.clone(),
        })
    }

    /// Whether requests are taken over HTTPS.
    pub(crate) const fn takes_https(&self) -> bool {
        self.verifier.is_some()
    }

    /// Whether they are taken over connections that are opened from here.
    pub(crate) fn takes_socket(&self) -> bool {
        !self.config.app_token.is_empty()
    }

    /// A request was not taken for Slack's. Slack shows nobody why, and who has just set this up looks into the log; a forger fills none.
    pub(super) fn refused(&self, why: Refused) {
        self.metrics.refused(why);
        debug!(reason = why.as_str(), "a request was not taken for Slack's");
        let mut told = self.refused_told.lock();
        if why.may_be_our_mistake() && told.is_none_or(|at| at.elapsed() >= REFUSED_TOLD_EVERY) {
            *told = Some(Instant::now());
            warn!("a request was not taken for Slack's: {why}");
        }
    }

    /// Carries out what is asked, once, and answers by the deadline: with what Slack shall show at once, if anything. The rest is said at
    /// the `response_url`.
    ///
    /// # Errors
    /// [`Unheard`].
    pub(super) async fn take(
        self: &Arc<Self>,
        state: &AppState,
        asked: Asked,
        deadline: Instant,
    ) -> Result<Option<Answer>, Unheard> {
        let Some(place) = self.places.take() else {
            self.metrics.busy();
            return self.turn_away(state, &asked);
        };
        let occasion = asked.message();
        match self.recent.begin(occasion) {
            Stand::New => {}
            // Who told of it first says what is to be said.
            Stand::UnderWay => return Ok(None),
            Stand::Answered(answer) => return Ok(answer),
        }
        let (tell, told) = oneshot::channel();
        let (desk, state_of_task) = (Arc::clone(self), state.clone());
        // It goes on when Slack hangs up, and a gateway that leaves waits for it.
        state.tasks.spawn(async move {
            // The place is free once the work is done, however long it takes to say so.
            let work = desk.work(&state_of_task, &asked, place);
            let settle = |answer: &Option<Answer>| desk.recent.settle(occasion, answer.clone());
            desk.conversation(&asked).hold(work, deadline, tell, settle, &desk.metrics).await;
        });
        let mistake = |_| Some(Answer::not_now("that was a mistake of Ronda's own, and is in its log."));
        Ok(told.await.unwrap_or_else(mistake))
    }

    /// Says that there is no place: beside the message that was clicked on, because Slack shows no answer to a click.
    fn turn_away(self: &Arc<Self>, state: &AppState, asked: &Asked) -> Result<Option<Answer>, Unheard> {
        let mut conversation = self.conversation(asked);
        if !conversation.is_click {
            return Ok(Some(Answer::busy()));
        }
        let voice = self.voices.raise().ok_or(Unheard)?;
        state.tasks.spawn(async move { conversation.say_with(voice, &Answer::busy()).await });
        Ok(None)
    }

    fn conversation(&self, asked: &Asked) -> Conversation {
        Conversation {
            is_click: matches!(asked.what, What::Click(_)),
            replies: self.http.reply_to(asked.response_url.as_deref()),
            voices: self.voices.clone(),
        }
    }

    async fn work(&self, state: &AppState, asked: &Asked, mut place: Place) -> Done {
        match timeout(AT_MOST, self.answered(state, asked, &mut place)).await {
            Ok(Ok(done)) => done,
            Ok(Err(Stopped::Busy)) => {
                self.metrics.busy();
                Answer::busy().into()
            }
            Ok(Err(Stopped::Problem(problem))) => {
                warn!(detail = %problem.body().detail, "what somebody asked in Slack could not be done");
                Answer::not_now(&problem.body().detail).into()
            }
            Err(_) => Answer::not_now("it took more than a minute.").into(),
        }
    }
}

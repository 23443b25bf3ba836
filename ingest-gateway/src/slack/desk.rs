//! The core: what is asked, by whichever way it came, becomes an answer, and what it changes a command in the queue.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use ronda_domain::attention::By;
use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use ronda_domain::view::AlertView;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::answer::Answer;
use super::asked::{Asked, Button, Click, What, Who};
use super::command::{self, MuteFor, Wish};
use super::config::SlackConfig;
use super::fleet::{self, Found, Job};
use super::http::{Replies, SlackError, SlackHttp};
use super::metrics::SlackMetrics;
use super::recent::{Recent, Stand};
use super::signature::Verifier;
use super::when::end_of;
use crate::problem::Problem;
use crate::refusals;
use crate::state::AppState;
use crate::writes::BodyBudget;
use crate::writes::attention::{Attention, attend};

/// How long a request waits for its answer. Slack gives three seconds, of which the way there and back takes some.
const BUDGET: Duration = Duration::from_secs(2);
/// How long the work goes on after that.
const AT_MOST: Duration = Duration::from_secs(60);
/// Most requests worked on at once.
const MAX_AT_ONCE: usize = 64;
/// Most bytes of requests' bodies at once.
const MAX_BODIES_BYTES: usize = 16 * 1024 * 1024;
/// Most of them that look at all jobs.
const MAX_SCANS: usize = 2;

/// Where people say so, in the history.
const SOURCE: &str = "slack";

/// Where people in Slack are answered.
pub(crate) struct Desk {
    pub(super) config: SlackConfig,
    zone: TimeZone,
    /// Tells Slack's requests from others'; `None`: none are taken over HTTPS.
    pub(super) verifier: Option<Verifier>,
    pub(super) http: Arc<SlackHttp>,
    pub(super) metrics: SlackMetrics,
    recent: Recent,
    /// For bodies of which nobody knows yet whether they are Slack's: who floods these takes nothing away from reports.
    pub(super) bodies: BodyBudget,
    places: Arc<Semaphore>,
    scans: Semaphore,
}

/// What came of the work.
struct Done {
    answer: Answer,
    /// Whether the message that was clicked on will show it, so that nothing has to be said.
    shows: bool,
}

impl From<Answer> for Done {
    fn from(answer: Answer) -> Self {
        Self { answer, shows: false }
    }
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
            places: Arc::new(Semaphore::new(MAX_AT_ONCE)),
            scans: Semaphore::new(MAX_SCANS),
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

    /// Carries out what is asked, once, and answers within the budget: with what Slack shall show at once, if anything. The rest is said at
    /// the `response_url`.
    pub(crate) async fn take(self: &Arc<Self>, state: &AppState, asked: Asked) -> Option<Answer> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.metrics.busy();
            return Some(Answer::busy());
        };
        let occasion = asked.message();
        match self.recent.begin(occasion) {
            Stand::New => {}
            // Who told of it first says what is to be said.
            Stand::UnderWay => return None,
            Stand::Answered(answer) => return answer,
        }
        let (tell, told) = oneshot::channel();
        let (desk, state_of_task) = (Arc::clone(self), state.clone());
        // It goes on when Slack hangs up, and a gateway that leaves waits for it.
        state.tasks.spawn(async move {
            let _place = place;
            let replies = desk.http.reply_to(asked.response_url.as_deref());
            let work = desk.work(&state_of_task, &asked);
            let said = Conversation { is_click: matches!(asked.what, What::Click(_)), replies };
            let settle = |answer: &Option<Answer>| desk.recent.settle(occasion, answer.clone());
            said.hold(work, tell, settle, &desk.metrics).await;
        });
        told.await.unwrap_or_else(|_| Some(Answer::not_now("that was a mistake of Ronda's own, and is in its log.")))
    }

    async fn work(&self, state: &AppState, asked: &Asked) -> Done {
        match timeout(AT_MOST, self.answered(state, asked)).await {
            Ok(Ok(done)) => done,
            Ok(Err(problem)) => {
                warn!(detail = %problem.body().detail, "what somebody asked in Slack could not be done");
                Answer::not_now(&problem.body().detail).into()
            }
            Err(_) => Answer::not_now("it took more than a minute.").into(),
        }
    }

    async fn answered(&self, state: &AppState, asked: &Asked) -> Result<Done, Problem> {
        if let Some(why) = self.refusal(&asked.who) {
            self.metrics.not_allowed();
            return Ok(Answer::not_yours(&why).into());
        }
        let tenant = &self.config.tenant;
        match &asked.what {
            What::Command(text) => match command::parse(text) {
                Ok(wish) => self.fulfil(state, asked, wish).await.map(Done::from),
                Err(misread) => Ok(Answer::misread(&misread).into()),
            },
            What::Click(click) if click.tenant != tenant.as_str() => {
                let why = format!(
                    "This job is of {}, and from here only those of {tenant} are worked on (slack.tenant).",
                    click.tenant
                );
                Ok(Answer::not_yours(&why).into())
            }
            What::Click(click) => self.clicked(state, asked, click, tenant).await,
        }
    }

    /// Why somebody may not ask.
    fn refusal(&self, who: &Who) -> Option<String> {
        let ours = &self.config.team_id;
        let is_other = |team: &str| !team.is_empty() && team != ours;
        let refused = !ours.is_empty() && (who.team.is_empty() || is_other(&who.team) || is_other(&who.home));
        refused.then(|| "This Ronda takes requests of another workspace alone (slack.team_id).".to_owned())
    }

    async fn fulfil(&self, state: &AppState, asked: &Asked, wish: Wish) -> Result<Answer, Problem> {
        let zone = &self.zone;
        let text = match wish {
            Wish::Help => return Ok(Answer::help()),
            Wish::Status => return Ok(Answer::status(&self.fleet(state).await?, zone)),
            Wish::ListFailing => return Ok(Answer::failing(&self.fleet(state).await?, zone)),
            Wish::Show(ref text) | Wish::Mute(ref text, _) | Wish::Unmute(ref text) | Wish::Acknowledge(ref text) => {
                text
            }
        };
        let job = match self.find(state, text).await? {
            Found::One(job) => job,
            Found::Several(ids) => return Ok(Answer::several(text, &ids)),
            Found::None(near) => return Ok(Answer::no_such_job(text, &near)),
        };
        match wish {
            Wish::Mute(_, time) => self.mute(state, asked, &job, time).await,
            Wish::Unmute(_) => {
                self.perform(state, asked, &job, Attention::Unmute).await?;
                Ok(Answer::unmuted(&job))
            }
            Wish::Acknowledge(_) => self.acknowledge(state, asked, &job).await,
            _ => Ok(Answer::job(&job, zone)),
        }
    }

    async fn clicked(
        &self,
        state: &AppState,
        asked: &Asked,
        click: &Click,
        tenant: &TenantId,
    ) -> Result<Done, Problem> {
        let job = fleet::one(state, tenant, &click.scheduler).await.map_err(|error| refusals::store(&error))?;
        let Some(job) = job else { return Ok(Answer::no_such_job(&click.scheduler, &[]).into()) };
        // Of what is over no message says that it is muted, and of what is acknowledged none by whom it was clicked again.
        let is_new = |alert: &AlertView| click.button != Button::Acknowledge || alert.acknowledgment.is_none();
        let shows = job.view.alert.as_ref().is_some_and(is_new);
        let answer = match click.button {
            Button::Acknowledge => self.acknowledge(state, asked, &job).await?,
            Button::SnoozeHour => self.mute(state, asked, &job, MuteFor::Minutes(60)).await?,
            Button::SnoozeMorning => self.mute(state, asked, &job, MuteFor::Morning).await?,
        };
        Ok(Done { answer, shows })
    }

    async fn acknowledge(&self, state: &AppState, asked: &Asked, job: &Job) -> Result<Answer, Problem> {
        let Some(alert) = &job.view.alert else { return Ok(Answer::nothing_open(job)) };
        if let Some(earlier) = &alert.acknowledgment {
            return Ok(Answer::somebody_is(job, earlier, &self.zone));
        }
        self.perform(state, asked, job, Attention::Acknowledge).await?;
        Ok(Answer::acknowledged(job))
    }

    async fn mute(&self, state: &AppState, asked: &Asked, job: &Job, time: MuteFor) -> Result<Answer, Problem> {
        // Slack's clock may be ahead of ours, and a mute ends at most thirty days ahead.
        let now = Timestamp::from_millis(state.clock.wall_millis());
        let until = end_of(time, asked.at.min(now), &self.zone);
        self.perform(state, asked, job, Attention::Mute { until }).await?;
        Ok(Answer::muted(job, until, &self.zone))
    }

    /// Makes it durable.
    async fn perform(&self, state: &AppState, asked: &Asked, job: &Job, what: Attention) -> Result<(), Problem> {
        let Who { user, name, .. } = &asked.who;
        let by = By { source: SOURCE, id: user, name };
        let whose = (self.config.tenant.as_str(), job.id.as_str());
        attend(state, whose, what, by, Some(asked.message())).await?;
        info!(slack.user = user, scheduler = job.id, ?what, "somebody in Slack saw to a job");
        Ok(())
    }

    async fn fleet(&self, state: &AppState) -> Result<fleet::Fleet, Problem> {
        let _turn = self.scans.acquire().await.map_err(|_| refusals::internal())?;
        fleet::fleet(state, &self.config.tenant).await.map_err(|error| refusals::store(&error))
    }

    async fn find(&self, state: &AppState, text: &str) -> Result<Found, Problem> {
        let tenant = &self.config.tenant;
        if ronda_domain::id::check_id(text).is_ok()
            && let Some(job) = fleet::one(state, tenant, text).await.map_err(|error| refusals::store(&error))?
        {
            return Ok(Found::One(Box::new(job)));
        }
        let _turn = self.scans.acquire().await.map_err(|_| refusals::internal())?;
        fleet::search(state, tenant, text).await.map_err(|error| refusals::store(&error))
    }
}

/// What is said of one request, and where.
struct Conversation {
    /// Slack shows no answer to a click: all that is to be said is said at the `response_url`.
    is_click: bool,
    replies: Option<Replies>,
}

impl Conversation {
    /// Waits for the work, tells the request within the budget what Slack shall show, and says the rest.
    async fn hold(
        mut self,
        work: impl Future<Output = Done>,
        tell: oneshot::Sender<Option<Answer>>,
        settle: impl Fn(&Option<Answer>),
        metrics: &SlackMetrics,
    ) {
        tokio::pin!(work);
        let is_click = self.is_click;
        let now = |answer: &Answer| (!is_click).then(|| answer.clone());
        match timeout(BUDGET, &mut work).await {
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
                let _ = tell.send(now(&Answer::later()));
                if self.is_click {
                    self.say(&Answer::later()).await;
                }
                let done = work.await;
                settle(&now(&done.answer));
                self.say(&done.answer).await;
            }
        }
    }

    async fn say(&mut self, answer: &Answer) {
        match &mut self.replies {
            Some(replies) => replies.say(answer).await,
            None => error!("an answer in Slack has nowhere to go: the request had no response_url of Slack's"),
        }
    }
}

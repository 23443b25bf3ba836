//! What is asked, carried out: it becomes an answer, and what it changes a command in the queue.

use std::time::Duration;

use ronda_domain::attention::{Acknowledgment, By};
use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use ronda_domain::view::AlertView;
use tracing::info;

use super::answer::Answer;
use super::asked::{Asked, Button, Click, What, Who};
use super::command::{self, JobWish, MuteFor, Wish};
use super::conversation::Done;
use super::desk::Desk;
use super::fleet::{self, Found, Job};
use super::places::Place;
use super::when::end_of;
use crate::problem::Problem;
use crate::publisher::Accepted;
use crate::refusals;
use crate::state::AppState;
use crate::writes::applied_within;
use crate::writes::attention::{Attention, attend};

/// How long an acknowledgment may take to be applied until no more is said than that it is sent.
const APPLIED_WITHIN: Duration = Duration::from_secs(10);

/// Where people say so, in the history.
const SOURCE: &str = "slack";

/// Why something was not carried out.
pub(super) enum Stopped {
    /// Too many look at all jobs.
    Busy,
    /// It can't be done, or not now.
    Problem(Problem),
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Desk {
    /// Carries out what is asked. Its place is given up for one in the line when it looks at all jobs.
    pub(super) async fn answered(&self, state: &AppState, asked: &Asked, place: &mut Place) -> Result<Done, Stopped> {
        if let Some(why) = self.refusal(&asked.who) {
            self.metrics.not_allowed();
            return Ok(Answer::not_yours(why).into());
        }
        let tenant = &self.config.tenant;
        match &asked.what {
            What::Command(text) => match command::parse(text) {
                Ok(wish) => self.fulfil(state, asked, wish, place).await,
                Err(misread) => Ok(Answer::misread(&misread).into()),
            },
            What::Click(click) if click.tenant != tenant.as_str() => {
                let why = format!(
                    "This job is of {}, and from here only those of {tenant} are worked on (slack.tenant).",
                    click.tenant
                );
                Ok(Answer::not_yours(&why).into())
            }
            What::Click(click) => self.clicked(state, asked, click, tenant).await.map_err(Stopped::from),
        }
    }

    /// Why somebody may not ask.
    fn refusal(&self, who: &Who) -> Option<&'static str> {
        let ours = &self.config.team_id;
        if !ours.is_empty() && who.team != *ours {
            return Some("This Ronda takes requests of another workspace alone (slack.team_id).");
        }
        let is_guest = !who.home.is_empty() && who.home != who.team;
        (is_guest && !self.config.allow_guest_teams).then_some(
            "This Ronda takes requests of people of this workspace alone; whoever runs it may let guests in (slack.allow_guest_teams).",
        )
    }

    async fn fulfil(&self, state: &AppState, asked: &Asked, wish: Wish, place: &mut Place) -> Result<Done, Stopped> {
        let zone = &self.zone;
        let (wish, text) = match wish {
            Wish::Help => return Ok(Answer::help().into()),
            Wish::Status => return Ok(Answer::status(&self.fleet(state, place).await?, zone).into()),
            Wish::ListFailing => return Ok(Answer::failing(&self.fleet(state, place).await?, zone).into()),
            Wish::MuteWithoutTime(words) => return Ok(self.without_time(state, &words, place).await?.into()),
            Wish::OfJob(wish, text) => (wish, text),
        };
        let job = match self.find(state, &text, place).await? {
            Found::One(job) => job,
            Found::Several(ids) => return Ok(Answer::several(&text, &ids).into()),
            Found::None(near) => return Ok(Answer::no_such_job(&text, &near).into()),
        };
        Ok(match wish {
            JobWish::Show => Answer::job(&job, zone).into(),
            JobWish::Mute(time) => self.mute(state, asked, &job, time).await?.into(),
            JobWish::Unmute => {
                self.perform(state, asked, &job, Attention::Unmute).await?;
                Answer::unmuted(&job).into()
            }
            JobWish::Acknowledge => self.acknowledge(state, asked, &job, None).await?,
        })
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
        let time = match click.button {
            Button::Acknowledge => return self.acknowledge(state, asked, &job, click.opened_at).await,
            Button::SnoozeHour => MuteFor::Minutes(60),
            Button::SnoozeMorning => MuteFor::Morning,
        };
        // Of what is over no message says that its job is muted.
        let shows = meant(&job, click.opened_at).is_some();
        Ok(Done { answer: self.mute(state, asked, &job, time).await?, shows })
    }

    /// Acknowledges the alert that was opened when the message says; `None`: the one that is open as we look. Never another: its id goes along.
    async fn acknowledge(
        &self,
        state: &AppState,
        asked: &Asked,
        job: &Job,
        opened_at: Option<Timestamp>,
    ) -> Result<Done, Problem> {
        let zone = &self.zone;
        let Some(open) = meant(job, opened_at) else {
            return Ok(Answer::nothing_to_acknowledge(job, opened_at.is_some(), zone).into());
        };
        if let Some(earlier) = &open.acknowledgment {
            return Ok(Answer::somebody_is(job, earlier, zone).into());
        }
        let accepted = self.perform(state, asked, job, Attention::Acknowledge { alert: Some(&open.id) }).await?;
        if !applied_within(state, accepted, APPLIED_WITHIN).await {
            return Ok(Answer::sent(job).into());
        }
        let now = match fleet::one(state, &self.config.tenant, &job.id).await {
            Ok(Some(now)) => now,
            Ok(None) => return Ok(Answer::no_such_job(&job.id, &[]).into()),
            // It is durable all the same.
            Err(_) => return Ok(Answer::sent(job).into()),
        };
        let is_theirs = |told: &Acknowledgment| *told.by.source == *SOURCE && *told.by.id == *asked.who.user;
        Ok(match now.view.alert.as_ref().filter(|still| still.id == open.id).map(|still| &still.acknowledgment) {
            None => Answer::nothing_to_acknowledge(&now, true, zone).into(),
            Some(Some(told)) if is_theirs(told) => Done { answer: Answer::acknowledged(&now, zone), shows: true },
            Some(Some(earlier)) => Answer::somebody_is(&now, earlier, zone).into(),
            Some(None) => Answer::sent(&now).into(),
        })
    }

    async fn mute(&self, state: &AppState, asked: &Asked, job: &Job, time: MuteFor) -> Result<Answer, Problem> {
        // Slack's clock may be ahead of ours, and a mute ends at most thirty days ahead.
        let now = Timestamp::from_millis(state.clock.wall_millis());
        let until = end_of(time, asked.at.min(now), &self.zone);
        self.perform(state, asked, job, Attention::Mute { until }).await?;
        Ok(Answer::muted(job, until, &self.zone))
    }

    /// Makes it durable.
    async fn perform(
        &self,
        state: &AppState,
        asked: &Asked,
        job: &Job,
        what: Attention<'_>,
    ) -> Result<Accepted, Problem> {
        let Who { user, name, .. } = &asked.who;
        let by = By { source: SOURCE, id: user, name };
        let whose = (self.config.tenant.as_str(), job.id.as_str());
        let accepted = attend(state, whose, what, by, Some(asked.message())).await?;
        info!(slack.user = user, scheduler = job.id, what = logged(what), "somebody in Slack saw to a job");
        Ok(accepted)
    }

    /// What is answered to a mute that ends in no time: which words are none, and what works, for the job that is named there.
    async fn without_time(&self, state: &AppState, words: &[String], place: &mut Place) -> Result<Answer, Stopped> {
        let tenant = &self.config.tenant;
        let store = |error| Stopped::from(refusals::store(&error));
        let _turn = self.places.turn(place).await.ok_or(Stopped::Busy)?;
        let named = fleet::beginning(state, tenant, words).await.map_err(store)?;
        if !named.ids.is_empty() {
            let said = command::without_preposition(words.get(named.words..).unwrap_or_default());
            return Ok(Answer::no_time(said, &named.ids));
        }
        if let Some((time, job)) = command::time_first(words) {
            let named = fleet::beginning(state, tenant, job).await.map_err(store)?;
            if named.words == job.len() && !named.ids.is_empty() {
                return Ok(Answer::time_comes_last(time, &named.ids));
            }
        }
        if let [only] = words {
            return match fleet::search(state, tenant, only).await.map_err(store)? {
                Found::None(near) => Ok(Answer::no_such_job(only, &near)),
                // Registered in this moment.
                Found::One(job) => Ok(Answer::no_time(&[], &[job.id])),
                Found::Several(ids) => Ok(Answer::no_time(&[], &ids)),
            };
        }
        Ok(Answer::no_time(words.get(words.len().saturating_sub(1)..).unwrap_or_default(), &[]))
    }

    async fn fleet(&self, state: &AppState, place: &mut Place) -> Result<fleet::Fleet, Stopped> {
        let _turn = self.places.turn(place).await.ok_or(Stopped::Busy)?;
        let fleet = fleet::fleet(state, &self.config.tenant).await;
        fleet.map_err(|error| refusals::store(&error).into())
    }

    async fn find(&self, state: &AppState, text: &str, place: &mut Place) -> Result<Found, Stopped> {
        let tenant = &self.config.tenant;
        if ronda_domain::id::check_id(text).is_ok()
            && let Some(job) = fleet::one(state, tenant, text).await.map_err(|error| refusals::store(&error))?
        {
            return Ok(Found::One(Box::new(job)));
        }
        let _turn = self.places.turn(place).await.ok_or(Stopped::Busy)?;
        fleet::search(state, tenant, text).await.map_err(|error| refusals::store(&error).into())
    }
}

/// The open alert, if it is the one that was opened then; `None` as time: any.
fn meant(job: &Job, opened_at: Option<Timestamp>) -> Option<&AlertView> {
    job.view.alert.as_ref().filter(|open| opened_at.is_none_or(|at| open.opened_at == at))
}

/// What somebody did, as the log says it.
fn logged(what: Attention<'_>) -> String {
    match what {
        Attention::Acknowledge { alert: Some(id) } => format!("acknowledge {id}"),
        Attention::Acknowledge { alert: None } => "acknowledge".to_owned(),
        Attention::Mute { until } => match jiff::Timestamp::from_millisecond(until.as_millis()) {
            Ok(until) => format!("mute until {until}"),
            Err(_) => "mute".to_owned(),
        },
        Attention::Unmute => "unmute".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_what_people_did_in_words() {
        let until = Timestamp::from_millis(1_795_882_859_593);
        assert_eq!(logged(Attention::Mute { until }), "mute until 2026-11-28T16:20:59.593Z");
        assert_eq!(logged(Attention::Acknowledge { alert: Some("a-1") }), "acknowledge a-1");
        assert_eq!(logged(Attention::Unmute), "unmute");
    }
}

//! Where an alert goes: routes in the order of the settings, asked what they make of it. Pure.

mod hold;
mod matcher;
mod mention;
#[cfg(test)]
mod tests;

use ronda_domain::time::Timestamp;

pub use hold::{Held, HeldBy, Maintenance, Quiet, When};
pub use matcher::{Difference, Kind, Matcher, NotAKind, Subject, severity_name};
pub use mention::{Mention, NotAMention};

/// One way for alerts: which, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Which alerts it is for.
    pub matcher: Matcher,
    /// Where they go; `None`: where alerts without a route go.
    pub channel: Option<String>,
    /// Whom a new message of theirs calls, on Slack.
    pub mentions: Vec<Mention>,
    /// How long a new one waits for what follows at once, in milliseconds; `None`: as long as any.
    pub grouping_wait_ms: Option<u64>,
    /// How long an alert of its may stay wrong, with nobody looking after it, until it is told again, in milliseconds; `None`: forever.
    pub repeat_interval_ms: Option<u64>,
    /// When its alerts wait; `None`: never.
    pub quiet: Option<Quiet>,
    /// Whether the routes after it are asked, too.
    pub goes_on: bool,
}

/// Everything that decides about alerts.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// In order.
    pub routes: &'a [Route],
    /// When alerts are not told.
    pub maintenance: &'a [Maintenance],
    /// Where an alert goes that no route is for.
    pub channel: &'a str,
}

/// Where an alert goes, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// At least one, each channel once; the first is the most important.
    pub places: Vec<Place>,
    /// What each route made of it, in order.
    pub why: Vec<Verdict>,
}

/// One place at which an alert is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its channel.
    pub channel: String,
    /// The routes that lead there, counted from 0; none: it is the default.
    pub routes: Vec<usize>,
    /// Whom a new message there calls, each once.
    pub mentions: Vec<Mention>,
    /// How long a new alert waits there: the least that one of its routes says; `None`: none says anything.
    pub grouping_wait_ms: Option<u64>,
    /// After what time an alert is told again there: the least that one of its routes says; `None`: none says anything.
    pub repeat_interval_ms: Option<u64>,
    /// Whether a new alert waits there longer, and why; quiet hours hold it only where all of the routes are quiet.
    pub held: Option<Held>,
}

/// What a route made of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is for it.
    Matches,
    /// It is not: everything that stands against it.
    Differs(Vec<Difference>),
    /// It was not asked: this earlier one, counted from 0, is for it and the last.
    NotAsked {
        /// Which one.
        after: usize,
    },
}

/// Decides where an alert goes and when, and says why.
#[must_use]
pub fn decide(rules: &Rules<'_>, subject: &Subject<'_>, now: Timestamp) -> Decision {
    let mut why = Vec::with_capacity(rules.routes.len());
    let mut last = None;
    for (index, route) in rules.routes.iter().enumerate() {
        if let Some(after) = last {
            why.push(Verdict::NotAsked { after });
            continue;
        }
        let differences = route.matcher.differences(subject);
        let is_for_it = differences.is_empty();
        why.push(if is_for_it { Verdict::Matches } else { Verdict::Differs(differences) });
        last = (is_for_it && !route.goes_on).then_some(index);
    }
    Decision { places: places(rules, subject, now), why }
}

/// Decides where an alert goes and when: at least one place, each channel once; the first is the most important.
pub(crate) fn places(rules: &Rules<'_>, subject: &Subject<'_>, now: Timestamp) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for (index, route) in rules.routes.iter().enumerate() {
        if !route.matcher.is_for(subject) {
            continue;
        }
        let channel = route.channel.as_deref().unwrap_or(rules.channel);
        let quiet_until = route.quiet.as_ref().and_then(|quiet| quiet.until(subject.severity, now));
        lead_to(&mut places, channel, index, route, quiet_until);
        if !route.goes_on {
            break;
        }
    }
    if places.is_empty() {
        places.push(Place::at(rules.channel));
    }
    if let Some(held) = maintained(rules.maintenance, subject, now) {
        places.iter_mut().for_each(|place| place.held = Some(held));
    }
    places
}

/// The maintenance that holds an alert now, and of several the longest.
fn maintained(maintenance: &[Maintenance], subject: &Subject<'_>, now: Timestamp) -> Option<Held> {
    let held = maintenance
        .iter()
        .enumerate()
        .filter_map(|(index, one)| one.until(subject, now).map(|until| Held { until, by: HeldBy::Maintenance(index) }));
    held.max_by_key(|held| held.until)
}

impl Place {
    fn at(channel: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            routes: Vec::new(),
            mentions: Vec::new(),
            grouping_wait_ms: None,
            repeat_interval_ms: None,
            held: None,
        }
    }

    fn take(&mut self, index: usize, route: &Route, quiet_until: Option<Timestamp>) {
        let quiet = quiet_until.map(|until| Held { until, by: HeldBy::QuietHours });
        self.held = match (self.held, quiet) {
            _ if self.routes.is_empty() => quiet,
            (Some(earlier), Some(quiet)) => Some(if quiet.until < earlier.until { quiet } else { earlier }),
            _ => None,
        };
        self.routes.push(index);
        for mention in &route.mentions {
            if !self.mentions.contains(mention) {
                self.mentions.push(mention.clone());
            }
        }
        let waits = self.grouping_wait_ms.into_iter().chain(route.grouping_wait_ms);
        self.grouping_wait_ms = waits.min();
        let repeats = self.repeat_interval_ms.into_iter().chain(route.repeat_interval_ms);
        self.repeat_interval_ms = repeats.min();
    }
}

/// A channel to which several routes lead is one place.
fn lead_to(places: &mut Vec<Place>, channel: &str, index: usize, route: &Route, quiet_until: Option<Timestamp>) {
    match places.iter_mut().find(|place| place.channel == channel) {
        Some(place) => place.take(index, route, quiet_until),
        None => {
            let mut place = Place::at(channel);
            place.take(index, route, quiet_until);
            places.push(place);
        }
    }
}

//! English.

use ronda_domain::record::OccurrenceStatus;
use ronda_domain::spec::Severity;
use ronda_schemas::event::BlindReason;

use super::{Column, Label, Over, Trouble, Units, Words, Wrong, grouped};
use crate::render::document::{Line, Span, line};
use crate::surface::{Counts, Doubts, KeptBy, NightChange};

pub(super) struct English;

impl English {
    /// A count with its noun, which gets an `s` unless there is one.
    fn counted(&self, count: u64, noun: &str) -> String {
        if count == 1 { format!("1 {noun}") } else { format!("{} {noun}s", self.number(count)) }
    }
}

impl Words for English {
    fn number(&self, number: u64) -> String {
        grouped(number, ',')
    }

    fn months(&self) -> [&'static str; 12] {
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    }

    fn units(&self) -> Units {
        Units { days: "d", hours: "h", minutes: "min", seconds: "s", millis: "ms" }
    }

    fn some_time(&self) -> &'static str {
        "some time"
    }

    fn span(&self, from: Span, until: Span) -> Line {
        line![from, " to ", until]
    }

    fn more(&self, count: u64) -> String {
        format!("… and {} more", self.number(count))
    }

    fn label(&self, label: Label) -> &'static str {
        match label {
            Label::Job => "Job",
            Label::Due => "Due",
            Label::Started => "Started",
            Label::SilentSince => "Silent since",
            Label::StartedLate => "Started late",
            Label::Failed => "Failed",
            Label::Noticed => "Noticed",
            Label::Missed => "Missed",
            Label::Ended => "Ended",
            Label::AlertSince => "Alert since",
            Label::OverdueBy => "Overdue by",
            Label::OverSince => "Over since",
            Label::Took => "Took",
            Label::Usually => "Usually takes",
            Label::LastGood => "Last good run",
            Label::Run => "Run",
            Label::BeganWith => "Began with",
            Label::Runbook => "Runbook",
            Label::Details => "Details",
            Label::Acknowledge => "Acknowledge",
            Label::SnoozeHour => "Snooze 1 h",
            Label::SnoozeMorning => "Snooze until morning",
        }
    }

    fn column(&self, column: Column) -> &'static str {
        match column {
            Column::Status => "Status",
            Column::Job => "Job",
            Column::Team => "Team",
            Column::Due => "Due",
            Column::Started => "Started",
            Column::Ended => "Ended",
            Column::Done => "Done",
            Column::Detail => "Detail",
        }
    }

    fn status(&self, status: OccurrenceStatus) -> &'static str {
        match status {
            OccurrenceStatus::Expected => "waiting",
            OccurrenceStatus::Running => "running",
            OccurrenceStatus::Succeeded => "succeeded",
            OccurrenceStatus::Failed => "failed",
            OccurrenceStatus::Cancelled => "cancelled",
            OccurrenceStatus::Skipped => "skipped",
            OccurrenceStatus::Missed => "missed",
            OccurrenceStatus::Stale => "stale",
            OccurrenceStatus::Unknown => "unknown",
        }
    }

    fn severity(&self, severity: Severity) -> &'static str {
        match severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }

    fn tenant(&self, tenant: &str) -> String {
        format!("tenant {tenant}")
    }

    fn team(&self, team: &str) -> String {
        format!("team {team}")
    }

    fn wrong(&self, wrong: Wrong) -> &'static str {
        match wrong {
            Wrong::Failed => " failed",
            Wrong::NoHeartbeat => " sends no heartbeat",
            Wrong::TooLong => " runs too long",
            Wrong::FellSilent => " fell silent",
            Wrong::NotStarted => " did not start",
            Wrong::StartedLate => " started late",
            Wrong::Succeeded => " succeeded",
            Wrong::Unseen => " ended unseen",
            Wrong::Cancelled => " was cancelled",
            Wrong::Skipped => " was skipped",
            Wrong::Expected => " is expected",
        }
    }

    fn over(&self, over: &Over) -> String {
        match over {
            Over::Alive => " is alive again".to_owned(),
            Over::Recovered => " recovered".to_owned(),
            Over::Cancelled => " was cancelled".to_owned(),
            Over::CompletedLate(Some(late)) => format!(" completed, {}", self.after_due(late)),
            Over::CompletedLate(None) => " completed late".to_owned(),
            Over::Paused => ": alert closed, the scheduler was paused".to_owned(),
            Over::Removed => ": alert closed, the scheduler was removed".to_owned(),
        }
    }

    fn in_a_row(&self, count: u32) -> String {
        format!("{} in a row", self.number(count.into()))
    }

    fn since(&self, at: Span) -> Line {
        line!["since ", at]
    }

    fn lasted(&self, duration: &str) -> String {
        format!("lasted {duration}")
    }

    fn exit_code(&self, code: i32) -> String {
        format!("exit code {code}")
    }

    fn after_due(&self, duration: &str) -> String {
        format!("{duration} after it was due")
    }

    fn before(&self) -> &'static str {
        "before: "
    }

    fn maybe_repeat(&self) -> &'static str {
        "This may be a repeat: what was posted before could not be looked up."
    }

    fn told_late(&self, by: &str) -> String {
        format!("This comes {by} late: it could not be told before.")
    }

    fn kept_back(&self, by: KeptBy) -> &'static str {
        match by {
            KeptBy::Snooze => "This comes late because the scheduler was snoozed.",
            KeptBy::QuietHours => "This comes late because of quiet hours.",
            KeptBy::Maintenance => "This comes late because of a maintenance.",
        }
    }

    fn acknowledged(&self, by: &str, at: Span) -> Line {
        line!["Acked by ", by, ", ", at]
    }

    fn muted(&self, until: Span, by: &str) -> Line {
        line!["Snoozed until ", until, " by ", by]
    }

    fn still_wrong(&self, name: Span, wrong: Wrong) -> Line {
        line!["The snooze is over, and it is not: ", name, self.wrong(wrong)]
    }

    fn wrong_again(&self, name: Span, wrong: Wrong) -> Line {
        line![name, self.wrong(wrong), ", and nobody has acked it yet"]
    }

    fn escalated(&self, name: Span, wrong: Wrong, at: Option<Span>) -> Line {
        let mut line = line![name, self.wrong(wrong)];
        line.extend(at.into_iter().flat_map(|at| line![" at ", at]));
        line
    }

    fn started_late(&self, name: Span, after_due: Option<&str>) -> Line {
        let mut line = line![name, self.wrong(Wrong::StartedLate)];
        line.extend(after_due.map(|late| Span::text(format!(", {}", self.after_due(late)))));
        line
    }

    fn turned(&self, name: Span, wrong: Wrong, due: Option<Span>, before: Wrong, before_at: Option<Span>) -> Line {
        let mut line = line![name, self.wrong(wrong)];
        line.extend(due.into_iter().flat_map(|due| line![", due ", due]));
        line.push(Span::text(format!("; before that it{}", self.wrong(before))));
        line.extend(before_at.into_iter().flat_map(|at| line![", ", at]));
        line
    }

    fn ended(&self, name: Span, over: &Over, lasted: &str) -> Line {
        match over {
            Over::Recovered | Over::Alive => line![name, self.over(over), format!(" after {lasted}")],
            _ => line![name, self.over(over)],
        }
    }

    fn after_the_end(&self, name: Span, wrong: Wrong, at: Span) -> Line {
        line!["After the end: ", name, self.wrong(wrong), ", ", at]
    }

    fn also_among(&self) -> &'static str {
        "Also among these alerts:"
    }

    fn worse_among(&self) -> &'static str {
        "Worse now, of these alerts:"
    }

    fn under_way(&self) -> &'static str {
        "under way"
    }

    fn problems_so_far(&self, problems: u32) -> String {
        format!("{} so far", self.counted(problems.into(), "problem"))
    }

    fn verdict(&self, counts: &Counts, doubts: Doubts) -> String {
        let problems = self.counted(counts.problems().into(), "problem");
        let open = format!("{} still open", self.number(counts.open().into()));
        match (counts.problems() > 0, counts.open() > 0, doubts.any()) {
            (false, false, false) => "all clear".to_owned(),
            (false, false, true) => "ended, but not everything is known".to_owned(),
            (false, true, _) => format!("ended with {open}"),
            (true, false, _) => format!("ended with {problems}"),
            (true, true, _) => format!("ended with {problems}, {open}"),
        }
    }

    fn in_all(&self, occurrences: u32, jobs: u32) -> String {
        format!("{} in all, of {}", self.number(occurrences.into()), self.counted(jobs.into(), "job"))
    }

    fn change(&self, change: &NightChange) -> String {
        let parts = [(change.new, "new"), (change.fixed, "fixed"), (change.again, "again")];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, word)| format!("{} {word}", self.number(count.into()))).collect();
        let parts = parts.join(", ");
        match change.is_yesterday {
            true => format!("{parts} since the night before"),
            false => format!("{parts} since the night of {}", change.date),
        }
    }

    fn doubts(&self, doubts: Doubts) -> String {
        let mut parts = Vec::new();
        if doubts.batches > 0 {
            parts.push(match doubts.batches {
                1 => "one batch of events could not be read".to_owned(),
                many => format!("{} batches of events could not be read", self.number(many.into())),
            });
        }
        if doubts.rows > 0 {
            parts.push(format!("{} could not be read", self.counted(doubts.rows.into(), "stored row")));
        }
        if doubts.untracked {
            parts.push("there were more occurrences than are tracked".to_owned());
        }
        format!("Not everything is known of this night: {}.", parts.join(", "))
    }

    fn closed(&self, at: Span) -> Line {
        line!["closed ", at]
    }

    fn done_of(&self, done: u32, total: u32) -> String {
        format!("{} of {}", self.number(done.into()), self.number(total.into()))
    }

    fn again(&self) -> &'static str {
        "last night too"
    }

    fn problem(&self, name: Span, status: OccurrenceStatus, due: Span) -> Line {
        line![name, format!(": {}, due ", self.status(status)), due]
    }

    fn several_problems(&self, problems: u32) -> String {
        format!(" ({})", self.counted(problems.into(), "problem"))
    }

    fn still_open(&self, open: u32, due: Span) -> Line {
        line![format!("; {} still open, due ", self.number(open.into())), due]
    }

    fn more_jobs(&self, count: u64) -> String {
        format!("… and {} more {}", self.number(count), if count == 1 { "job" } else { "jobs" })
    }

    fn blind(&self, duration: &str) -> Line {
        line![Span::bold("Ronda was blind"), format!(" for {duration}")]
    }

    fn blind_reason(&self, reason: BlindReason) -> &'static str {
        match reason {
            BlindReason::NoPulse => "No gateway was running, or none could reach the queue.",
            BlindReason::ClockStep => "A gateway's clock was set to another time.",
            BlindReason::LostFrames => "The queue lost messages that it had confirmed.",
        }
    }

    fn blind_concerned(&self, jobs: u32) -> String {
        match jobs {
            0 => "no job was due or running".to_owned(),
            1 => "1 job was due or running".to_owned(),
            many => format!("{} jobs were due or running", self.number(many.into())),
        }
    }

    fn blind_consequence(&self) -> &'static str {
        "What was waited for then gets its time again; what can't be known ends as unknown."
    }

    fn ended_unknown(&self, count: u32) -> String {
        format!("{} ended as unknown:", self.number(count.into()))
    }

    fn due_at(&self, name: Span, due: Span) -> Line {
        line![name, ", due ", due]
    }

    fn alerts_at_once(&self, count: u64, since: Span) -> Line {
        line![Span::bold(format!("{} at once", self.counted(count, "alert"))), " since ", since]
    }

    fn alerts_caught_up(&self, count: u64, since: Span) -> Line {
        line![Span::bold(self.counted(count, "alert")), " while nothing could be told, since ", since]
    }

    fn alerts_kept_back(&self, by: KeptBy, count: u64, since: Span) -> Line {
        let kept = match by {
            KeptBy::Snooze => " kept back by a snooze, since ",
            KeptBy::QuietHours => " kept back by quiet hours, since ",
            KeptBy::Maintenance => " kept back by a maintenance, since ",
        };
        line![Span::bold(self.counted(count, "alert")), kept, since]
    }

    fn of_them_over(&self, over: u64) -> String {
        format!(", {} of them over", self.number(over))
    }

    fn all_over(&self) -> &'static str {
        ", all over"
    }

    fn of_team(&self, count: u64, team: &str) -> String {
        format!("{} of {}", self.number(count), self.team(team))
    }

    fn named_in_thread(&self, count: u64) -> String {
        format!("… and {} more, named in the thread", self.number(count))
    }

    fn how_to_acknowledge(&self) -> &'static str {
        "Are you looking after one? "
    }

    fn trouble(&self, trouble: &Trouble<'_>) -> Line {
        match trouble {
            Trouble::LostFrames { count, partition, .. } => line![
                Span::bold(format!("The queue lost {}", self.counted(*count, "frame"))),
                format!(" of partition {partition}"),
            ],
            Trouble::Destination { channel, code } => {
                line![Span::bold("Messages can't be delivered"), format!(" to {channel}: {code}")]
            }
            Trouble::Refused { channel, code } => {
                line![Span::bold("A message was refused"), format!(" by {channel} in every form: {code}")]
            }
            Trouble::UnreadableEvents { partition } => line![
                Span::bold("Events could not be read"),
                format!(": partition {partition} of the event queue is damaged"),
            ],
            Trouble::UnreadableRows { rows } => line![
                Span::bold("The notifier's rows could not be read"),
                format!(": {} passed over", self.number((*rows).into())),
            ],
            Trouble::ClockHeld { partition, ahead, .. } => line![
                Span::bold("Judgement stands still"),
                format!(" in partition {partition}: its clock is {ahead} ahead"),
            ],
        }
    }

    fn trouble_at(&self, trouble: &Trouble<'_>, at: Span) -> Line {
        match trouble {
            Trouble::LostFrames { first, last, gateway, .. } => {
                line![format!("Numbers {first} to {last} of gateway {gateway:016x}, seen missing at "), at]
            }
            Trouble::ClockHeld { clock, wall, .. } => {
                line!["It is at ", clock.clone(), ", and a gateway's clock says ", wall.clone()]
            }
            _ => line!["Since ", at],
        }
    }

    fn trouble_consequence(&self, trouble: &Trouble<'_>) -> String {
        match trouble {
            Trouble::LostFrames { .. } => "The queue had confirmed them. Jobs that reported in them are treated as unheard. Check that queue and store \
                are of one data directory, and the queue's disk and its fsync."
                .to_owned(),
            Trouble::Destination { .. } => {
                "They are kept, and will be delivered once that is put right.".to_owned()
            }
            Trouble::Refused { .. } => "It is kept and tried again every hour; the log names it.".to_owned(),
            Trouble::UnreadableEvents { .. } => "They were passed over, so an alert may be missing, and the open nights will not be called clear. The \
                jobs' history is not concerned."
                .to_owned(),
            Trouble::UnreadableRows { .. } => "A message that they belong to may be posted once more, and the open nights will not be called clear."
                .to_owned(),
            Trouble::ClockHeld { gateway, ahead, .. } => format!(
                "Reports are taken, but nothing is called missed, stale or late for {ahead}. Check the clock of gateway {gateway:016x}; what to \
                 do is in docs/operations.md, \"A clock that is ahead\"."
            ),
        }
    }
}

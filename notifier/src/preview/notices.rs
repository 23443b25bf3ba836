//! Samples of digests and notices.

use ronda_domain::attention::Acknowledgment;
use ronda_domain::id::TenantId;
use ronda_domain::input::Gap;
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_schemas::event::{BlindReason, ClockHeld, LostFrames};

use super::Sample;
use super::alerts::{at, ratna};
use crate::surface::{AdminFacts, BlindFacts, DigestEntry, DigestFacts, Facts, Late, ReplyFacts, ReplyWhat, Worse};

const GATEWAY: u64 = 0x3f2a_9c01_77d4_e6b8;

pub(super) fn samples() -> Vec<Sample> {
    let storm = storm();
    let mut half_over = storm.clone();
    half_over.entries.iter_mut().step_by(2).for_each(|entry| entry.ended = true);
    let mut cared = storm.clone();
    let by = Acknowledgment { at: at(26), ..ratna() };
    cared.entries.iter_mut().step_by(5).for_each(|entry| entry.acknowledge(Some(&by)));
    let cared = Facts::Digest(Box::new(cared));
    let mut over = storm.clone();
    over.entries.iter_mut().for_each(|entry| entry.ended = true);
    let digest = |kind, about, facts: DigestFacts| Sample::new(kind, about, Facts::Digest(Box::new(facts)));
    let about = "Alerts that piled up while Slack could not be reached.";
    let caught_up = digest("catch-up", about, half_over).late(Late::ByMillis(35 * 60_000));
    let snoozed =
        digest("storm-kept-back", "Alerts that a snooze kept back, at its end.", storm.clone()).late(Late::Snoozed);
    let names = (1..=6).map(|number| format!("Branch report {number}").into()).collect();
    let names = Facts::Reply(Box::new(ReplyFacts { name: "".into(), what: ReplyWhat::Names { names } }));
    let noted = ReplyWhat::AcknowledgedInDigest { by };
    let noted = Facts::Reply(Box::new(ReplyFacts { name: "Branch report 6".into(), what: noted }));
    let worse = |number: i64| Worse {
        surface: format!("a/default/branch-report-{number}/alert"),
        name: format!("Branch report {number}").into(),
        status: OccurrenceStatus::Failed,
    };
    let worse = ReplyWhat::Worse { alerts: vec![worse(5), worse(8)] };
    let worse = Facts::Reply(Box::new(ReplyFacts { name: "".into(), what: worse }));
    let mut samples = vec![
        digest("storm", "Many alerts within seconds.", storm),
        caught_up,
        snoozed,
        digest("storm-over", "A storm that is over.", over),
        Sample {
            interactive: true,
            ..Sample::new("storm-acknowledged", "A storm of which somebody looks after some.", cared)
        },
        Sample::new("storm-acknowledged-reply", "Somebody looks after one of a storm: in the digest's thread.", noted),
        Sample::new("storm-worse", "Some of a storm got worse: in the digest's thread, where it notifies.", worse),
        Sample::new("storm-names", "The names for which the digest has no room, in its thread.", names),
    ];
    samples.extend(blind().map(|facts| Sample::new("blind", "Ronda could not hear for a while.", facts)));
    samples.extend(
        admin().into_iter().map(|(kind, about, facts)| Sample::new(kind, about, Facts::Admin(Box::new(facts)))),
    );
    samples
}

fn storm() -> DigestFacts {
    let entry = |number: i64| {
        let status = match number % 8 {
            0 => OccurrenceStatus::Missed,
            5 => OccurrenceStatus::Stale,
            _ => OccurrenceStatus::Failed,
        };
        DigestEntry {
            surface: format!("a/default/branch-report-{number}/alert"),
            name: format!("Branch report {number}").into(),
            team: if number % 3 == 0 { "data".into() } else { "payments".into() },
            status,
            subject: Subject::Occurrence { due: at(15) },
            ended: false,
            later: None,
        }
    };
    let (maybe_repeat, more, more_ended) = (false, 0, 0);
    DigestFacts { opened_at: at(20), entries: (1..=12).map(entry).collect(), more, maybe_repeat, more_ended }
}

fn blind() -> Option<Facts> {
    let tenant = TenantId::new("default").ok()?;
    Some(Facts::Blind(Box::new(BlindFacts {
        tenant,
        gap: Gap { from: at(40), until: at(52) },
        reason: BlindReason::NoPulse,
        parts: vec![(0, 2), (1, 1)],
        schedulers: vec!["ledger-export".into(), "nightly-billing".into(), "search-index".into()],
        unknown: vec![("Search index".into(), at(45))],
        unknown_total: 1,
    })))
}

fn admin() -> Vec<(&'static str, &'static str, AdminFacts)> {
    let lost = LostFrames { partition: 2, gateway: GATEWAY, first: 4_711, last: 4_713, at: at(33) };
    let held = ClockHeld { partition: 2, gateway: GATEWAY, clock: at(90), wall: at(30) };
    let channel = || "C0123456789".to_owned();
    let archived = AdminFacts::Destination { channel: channel(), code: "is_archived".to_owned(), at: at(33) };
    let refused = AdminFacts::Refused { channel: channel(), code: "invalid_blocks".to_owned(), at: at(33) };
    vec![
        ("lost-frames", "To the operator: the queue lost what it had confirmed.", AdminFacts::Lost(lost)),
        ("destination", "To the operator: a channel refuses us.", archived),
        ("refused", "To the operator: a message is refused in every form.", refused),
        (
            "unreadable-events",
            "To the operator: events can't be read.",
            AdminFacts::UnreadableEvents { partition: 2, at: at(33) },
        ),
        (
            "unreadable-rows",
            "To the operator: rows of the notifier can't be read.",
            AdminFacts::UnreadableRows { rows: 3, at: at(33) },
        ),
        ("clock-held", "To the operator: a partition's clock is ahead.", AdminFacts::Held(held)),
    ]
}

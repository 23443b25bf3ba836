//! What the partition's clock promises: no false alarm from our own slowness, and no real miss skipped.

mod stage;

use ronda_domain::attention::By;
use ronda_domain::event::EventKind;
use ronda_domain::input::Input;
use ronda_domain::input::ReportedStatus::{Failed, Running, Success};
use ronda_domain::record::OccurrenceStatus as S;
use ronda_domain::spec::SchedulerSpec;
use ronda_processor::Config;
use ronda_schemas::event::{BlindReason, EventEnvelope};
use ronda_schemas::frame::FrameKind;
use stage::{Gateway, Stage, at, frame, heartbeat, register, second, spec, status, step};

#[test]
fn all_gateways_dead_for_five_minutes_declare_nobody_stale_and_are_told_once() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let asked = [
        register("beating", spec(None, Some(30))),
        register("open-run", spec(None, Some(30))),
        register("minutely", spec(Some(60), None)),
        register("idle", spec(None, None)),
    ];
    stage.take(gateway.frame(0, &asked));
    stage.take(gateway.frame(1, &[heartbeat("beating", None), status("open-run", Running, Some("r"))]));
    stage.take(gateway.frame(2, &[status("minutely", Success, Some("m0"))]));
    // Nothing until 305, then all is as before.
    stage.take(gateway.frame(305, &[heartbeat("beating", None), heartbeat("open-run", Some("r"))]));
    let notices = stage.notices();
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].gap.from, notices[0].gap.until), (second(2), second(305)));
    assert_eq!(notices[0].reason, BlindReason::NoPulse);
    let named: Vec<_> = notices[0].schedulers.iter().map(ToString::to_string).collect();
    assert_eq!((named, notices[0].total), (["beating", "minutely", "open-run"].map(str::to_owned).to_vec(), 3));
    for at in 306..=330 {
        stage.take(gateway.frame(at, &[heartbeat("beating", None), heartbeat("open-run", Some("r"))]));
    }
    assert!(!stage.said("beating").contains(&S::Stale) && !stage.said("open-run").contains(&S::Stale));
    let minutely = stage.said("minutely");
    assert!(!minutely.contains(&S::Missed), "{minutely:?}");
    assert!(minutely.iter().filter(|to| **to == S::Unknown).count() >= 4, "{minutely:?}");
    // True silence afterwards is found.
    stage.pulse(&mut gateway, 331..=440);
    assert_eq!(stage.said("beating"), [S::Stale]);
    assert!(stage.said("open-run").contains(&S::Stale));
    assert!(stage.said("minutely").contains(&S::Missed));
    assert_eq!(stage.notices().len(), 1);
}

#[test]
fn a_gateway_killed_and_started_again_is_one_gap_that_ends_with_the_first_new_pulse() {
    let mut stage = Stage::new();
    let (mut old, mut new) = (Gateway::new(1), Gateway::new(2));
    stage.take(old.frame(0, &[register("beating", spec(None, Some(30)))]));
    stage.take(old.frame(1, &[heartbeat("beating", None)]));
    stage.take(frame(&new.header(100, FrameKind::Join), &[]));
    stage.take(new.frame(101, &[heartbeat("beating", None)]));
    assert_eq!(stage.core.watermark(), second(1), "the old one may still be there");
    stage.pulse(&mut new, 102..=110);
    assert_eq!(stage.core.watermark(), second(110));
    assert_eq!(stage.notices().len(), 1);
    assert_eq!((stage.notices()[0].gap.from, stage.notices()[0].gap.until), (second(1), second(100)));
    assert!(stage.said("beating").is_empty());
    stage.pulse(&mut new, 111..=140);
    assert_eq!(stage.said("beating"), [S::Stale]);
}

#[test]
fn after_a_restart_that_is_known_to_be_alone_judgement_goes_on_at_once() {
    for (gone_seconds, offset_ms) in [(0, 500), (2, 0), (5, 0), (9, 0), (15, 0)] {
        let mut stage = Stage::new();
        let (mut old, mut new) = (Gateway::new(1), Gateway::new(2));
        stage.take(old.frame(0, &[register("job", spec(None, Some(5)))]));
        stage.take(old.frame(1, &[heartbeat("job", None)]));
        stage.pulse(&mut old, 2..=4);
        new.skew_ms = offset_ms;
        stage.take(frame(&new.header(4 + gone_seconds, FrameKind::JoinAlone), &[]));
        let joined = second(4 + gone_seconds).plus_millis(offset_ms);
        assert_eq!(stage.core.watermark(), joined, "after {gone_seconds} s");
        let gaps: Vec<_> = stage.notices().iter().map(|notice| (notice.gap.from, notice.gap.until)).collect();
        let expected = if gone_seconds > 3 { vec![(second(4), joined)] } else { Vec::new() };
        assert_eq!(gaps, expected, "after {gone_seconds} s");
        assert!(stage.said("job").is_empty(), "after {gone_seconds} s");
        stage.pulse(&mut new, 5 + gone_seconds..=12 + gone_seconds);
        assert_eq!(stage.said("job"), [S::Stale], "its time-out was heard whole, after {gone_seconds} s");
        assert_eq!(stage.core.live_gateways(), 1);
    }
}

#[test]
fn what_was_refused_while_a_short_restart_lasted_is_waited_for_and_nobody_is_told() {
    for down_ms in [500, 1_000, 2_900] {
        let mut stage = Stage::new();
        let (mut old, mut new) = (Gateway::new(1), Gateway::new(2));
        let five = SchedulerSpec { start_grace_seconds: 1, early_window_seconds: 0, ..spec(Some(5), None) };
        let asked =
            [register("job", five), register("worker", spec(None, Some(14))), register("hung", spec(None, Some(14)))];
        stage.take(old.frame(0, &asked));
        stage.take(old.frame(1, &[heartbeat("worker", None), heartbeat("hung", None)]));
        for at in 2..=14 {
            let asked = if at % 5 == 0 { vec![status("job", Success, None)] } else { vec![] };
            stage.take(old.frame(at, &asked));
        }
        // The last moment heard is at 14.9. What is due at 15, and may be a second late, is refused, and sent again once Ronda is back.
        old.skew_ms = 900;
        stage.take(frame(&old.header(14, FrameKind::Leave), &[]));
        new.skew_ms = 900 + down_ms;
        stage.take(frame(&new.header(14, FrameKind::JoinAlone), &[]));
        new.skew_ms += 100;
        stage.take(new.frame(14, &[status("job", Success, None), heartbeat("worker", None)]));
        stage.pulse(&mut new, 15..=16);
        assert_eq!(stage.said("job"), [S::Succeeded; 3], "down for {down_ms} ms");
        assert!(stage.said("worker").is_empty(), "down for {down_ms} ms: {:?}", stage.said("worker"));
        assert!(stage.notices().is_empty(), "down for {down_ms} ms");
        // What stays silent is found, a time-out later.
        stage.pulse(&mut new, 17..=32);
        assert_eq!(stage.said("hung"), [S::Stale], "down for {down_ms} ms");
        assert!(stage.said("job").contains(&S::Missed), "down for {down_ms} ms");
    }
}

#[test]
fn whoever_was_refused_because_a_frame_was_given_up_gets_its_time_again() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("worker", spec(None, Some(10)))]));
    stage.take(gateway.frame(1, &[heartbeat("worker", None)]));
    stage.pulse(&mut gateway, 2..=10);
    // Its heartbeat was in frame 12, which the queue did not take.
    gateway.number += 1;
    let mut header = gateway.header(12, FrameKind::Normal);
    header.abandoned = vec![12];
    stage.take(frame(&header, &[]));
    stage.pulse(&mut gateway, 13..=22);
    assert!(stage.said("worker").is_empty() && stage.notices().is_empty());
    stage.pulse(&mut gateway, 23..=23);
    assert_eq!(stage.said("worker"), [S::Stale]);
}

#[test]
fn a_gateway_that_left_is_waited_for_no_longer() {
    let mut stage = Stage::new();
    let (mut old, mut new) = (Gateway::new(1), Gateway::new(2));
    stage.pulse(&mut old, 0..=5);
    stage.pulse(&mut new, 5..=6);
    assert_eq!(stage.core.watermark(), second(5));
    stage.take(frame(&old.header(6, FrameKind::Leave), &[]));
    stage.take(new.frame(7, &[]));
    assert_eq!(stage.core.watermark(), second(7));
    assert!(stage.notices().is_empty());
}

#[test]
fn one_of_two_gateways_silent_holds_the_clock_for_a_bounded_time_and_makes_no_gap() {
    let mut stage = Stage::new();
    let (mut one, mut other) = (Gateway::new(1), Gateway::new(2));
    stage.take(one.frame(0, &[register("job", spec(None, Some(5)))]));
    stage.take(other.frame(0, &[]));
    stage.take(one.frame(1, &[heartbeat("job", None)]));
    stage.pulse(&mut other, 1..=11);
    assert_eq!(stage.core.watermark(), second(1));
    stage.take(other.frame(12, &[]));
    assert_eq!(stage.core.watermark(), second(12));
    assert!(stage.notices().is_empty());
    // Whoever reports through it only is waited for until it has been silent for three times as long.
    stage.pulse(&mut other, 13..=36);
    assert!(stage.said("job").is_empty());
    stage.pulse(&mut other, 37..=37);
    assert_eq!(stage.said("job"), [S::Stale]);
}

#[test]
fn a_repeated_frame_is_dropped_whole() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("job", spec(None, None))]));
    let message = gateway.frame(1, &[heartbeat("job", None)]);
    stage.take(message.clone());
    let (applied, row) = (stage.shadow.partition.applied, stage.row("job").cloned());
    stage.take(message);
    assert_eq!(stage.shadow.partition.applied, applied);
    assert_eq!(stage.row("job").cloned(), row);
    assert_eq!(stage.shadow.partition.cursor, 3);
}

#[test]
fn a_hole_in_the_numbers_is_lost_data_and_a_blind_interval_and_a_number_given_up_is_neither() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(7);
    stage.take(gateway.frame(0, &[register("job", spec(None, Some(30)))]));
    stage.take(gateway.frame(1, &[heartbeat("job", None)]));
    gateway.number += 1;
    let mut header = gateway.header(2, FrameKind::Normal);
    header.abandoned = vec![3];
    stage.take(frame(&header, &[]));
    assert!(stage.lost().is_empty() && stage.notices().is_empty());
    gateway.number += 2;
    stage.take(gateway.frame(3, &[]));
    let lost = stage.lost();
    assert_eq!((lost.len(), lost[0].gateway, lost[0].first, lost[0].last), (1, 7, 5, 6));
    let notices = stage.notices();
    assert_eq!((notices.len(), notices[0].reason), (1, BlindReason::LostFrames));
    assert_eq!((notices[0].gap.from, notices[0].gap.until), (second(2), second(3)));
}

#[test]
fn a_backlog_slows_the_clock_and_alarms_nobody() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("job", spec(None, Some(5)))]));
    // An hour of frames, read all at once and long after they were sent.
    let frames = (1..=3_600).map(|at| gateway.frame(at, &[heartbeat("job", None)]));
    let backlog: Vec<_> = at(2, frames).collect();
    for part in backlog.chunks(64) {
        let (through, step) = stage.core.step(part);
        assert_eq!(through, part.len());
        stage.finish(step);
    }
    assert!(stage.said("job").is_empty());
    assert_eq!(stage.core.watermark(), second(3_600));
}

#[test]
fn a_wall_clock_stepped_forward_is_a_gap_and_not_time_that_passed() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("job", spec(None, Some(30)))]));
    stage.take(gateway.frame(1, &[heartbeat("job", None)]));
    gateway.skew_ms = 3_600_000;
    stage.take(gateway.frame(2, &[]));
    let notices = stage.notices();
    assert_eq!((notices.len(), notices[0].reason), (1, BlindReason::ClockStep));
    assert_eq!((notices[0].gap.from, notices[0].gap.until), (second(1), second(3_602)));
    assert!(stage.said("job").is_empty());
    stage.take(gateway.frame(3, &[heartbeat("job", None)]));
    stage.pulse(&mut gateway, 4..=40);
    assert_eq!(stage.said("job"), [S::Stale]);
}

#[test]
fn a_wall_clock_set_a_year_ahead_and_put_right_within_a_minute_changes_nothing() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("job", spec(None, Some(30)))]));
    stage.take(gateway.frame(1, &[heartbeat("job", None)]));
    gateway.skew_ms = 365 * 86_400_000;
    for at in 2..=60 {
        stage.take(gateway.frame(at, &[heartbeat("job", None)]));
        assert_eq!(stage.core.watermark(), second(at), "judgement goes on by the monotonic clock");
    }
    gateway.skew_ms = 0;
    stage.pulse(&mut gateway, 61..=90);
    assert!(stage.notices().is_empty() && stage.said("job").is_empty());
    stage.pulse(&mut gateway, 91..=92);
    assert_eq!(stage.said("job"), [S::Stale]);
}

#[test]
fn a_great_step_that_lasts_is_followed_as_a_gap_after_a_minute() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("job", spec(None, Some(30)))]));
    let day_ms = 86_400_000;
    gateway.skew_ms = day_ms;
    for at in 1..=60 {
        stage.take(gateway.frame(at, &[heartbeat("job", None)]));
    }
    assert_eq!(stage.core.watermark(), second(60));
    stage.take(gateway.frame(61, &[heartbeat("job", None)]));
    assert_eq!(stage.core.watermark(), second(61).plus_millis(day_ms));
    let notices = stage.notices();
    assert_eq!((notices.len(), notices[0].reason), (1, BlindReason::ClockStep));
    assert_eq!((notices[0].gap.from, notices[0].gap.until), (second(60), second(61).plus_millis(day_ms)));
    assert!(stage.said("job").is_empty());
}

#[test]
fn a_clock_far_ahead_of_a_gateway_is_told_to_the_operator_once() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.pulse(&mut gateway, 0..=5);
    gateway.skew_ms = -60_000;
    stage.pulse(&mut gateway, 6..=10);
    assert!(stage.held().is_empty(), "a minute passes by itself");
    gateway.skew_ms = -3_600_000;
    stage.pulse(&mut gateway, 11..=3_000);
    let held = stage.held();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].gateway, held[0].clock, held[0].wall), (1, second(5), second(11 - 3_600)));
    gateway.skew_ms = 0;
    stage.pulse(&mut gateway, 3_001..=3_010);
    assert_eq!((stage.core.watermark(), stage.held().len()), (second(3_010), 1));
}

#[test]
fn a_wall_clock_stepped_back_holds_the_clock_until_it_has_caught_up() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(100, &[register("job", spec(None, Some(30)))]));
    stage.take(gateway.frame(101, &[heartbeat("job", None)]));
    gateway.skew_ms = -60_000;
    for at in 102..=160 {
        stage.take(gateway.frame(at, &[heartbeat("job", None)]));
        assert_eq!(stage.core.watermark(), second(101));
    }
    stage.pulse(&mut gateway, 161..=185);
    assert!(stage.notices().is_empty() && stage.said("job").is_empty());
    stage.pulse(&mut gateway, 186..=200);
    assert_eq!(stage.said("job"), [S::Stale]);
}

#[test]
fn one_gateways_stepped_clock_does_not_move_the_partitions_while_others_pulse() {
    let mut stage = Stage::new();
    let (mut one, mut other) = (Gateway::new(1), Gateway::new(2));
    for at in 0..=20 {
        one.skew_ms = if at >= 10 { 3_600_000 } else { 0 };
        stage.take(one.frame(at, &[]));
        stage.take(other.frame(at, &[]));
    }
    assert_eq!(stage.core.watermark(), second(20));
    assert!(stage.notices().is_empty());
}

#[test]
fn the_clocks_jump_judges_each_scheduler_a_bounded_number_of_times() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let asked: Vec<_> = (0..100).map(|n| register(&format!("job-{n}"), spec(Some(60), Some(30)))).collect();
    stage.take(gateway.frame(0, &asked));
    stage.position += 1;
    let step = step(&mut stage.core, &mut at(stage.position, [gateway.frame(86_400, &[])]).collect());
    assert!(step.counts.ticks <= 100 * 100, "{}", step.counts.ticks);
    stage.finish(step);
    assert_eq!(stage.notices()[0].total, 100);
    assert!((0..100).all(|n| !stage.said(&format!("job-{n}")).contains(&S::Missed)));
}

#[test]
fn what_a_long_gap_brings_is_judged_in_bounded_commits_before_the_clock_goes_on() {
    const JOBS: usize = 20;
    let config = Config { commit_records: 2_000, ..Config::default() };
    let mut stage = Stage::with(&config);
    let mut gateway = Gateway::new(1);
    let asked: Vec<_> = (0..JOBS).map(|n| register(&format!("job-{n}"), spec(Some(60), None))).collect();
    stage.take(gateway.frame(0, &asked));
    let back = 3 * 86_400;
    stage.pulse(&mut gateway, back..=back + 70);
    // One judgement, of a thousand due times, each an entry and an event, may pass the bound.
    let most = config.commit_records + 2 * 1_100;
    let sizes: Vec<_> = stage.commits.iter().map(|commit| commit.occurrences.len() + commit.runs.len()).collect();
    assert!(sizes.iter().all(|size| *size <= most), "{:?}", sizes.iter().max());
    let unknown = stage.shadow.occurrences.values().filter(|entry| entry.status == S::Unknown).count();
    assert!(unknown >= JOBS * 4_310, "{unknown}");
    // Nobody is told a time before all that lies before it is judged.
    let mut told = second(0);
    for (_, batch) in &stage.batches {
        let late =
            batch.events.iter().any(|event| matches!(event, EventEnvelope::Scheduler(event) if event.event.at < told));
        assert!(!late, "an event from before {told:?} came after that had been told");
        told = told.max(batch.watermark);
    }
    assert!(sizes.iter().filter(|size| **size > 0).count() >= JOBS, "it took several commits: {sizes:?}");
    assert_eq!(stage.core.watermark(), second(back + 70));
    let mut whole = Stage::new();
    let mut gateway = Gateway::new(1);
    whole.take(gateway.frame(0, &asked));
    whole.pulse(&mut gateway, back..=back + 70);
    assert_eq!(stage.shadow.occurrences, whole.shadow.occurrences);
    assert_eq!(stage.ids(), whole.ids());
}

#[test]
fn a_frame_that_takes_several_commits_comes_to_its_end_wherever_it_stands_among_those_received_together() {
    for (records, jobs) in [(20, 100), (20_000, 7_000)] {
        let mut stage = Stage::with(&Config { commit_records: records, ..Config::default() });
        let mut gateway = Gateway::new(1);
        let asked: Vec<_> = (0..jobs).map(|n| register(&format!("job-{n}"), spec(Some(60), None))).collect();
        stage.take(gateway.frame(0, &asked));
        stage.pulse(&mut gateway, 1..=69);
        // All are due at 60 and may be ten seconds late: the second of the two has every miss in it.
        let before = stage.commits.len();
        stage.take_together([gateway.frame(70, &[]), gateway.frame(71, &[]), gateway.frame(72, &[])]);
        assert!(stage.commits.len() > before + 1, "it took several commits");
        let is_alert = |event: &&EventEnvelope| match event {
            EventEnvelope::Scheduler(event) => matches!(event.event.kind, EventKind::AlertOpened { .. }),
            _ => false,
        };
        assert_eq!(stage.events.iter().filter(is_alert).count(), jobs);
        assert_eq!(stage.core.watermark(), second(72));
    }
}

#[test]
fn every_event_partition_is_told_the_clock_once_a_period() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.pulse(&mut gateway, 0..=10);
    for partition in 0..4 {
        let told: Vec<_> =
            stage.batches.iter().filter(|(to, _)| *to == partition).map(|(_, batch)| batch.watermark).collect();
        assert_eq!(told, (0..=10).map(second).collect::<Vec<_>>());
    }
}

/// A scheduler is judged when something of it is due: what is said between is told with what is so when it is said.
#[test]
fn what_happens_after_the_end_of_a_mute_is_not_told_as_if_it_were_muted() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let by = By { source: "slack", id: "U1", name: "Ratna" };
    stage.take(gateway.frame(0, &[register("job", spec(None, None))]));
    stage.take(gateway.frame(1, &[("acme", "job".to_owned(), Input::Mute { until: second(60), by })]));
    stage.take(gateway.frame(30, &[status("job", Failed, Some("r1"))]));
    stage.pulse(&mut gateway, 31..=99);
    // Who says that they look after it means what has failed by then.
    let acknowledges = ("acme", "job".to_owned(), Input::Acknowledge { by, alert: None });
    stage.take(gateway.frame(100, &[status("job", Failed, Some("r2")), acknowledges]));
    let muted_at = |envelope: &EventEnvelope| match envelope {
        EventEnvelope::Scheduler(told) => Some((told.event.at, told.summary.mute.is_some())),
        _ => None,
    };
    let told: Vec<_> = stage.events.iter().filter_map(muted_at).collect();
    assert!(told.contains(&(second(30), true)), "{told:?}");
    assert!(told.iter().any(|(at, _)| *at >= second(60)), "{told:?}");
    assert!(told.iter().all(|(at, is_muted)| !is_muted || *at < second(60)), "{told:?}");
}

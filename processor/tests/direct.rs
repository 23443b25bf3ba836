//! What is promised to those who publish onto the queue directly.

mod stage;

use ronda_domain::Scheduler;
use ronda_domain::id::TenantId;
use ronda_domain::input::{Gap, ReportedStatus};
use ronda_domain::record::OccurrenceStatus;
use ronda_domain::time::Timestamp;
use ronda_processor::{Access, Config, DeadLetter, Denied, Incoming};
use ronda_schemas::codec::Versioned;
use ronda_schemas::row::{PartitionRow, Scopes};
use stage::{Gateway, Shadow, Stage, at, direct, direct_with, heartbeat, register, second, spec, status};

const REGISTER: &str = r#"{"type":"register","id":"job","schedule":{"every_seconds":60},"start_grace_seconds":10,"early_window_seconds":5}"#;

fn report(status: &str, run_id: &str) -> String {
    format!(r#"{{"type":"status","scheduler_id":"job","status":"{status}","run_id":"{run_id}"}}"#)
}

fn state(stage: &Stage) -> &Scheduler {
    stage.row("job").and_then(|row| row.state.as_ref()).expect("a scheduler")
}

fn codes(stage: &Stage) -> Vec<&str> {
    stage.dead_letters.iter().map(|letter| &*letter.code).collect()
}

fn told(stage: &Stage) -> Vec<&str> {
    stage.shadow.errors.values().map(|error| &*error.code).collect()
}

#[test]
fn a_job_needs_no_gateway_but_for_the_clock() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[]));
    stage.take_direct(direct(REGISTER, None));
    assert_eq!(state(&stage).registered_at(), second(0), "the partition's clock, not the publisher's");
    stage.pulse(&mut gateway, 1..=60);
    let text = r#"{"type":"status","scheduler_id":"job","status":"success","run_id":"r1","occurred_at":"2026-11-23T18:00:00Z"}"#;
    stage.take_direct(direct(text, None));
    assert_eq!(stage.core.watermark(), second(60), "it does not move the clock");
    stage.pulse(&mut gateway, 61..=200);
    assert!(stage.said("job").contains(&OccurrenceStatus::Succeeded));
    assert!(stage.said("job").contains(&OccurrenceStatus::Missed), "its deadlines are judged: {:?}", stage.said("job"));
    let run = stage.shadow.runs.values().next().expect("a run");
    assert_eq!(run.ended_at, Some(second(60)));
    assert!(run.occurred_at.is_some_and(|at| at != second(60)), "the publisher's time is kept");
}

#[test]
fn what_was_published_before_the_first_pulse_waits_for_it_and_gets_its_time() {
    let mut gateway = Gateway::new(1);
    for counts in [false, true] {
        let mut stage = Stage::new();
        if counts {
            (stage.core, _) = stage.shadow.take_over_as(&Config::default(), |core| core.counting(10));
        }
        let position = |position| (!counts).then_some(position);
        let mut waiting = vec![
            Incoming { position: position(1), ..direct(REGISTER, Some("1")) },
            Incoming { position: position(2), ..direct(report("running", "r"), Some("2")) },
        ];
        assert_eq!(stage.core.take(&waiting), 0);
        assert!(stage.core.lacks_clock() && stage.core.cursor() == 0);
        waiting.push(Incoming {
            position: position(3),
            ..Incoming::frame(None, gateway.frame(7, &[heartbeat("job", Some("r"))]))
        });
        stage.take_all(waiting);
        assert_eq!((stage.core.cursor(), stage.shadow.partition.applied), (3, 3));
        assert_eq!(state(&stage).registered_at(), second(7));
        assert!(stage.dead_letters.is_empty());
        gateway = Gateway::new(2);
    }
}

#[test]
fn a_first_frame_that_is_too_far_behind_says_what_time_it_is_all_the_same() {
    let mut stage = Stage::new();
    let waiting = [direct(REGISTER, None), direct("rubbish", None)];
    let positions = |(incoming, position): (Incoming, u64)| Incoming { position: Some(position), ..incoming };
    let waiting: Vec<_> = waiting.into_iter().zip(1..).map(positions).collect();
    assert_eq!(stage.core.take(&waiting), 0);
    stage.core.first_frame_is_of(second(7));
    stage.take_all(waiting);
    assert_eq!((codes(&stage), stage.shadow.partition.cursor), (vec!["not_a_command"], 2));
    assert_eq!(state(&stage).registered_at(), second(7));
    assert_eq!(stage.core.watermark(), Timestamp::MIN, "it is not here yet");
}

#[test]
fn nobody_has_missed_what_was_due_before_the_first_pulse_of_all() {
    let mut stage = Stage::new();
    (stage.core, _) = stage.shadow.take_over_as(&Config::default(), |core| core.counting(10));
    let mut early = direct(REGISTER, Some("1"));
    early.direct.as_mut().expect("direct").origin.published_ms = Some(second(0).as_millis());
    stage.take_all(vec![early]);
    assert_eq!(state(&stage).registered_at(), second(0), "the broker's time");
    let mut gateway = Gateway::new(1);
    let mut pulse = |stage: &mut Stage, at| stage.take_all(vec![Incoming::frame(None, gateway.frame(at, &[]))]);
    (200..245).for_each(|at| pulse(&mut stage, at));
    let said = stage.said("job");
    assert!(!said.contains(&OccurrenceStatus::Missed), "nobody could be heard: {said:?}");
    let notices = stage.notices();
    assert_eq!(
        notices.iter().map(|notice| notice.gap).collect::<Vec<_>>(),
        [Gap { from: second(0), until: second(200) }]
    );
    (245..400).for_each(|at| pulse(&mut stage, at));
    assert!(stage.said("job").contains(&OccurrenceStatus::Missed), "and then as ever: {:?}", stage.said("job"));
}

#[test]
fn what_is_said_after_a_backlog_does_not_look_older_than_the_backlog() {
    for is_new_owner in [false, true] {
        let mut stage = Stage::new();
        (stage.core, _) = stage.shadow.take_over_as(&Config::default(), |core| core.counting(10));
        // Taken out of the queue long after the gateway began, whose first frame lies behind it.
        let mut early = direct(REGISTER, Some("1"));
        early.direct.as_mut().expect("direct").origin.published_ms = Some(second(600).as_millis());
        stage.take_all(vec![early]);
        assert_eq!(state(&stage).registered_at(), second(600));
        if is_new_owner {
            (stage.core, _) = stage.shadow.take_over_as(&Config::default(), |core| core.counting(10));
        }
        let delete = direct(r#"{"type":"delete","scheduler_id":"job"}"#, Some("2"));
        let mut gateway = Gateway::new(1);
        stage.take_all(vec![delete, Incoming::frame(None, gateway.frame(0, &[]))]);
        assert!(stage.row("job").is_none_or(|row| row.state.is_none()), "it was deleted after it was registered");
        assert_eq!(stage.core.watermark(), second(600));
        stage.take_all(vec![Incoming::frame(None, gateway.frame(602, &[])), direct(REGISTER, Some("3"))]);
        assert_eq!(state(&stage).registered_at(), second(602), "and can be registered again");
    }
}

fn gateway_frame() -> bytes::Bytes {
    Gateway::new(1).frame(0, &[])
}

#[test]
fn what_is_wrong_is_told_to_the_tenant_and_kept_and_the_good_ones_around_it_are_applied() {
    let mut stage = Stage::new();
    stage.take(gateway_frame());
    stage.take_direct(direct("rubbish", Some("m-1")));
    let batch = format!(
        r#"[{REGISTER},{{"type":"status","scheduler_id":"job","status":"done"}},{},{{"type":"heartbeat","scheduler_id":"job","x":1}}]"#,
        report("running", "r")
    );
    stage.take_direct(direct(batch.clone(), None));
    stage.take_direct(direct(gateway_frame(), None));
    stage.take_direct(direct(r#"{"type":"heartbeat","scheduler_id":"ghost"}"#, None));
    assert_eq!(codes(&stage), ["not_a_command", "invalid_body", "not_a_command"]);
    assert_eq!(told(&stage).len(), 5);
    assert!(told(&stage).contains(&"unknown_scheduler"));
    assert_eq!(stage.shadow.partition.applied, 2);
    assert_eq!(state(&stage).view(second(0)).open_runs.len(), 1, "what came after the wrong one, too");
    let letter = &stage.dead_letters[1];
    assert_eq!((letter.command, &letter.more[..], &letter.message[..]), (Some(1), &[3][..], batch.as_bytes()));
    let origin = stage.dead_letters[0].origin.as_deref().expect("an origin");
    assert_eq!((origin.tenant.as_deref(), origin.message_id.as_deref()), (Some("acme"), Some("m-1")));
    assert_eq!((&*origin.source, origin.headers.len()), ("ronda.in.acme.job", 1));
    let mut again = direct("", Some("m-1")).direct.expect("direct").origin;
    again.headers.insert(0, ("ronda-redriven".to_owned(), "1".to_owned()));
    assert_eq!(origin.origin(), again);
    let error = stage.shadow.errors.values().find(|error| &*error.code == "invalid_body").expect("an entry");
    assert_eq!((&*error.scheduler, &*error.command, error.at), ("job", "status", second(0)));
    assert!(error.detail.contains("/status"), "{}", error.detail);
}

#[test]
fn a_storm_of_rubbish_that_passes_for_frames_is_bounded_and_frames_of_newer_gateways_are_all_kept() {
    let mut stage = Stage::with(&Config { direct_errors_per_minute: 10, ..Config::default() });
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[]));
    for number in 0..40 {
        stage.take(format!("rubbish {number}").into());
        // [99, 1]
        stage.take(bytes::Bytes::from_static(&[0x92, 99, 1]));
    }
    let count = |code: &str| codes(&stage).iter().filter(|known| **known == code).count();
    assert_eq!((count("not_a_frame"), count("newer_version")), (10, 40));
    stage.take(gateway.frame(61, &[]));
    stage.take("rubbish".into());
    assert_eq!(codes(&stage).len(), 51, "in another minute there is room again");
}

#[test]
fn who_may_not_is_refused() {
    let mut stage = Stage::new();
    stage.take(gateway_frame());
    stage.take_direct(direct(REGISTER, None));
    let denied = Denied { code: "unauthorized", detail: "it has no API key".to_owned() };
    stage.take_direct(direct_with(report("failed", "r"), None, Err(denied)));
    assert_eq!((codes(&stage), told(&stage).len()), (vec!["unauthorized"], 0), "nobody knows whose feed it is for");
    let tenant = TenantId::new("acme").expect("a tenant");
    let may = |ingest, admin| Ok(Access { tenant: tenant.clone(), scopes: Scopes { ingest, read: true, admin } });
    let delete = r#"{"type":"delete","scheduler_id":"job"}"#;
    stage.take_direct(direct_with(delete, None, may(true, false)));
    stage.take_direct(direct_with(report("failed", "r"), None, may(false, true)));
    assert_eq!(told(&stage), ["forbidden", "forbidden"]);
    assert_eq!(stage.shadow.partition.applied, 1);
    stage.take_direct(direct_with(delete, None, may(false, true)));
    assert!(stage.row("job").is_none_or(|row| row.state.is_none()));
}

#[test]
fn a_message_for_another_partition_is_told_its_own() {
    let row = PartitionRow { partition: 3, partitions: 8, watermark: second(0), ..PartitionRow::default() };
    let mut stage = Stage::new();
    stage.shadow = Shadow { partition: row, ..Shadow::new() };
    (stage.core, _) = stage.shadow.take_over(&Config::default());
    for text in [REGISTER, &report("failed", "r")] {
        stage.take_direct(direct(text.to_owned(), None));
    }
    assert_eq!(told(&stage), ["wrong_partition", "wrong_partition"]);
    assert_eq!(codes(&stage), ["wrong_partition", "wrong_partition"], "and kept, to be put where they belong");
    let detail = &stage.shadow.errors.values().next().expect("an entry").detail;
    let belongs = ronda_domain::id::partition_of("acme", "job", 8);
    assert!(detail.contains(&format!("belongs to partition {belongs}")), "{detail}");
}

#[test]
fn a_retry_under_the_same_id_counts_once() {
    let ended = |first: Option<&str>, second: Option<&str>, counts: bool| {
        let mut stage = Stage::new();
        if counts {
            (stage.core, _) = stage.shadow.take_over_as(&Config::default(), |core| core.counting(100));
        }
        let mut gateway = Gateway::new(1);
        let take = |stage: &mut Stage, incoming: Incoming| {
            if counts { stage.take_all(vec![incoming]) } else { stage.take_direct(incoming) }
        };
        let asked = [
            register("job", spec(None, None)),
            status("job", ReportedStatus::Running, Some("a")),
            status("job", ReportedStatus::Running, Some("b")),
        ];
        take(&mut stage, Incoming::frame(None, gateway.frame(0, &asked)));
        for id in [first, second] {
            take(&mut stage, direct(r#"{"type":"status","scheduler_id":"job","status":"success"}"#, id));
        }
        for at in 1..=10 {
            take(&mut stage, Incoming::frame(None, gateway.frame(at, &[])));
        }
        stage.said("job").iter().filter(|status| **status == OccurrenceStatus::Succeeded).count()
    };
    for counts in [false, true] {
        assert_eq!(ended(Some("1"), Some("1"), counts), 1);
        assert_eq!(ended(Some("1"), Some("2"), counts), 2);
        assert_eq!(ended(None, None, counts), 2, "without an id they are two");
    }
}

#[test]
fn a_message_that_is_put_back_is_not_taken_for_the_one_that_was_put_aside() {
    let mut stage = Stage::new();
    (stage.core, _) = stage.shadow.take_over_as(&Config::default(), |core| core.counting(100));
    stage.take_all(vec![Incoming::frame(None, gateway_frame())]);
    let denied = Denied { code: "unauthorized", detail: "no key".to_owned() };
    let mut incoming = direct_with(REGISTER, Some("m-1"), Err(denied));
    stage.take_all(vec![incoming.clone(), incoming.clone()]);
    assert_eq!(stage.dead_letters.len(), 1);
    let again = stage.dead_letters[0].origin.as_deref().expect("an origin").origin();
    let allowed = direct("", None).direct.expect("direct").access;
    incoming.direct = Some(Box::new(ronda_processor::Direct { origin: again, access: allowed }));
    stage.take_all(vec![incoming.clone(), incoming]);
    assert_eq!((stage.shadow.partition.applied, stage.shadow.partition.cursor), (1, 3));
}

#[test]
fn a_message_that_was_refused_is_taken_when_it_comes_with_a_good_key() {
    let tenant = TenantId::new("acme").expect("a tenant");
    let may = |ingest| Ok(Access { tenant: tenant.clone(), scopes: Scopes { ingest, read: true, admin: false } });
    let denied = Denied { code: "unauthorized", detail: "no key".to_owned() };
    for (refused, code) in [(Err(denied), "unauthorized"), (may(false), "forbidden")] {
        let mut stage = Stage::new();
        (stage.core, _) = stage.shadow.take_over_as(&Config::default(), |core| core.counting(100));
        stage.take_all(vec![Incoming::frame(None, gateway_frame())]);
        let wrong = direct_with(REGISTER, Some("m-1"), refused);
        let good = direct_with(REGISTER, Some("m-1"), may(true));
        stage.take_all(vec![wrong.clone(), wrong, good.clone(), good]);
        assert_eq!((codes(&stage), stage.shadow.partition.applied), (vec![code], 1));
    }
}

#[test]
fn an_event_is_the_same_one_in_another_batch_and_alone() {
    let event = |id: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"fleet","type":"ronda.status","subject":"job","data":{{"status":"success"}}}}"#
        )
    };
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let asked = [
        register("job", spec(None, None)),
        status("job", ReportedStatus::Running, Some("a")),
        status("job", ReportedStatus::Running, Some("b")),
        status("job", ReportedStatus::Running, Some("c")),
    ];
    stage.take(gateway.frame(0, &asked));
    for message in [format!("[{},{}]", event("1"), event("2")), format!("[{}]", event("2")), event("2")] {
        stage.take_direct(direct(message, None));
    }
    stage.pulse(&mut gateway, 1..=10);
    let succeeded = stage.said("job").iter().filter(|status| **status == OccurrenceStatus::Succeeded).count();
    assert_eq!((succeeded, told(&stage)), (2, Vec::new()));
}

#[test]
fn a_storm_of_wrong_messages_fills_nothing_and_is_told_once_a_minute() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("job", spec(None, None))]));
    for number in 0..500 {
        stage.take_direct(direct(format!("rubbish {number}"), None));
        stage.take_direct(direct(r#"{"type":"heartbeat","scheduler_id":"ghost"}"#, None));
    }
    assert_eq!((stage.dead_letters.len(), told(&stage).len()), (100, 100));
    // A new owner goes on counting where the last one was.
    (stage.core, _) = stage.shadow.take_over(&Config::default());
    stage.take_direct(direct("rubbish", None));
    assert_eq!((stage.dead_letters.len(), told(&stage).len()), (100, 100));
    stage.take(gateway.frame(1, &[]));
    stage.take(gateway.frame(70, &[heartbeat("ghost", None)]));
    let codes = told(&stage);
    assert_eq!(codes.iter().filter(|code| **code == "errors_left_out").count(), 1, "{codes:?}");
    let left_out = stage.shadow.errors.values().find(|error| &*error.code == "errors_left_out").expect("an entry");
    assert!(left_out.detail.contains("901 more errors") && left_out.detail.contains("401 more"), "{}", left_out.detail);
    assert!(stage.shadow.partition.direct.is_none(), "nothing is remembered of a quiet minute");
    stage.take_direct(direct("rubbish", None));
    assert_eq!(stage.dead_letters.len(), 101);
}

#[test]
fn what_gateways_bring_is_told_however_much_it_is() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let asked: Vec<_> = (0..300).map(|_| heartbeat("ghost", None)).collect();
    stage.take(gateway.frame(0, &asked));
    assert_eq!(told(&stage).len(), 300);
}

#[test]
fn a_large_message_in_small_commits_comes_to_the_same() {
    let batch: Vec<_> =
        (0..200).map(|n| report(if n % 2 == 0 { "failed" } else { "running" }, &format!("r{}", n / 2))).collect();
    let play = |commit_records| {
        let mut stage = Stage::with(&Config { commit_records, ..Config::default() });
        stage.take(gateway_frame());
        stage.take_direct(direct(REGISTER, None));
        stage.take_direct(direct(format!("[{}]", batch.join(",")), None));
        stage.take_all(at(4, [Gateway::new(2).frame(1, &[])]).collect());
        (stage.ids(), state(&stage).clone())
    };
    assert_eq!(play(1), play(20_000));
}

/// Letters that were kept by earlier releases, byte for byte, and as they are kept now.
#[test]
fn dead_letters_keep_their_bytes() {
    let of_frame = DeadLetter {
        partition: 3,
        position: 9,
        command: Some(2),
        more: vec![3],
        at: second(5),
        code: "bad_command".into(),
        detail: "unknown kind".into(),
        message_bytes: 3,
        message: vec![7, 8, 9].into(),
        origin: None,
    };
    let incoming = direct("{}", Some("m-1"));
    let origin = incoming.direct.as_deref().map(|direct| Box::new(direct.into()));
    let of_direct = DeadLetter { origin, ..of_frame.clone() };
    let golden = [
        (
            of_frame,
            "9201990309 02 9103 cf000001a20959ba08 ab6261645f636f6d6d616e64 ac756e6b6e6f776e206b696e64 03 c403070809",
        ),
        (
            of_direct,
            "92029a0309 02 9103 cf000001a20959ba08 ab6261645f636f6d6d616e64 ac756e6b6e6f776e206b696e64 03 c403070809 95 a461636d65 \
             b1726f6e64612e696e2e61636d652e6a6f62 a461636d65 a36d2d31 9192a57472616365a137",
        ),
    ];
    for (letter, hex) in golden {
        let hex: String = hex.split_whitespace().collect();
        let bytes = letter.encode().expect("encode");
        let written: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, hex);
        assert_eq!(DeadLetter::decode(&bytes).expect("decode"), letter);
    }
}

#[test]
fn heartbeats_of_one_moment_of_the_clock_count_each() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[]));
    stage.take_direct(direct(REGISTER, None));
    stage.take_direct(direct(report("running", "r"), None));
    let beat = r#"{"type":"heartbeat","scheduler_id":"job","run_id":"r"}"#;
    for _ in 0..7 {
        stage.take_direct(direct(beat, None));
    }
    stage.take_direct(direct(format!("[{beat},{beat},{beat}]"), None));
    stage.pulse(&mut gateway, 1..=1);
    let run = &state(&stage).view(second(1)).open_runs[0];
    assert_eq!(run.heartbeats, 10);
}

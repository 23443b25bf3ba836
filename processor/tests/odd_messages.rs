//! Messages that can't be read, commands that are refused, and reports that come twice.

mod stage;

use bytes::Bytes;
use ronda_domain::id::MessageId;
use ronda_domain::input::{Input, ReportedStatus};
use ronda_domain::record::OccurrenceStatus;
use ronda_schemas::frame::FrameKind;
use stage::{Gateway, Stage, frame_as, heartbeat, register, spec, status};

#[test]
fn what_cannot_be_read_is_put_aside_with_its_reason_and_stops_nothing() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("a", spec(None, None))]));
    stage.take(Bytes::from_static(b"{\"hello\":1}"));
    let whole = gateway.frame(1, &[heartbeat("a", None), heartbeat("a", Some("r1"))]);
    stage.take(whole.slice(..whole.len() - 4));
    stage.take(gateway.frame(2, &[heartbeat("a", None)]));
    let codes: Vec<_> =
        stage.dead_letters.iter().map(|letter| (&*letter.code, letter.position, letter.command)).collect();
    assert_eq!(codes, [("not_a_frame", 2, None), ("bad_command", 3, Some(1))]);
    assert_eq!(stage.shadow.partition.applied, 3);
    assert_eq!(stage.shadow.partition.cursor, 4);
}

#[test]
fn many_bad_commands_of_one_frame_are_one_dead_letter() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let nobody = || ("a b", "x".to_owned(), Input::Pause);
    stage.take(gateway.frame(0, &[nobody(), register("a", spec(None, None)), nobody(), nobody()]));
    let letters = &stage.dead_letters;
    assert_eq!((letters.len(), letters[0].command, &letters[0].more[..]), (1, Some(0), &[2, 3][..]));
    assert!(stage.row("a").is_some());
}

#[test]
fn a_refused_command_is_told_to_its_tenant() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let odd = register("../x", spec(None, None));
    stage.take(gateway.frame(0, &[heartbeat("nobody", None), odd, ("a b", "x".to_owned(), Input::Pause)]));
    let told: Vec<_> =
        stage.shadow.errors.values().map(|error| (&*error.code, &*error.command, &*error.scheduler)).collect();
    assert_eq!(told, [("unknown_scheduler", "heartbeat", "nobody"), ("invalid_id", "register", "../x")]);
    assert_eq!(stage.dead_letters[0].code.as_ref(), "bad_tenant");
}

#[test]
fn a_report_that_comes_twice_as_the_same_message_ends_one_run() {
    let ended = |message: Option<MessageId>| {
        let mut stage = Stage::new();
        let mut gateway = Gateway::new(1);
        stage.take(gateway.frame(0, &[register("job", spec(None, None))]));
        stage.take(gateway.frame(1, &[status("job", ReportedStatus::Running, Some("a"))]));
        stage.take(gateway.frame(2, &[status("job", ReportedStatus::Running, Some("b"))]));
        for at in [3, 4] {
            let header = gateway.header(at, FrameKind::Normal);
            stage.take(frame_as(&header, &[status("job", ReportedStatus::Success, None)], message));
        }
        stage.pulse(&mut gateway, 5..=10);
        stage.said("job").iter().filter(|status| **status == OccurrenceStatus::Succeeded).count()
    };
    assert_eq!(ended(Some(MessageId { source: 7, sequence: 1 << 63, index: 0 })), 1);
    assert_eq!(ended(None), 2, "as two messages they are two reports");
}

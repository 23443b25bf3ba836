//! The encodings that are on disks and in queues must stay readable: each is kept here byte for byte.
//!
//! A failure means that data of earlier releases would no longer be read, or that earlier releases could not read ours. Add fields at the end
//! with a default, or raise the version and keep the old decoder. `RONDA_BLESS=1` writes the files anew; a changed file needs a reason.

mod golden {
    pub(crate) mod samples;
}

use std::fmt::Write as _;
use std::path::PathBuf;

use golden::samples;
use proptest::prelude::*;
use ronda_domain::AlertView;
use ronda_domain::id::MessageId;
use ronda_schemas::codec::Versioned;
use ronda_schemas::command::Command;
use ronda_schemas::event::EventBatch;
use ronda_schemas::frame::{CommandBuffer, Frame, FrameHeader};
use ronda_schemas::lease::{AssignmentRow, MemberRow};
use ronda_schemas::row::{ApiKeyRow, ErrorRow, IdempotencyRow, PartitionRow, SchedulerRow};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"))
}

/// Hexadecimal, 32 bytes a line, after a line that says what it is.
fn render(what: &str, bytes: &[u8]) -> String {
    let mut text = format!("# {what}\n");
    for line in bytes.chunks(32) {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

fn parse(text: &str) -> Vec<u8> {
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16));
    pairs.collect::<Result<_, _>>().expect("hexadecimal")
}

/// Compares with the kept bytes; answers these.
fn kept(name: &str, what: &str, encoded: &[u8]) -> Vec<u8> {
    let path = path(name);
    if std::env::var_os("RONDA_BLESS").is_some() {
        std::fs::write(&path, render(what, encoded)).expect("write");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text, render(what, encoded), "{} is written otherwise than it was", path.display());
    parse(&text)
}

fn check<T: Versioned + PartialEq + std::fmt::Debug>(name: &str, what: &str, value: &T) {
    let bytes = kept(name, what, &value.encode().expect("encode"));
    assert_eq!(&T::decode(&bytes).expect("decode"), value, "{name} is read otherwise than it was written");
}

fn check_frame(name: &str, what: &str, header: &FrameHeader, commands: &[Command<'_>]) {
    let mut buffer = CommandBuffer::default();
    for command in commands {
        buffer.push(command).expect("encode");
    }
    let bytes = kept(name, what, &buffer.into_frame(header));
    let frame = Frame::decode(&bytes).expect("decode");
    assert_eq!(&frame.header, header);
    assert_eq!(frame.commands().collect::<Result<Vec<_>, _>>().expect("commands"), commands);
}

#[test]
fn frames_keep_their_bytes() {
    let [normal, join, leave, join_alone, awaited, refused, refused_of] = samples::headers();
    check_frame("frame-v1-pulse-join", "frame, version 1: a pulse of a gateway that joins", &join, &[]);
    check_frame(
        "frame-v2-pulse-join-alone",
        "frame, version 2: a pulse of a gateway that joins alone",
        &join_alone,
        &[],
    );
    check_frame("frame-v1-pulse-leave", "frame, version 1: the last of a gateway", &leave, &[]);
    check_frame("frame-v2-pulse-awaited", "frame, version 2: one that somebody waits for", &awaited, &[]);
    check_frame("frame-v3-pulse-refused", "frame, version 3: reports were refused before it", &refused, &[]);
    check_frame("frame-v4-pulse-refused-of", "frame, version 4: these tenants' reports were", &refused_of, &[]);
    for (name, command) in samples::commands() {
        let what = format!("frame, version 1: one command, {name}");
        check_frame(&format!("frame-v1-{name}"), &what, &normal, &[command]);
    }
    for (name, command) in samples::attention_commands() {
        let what = format!("frame, version 5: one command, {name}");
        check_frame(&format!("frame-v5-{name}"), &what, &normal, &[command]);
    }
    let what = "frame, version 6: one command, an acknowledgment of one alert";
    check_frame("frame-v6-acknowledge-alert", what, &normal, &[samples::acknowledgment_of_an_alert()]);
    let (_, acknowledge) = samples::attention_commands().remove(0);
    let what = "frame, version 5: a command, and whose reports were refused before it";
    check_frame("frame-v5-refused", what, &refused, std::slice::from_ref(&acknowledge));
    check_frame("frame-v5-refused-of", what, &refused_of, &[acknowledge]);
    let all: Vec<_> = samples::commands().into_iter().map(|(_, command)| command).collect();
    check_frame("frame-v1-all", "frame, version 1: one of each command", &normal, &all);
    let message = Some(MessageId { source: 7, sequence: 1 << 63, index: 2 });
    let own: Vec<_> = all.into_iter().map(|command| Command { message, ..command }).collect();
    check_frame("frame-v1-own-message", "frame, version 1: commands with messages of their own", &normal, &own);
}

#[test]
fn event_batches_keep_their_bytes() {
    check("event-batch-v1-clock", "event batch, version 1: only the clock", &samples::empty_batch());
    check("event-batch-v2-held", "event batch, version 2: a clock that is held", &samples::held_batch());
    check("event-batch-v1", "event batch, version 1: one of each event", &samples::event_batch());
    check(
        "event-batch-v3-past",
        "event batch, version 3: a failure, and how it went when it went well",
        &samples::past_batch(),
    );
    check(
        "event-batch-v4-attention",
        "event batch, version 4: who looks after an alert, and who wants to hear of it",
        &samples::attention_batch(),
    );
}

#[test]
fn rows_keep_their_bytes() {
    check("partition-row-v1", "partition row, version 1", &samples::partition_row());
    check(
        "partition-row-v2-doubt",
        "partition row, version 2: with a gateway whose clock isn't followed",
        &samples::doubting_partition_row(),
    );
    check(
        "partition-row-v3-direct",
        "partition row, version 3: of a queue that is published onto directly",
        &samples::direct_partition_row(),
    );
    check(
        "partition-row-v4-late",
        "partition row, version 4: with times in which not everybody was heard",
        &samples::late_partition_row(),
    );
    check(
        "partition-row-v5-late-tenants",
        "partition row, version 5: with times in which some tenants were not heard",
        &samples::late_tenants_partition_row(),
    );
    check("error-row-v1", "error row, version 1", &samples::error_row());
    check("api-key-row-v1", "API key row, version 1", &samples::api_key_row());
    let [claimed, answered] = samples::idempotency_rows();
    check("idempotency-row-v1-claimed", "idempotency row, version 1: no answer yet", &claimed);
    check("idempotency-row-v1-answered", "idempotency row, version 1: answered", &answered);
    check(
        "scheduler-row-v2-deleted",
        "scheduler row, version 2: deleted, with events to publish",
        &samples::deleted_row(),
    );
}

#[test]
fn leases_keep_their_bytes() {
    check("lease-member-row-v1", "lease member row, version 1", &samples::member_row());
    check(
        "lease-assignment-row-v1",
        "lease assignment row, version 1: of each kind of slot",
        &samples::assignment_row(),
    );
}

#[test]
fn scheduler_rows_keep_their_bytes() {
    check(
        "scheduler-row-v3-late",
        "scheduler row, version 3: with a start that may come late",
        &samples::put_off_row(),
    );
    check(
        "scheduler-row-v4",
        "scheduler row, version 4: with an open run that sent a heartbeat, an alert and a history",
        &samples::scheduler_row(),
    );
    check(
        "scheduler-row-v7-said",
        "scheduler row, version 7: somebody looks after its failure, and it is muted",
        &samples::attended_row(),
    );
    check("scheduler-row-v5-past", "scheduler row, version 5: with good runs behind it", &samples::good_row());
}

/// As an earlier release wrote it, without what was added since.
fn earlier<T: Versioned>(name: &str) -> T {
    let text = std::fs::read_to_string(path(name)).expect("a golden file");
    T::decode(&parse(&text)).expect("decode")
}

/// For a while these were written with the version before.
#[test]
fn what_was_written_as_version_1_before_there_was_a_version_2_is_read() {
    let [.., join_alone, awaited, _, _] = samples::headers();
    for (name, header) in [("join-alone", join_alone), ("awaited", awaited)] {
        let text = std::fs::read_to_string(path(&format!("frame-v1-pulse-{name}"))).expect("a golden file");
        assert_eq!(Frame::decode(&parse(&text)).expect("decode").header, header);
    }
    assert_eq!(earlier::<EventBatch>("event-batch-v1-held"), samples::held_batch());
    assert_eq!(earlier::<PartitionRow>("partition-row-v1-doubt"), samples::doubting_partition_row());
}

#[test]
fn scheduler_rows_of_earlier_versions_are_read() {
    assert_eq!(earlier::<SchedulerRow>("scheduler-row-v1-deleted"), samples::deleted_row());
    let view = |row: &SchedulerRow| {
        let state = row.state.as_ref().expect("a state");
        let mut view = state.view(state.updated_at());
        // Version 1 had no registration's number in it.
        view.alert = view.alert.map(|alert| AlertView { id: "alert".into(), ..alert });
        (state.spec().clone(), view)
    };
    let new = samples::scheduler_row();
    for name in ["scheduler-row-v1", "scheduler-row-v2"] {
        let old = earlier::<SchedulerRow>(name);
        assert_eq!(view(&old), view(&new));
        assert_eq!((old.key, old.epoch, old.position), (new.key.clone(), new.epoch, new.position));
    }
    let (old, new) = (earlier::<SchedulerRow>("scheduler-row-v6-attention"), samples::attended_row());
    assert_eq!(view(&old), view(&new));
}

#[test]
fn a_newer_version_is_named() {
    let newer = [0x92, 9, 0xc0];
    for error in [
        SchedulerRow::decode(&newer).unwrap_err(),
        PartitionRow::decode(&newer).unwrap_err(),
        MemberRow::decode(&newer).unwrap_err(),
        AssignmentRow::decode(&newer).unwrap_err(),
        EventBatch::decode(&newer).unwrap_err(),
    ] {
        assert!(error.to_string().contains("upgrade"), "{error}");
    }
}

fn decode_all(bytes: &[u8]) {
    let _ = SchedulerRow::decode(bytes);
    let _ = PartitionRow::decode(bytes);
    let _ = ErrorRow::decode(bytes);
    let _ = ApiKeyRow::decode(bytes);
    let _ = IdempotencyRow::decode(bytes);
    let _ = EventBatch::decode(bytes);
    let _ = MemberRow::decode(bytes);
    let _ = AssignmentRow::decode(bytes);
    if let Ok(frame) = Frame::decode(bytes) {
        // A count is only a claim: what matters is that reading ends.
        assert!(frame.commands().take(1 << 20).filter(Result::is_err).count() <= bytes.len());
    }
}

fn real_bytes() -> Vec<Vec<u8>> {
    let mut buffer = CommandBuffer::default();
    for (_, command) in samples::commands() {
        buffer.push(&command).expect("encode");
    }
    let [header, ..] = samples::headers();
    vec![
        buffer.into_frame(&header).to_vec(),
        samples::event_batch().encode().expect("encode"),
        samples::scheduler_row().encode().expect("encode"),
        samples::partition_row().encode().expect("encode"),
        samples::api_key_row().encode().expect("encode"),
        samples::error_row().encode().expect("encode"),
        samples::member_row().encode().expect("encode"),
        samples::assignment_row().encode().expect("encode"),
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
        // With a version that is read, so that more than the first bytes are looked at.
        decode_all(&[&[0x92, 1][..], &bytes].concat());
        decode_all(&[&[0x98, 2][..], &bytes].concat());
        decode_all(&[&[0x92, 3][..], &bytes].concat());
        decode_all(&[&[0x99, 3][..], &bytes].concat());
    }

    #[test]
    fn damaged_bytes_never_panic(
        which in any::<prop::sample::Index>(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>()
    ) {
        let all = real_bytes();
        let mut bytes = which.get(&all).clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        decode_all(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        decode_all(&bytes);
    }
}

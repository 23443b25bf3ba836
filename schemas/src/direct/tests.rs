use proptest::prelude::*;
use ronda_domain::input::Input;
use serde_json::{Value, json};

use super::*;
use crate::api::parse_event;

const STATUS: &str = r#"{"type":"status","scheduler_id":"nightly","status":"failed","run_id":"r1","occurred_at":"2026-11-23T18:00:00Z"}"#;

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn single<'a>(message: &'a [u8], given: &[(&str, &str)]) -> DirectCommand<'a> {
    let mut commands = read(message, &headers(given)).expect("a message");
    assert_eq!(commands.len(), 1);
    commands.remove(0).expect("a command")
}

fn wrong(message: &[u8], given: &[(&str, &str)]) -> Wrong {
    read(message, &headers(given)).and_then(|mut commands| commands.remove(0)).expect_err("something is wrong")
}

fn msgpack(value: &Value) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("MessagePack")
}

#[test]
fn a_command_is_the_same_as_json_and_as_messagepack() {
    let commands = [
        json!({"type":"status","scheduler_id":"nightly","status":"failed","error":"disk full","exit_code":-1,"metadata":{"host":"a"}}),
        json!({"type":"heartbeat","scheduler_id":"nightly","run_id":"r","progress":{"done":4,"total":10,"message":"m"}}),
        json!({"type":"register","id":"nightly","name":"Nightly","schedule":{"cron":"0 1 * * *","timezone":"Asia/Jakarta"}}),
        json!({"type":"delete","scheduler_id":"nightly"}),
        json!({"type":"pause","scheduler_id":"nightly"}),
        json!({"type":"resume","scheduler_id":"nightly"}),
    ];
    for (command, kind) in commands.iter().zip(["status", "heartbeat", "register", "delete", "pause", "resume"]) {
        let text = command.to_string();
        let read = single(text.as_bytes(), &[]);
        assert_eq!((read.body.name(), &*read.scheduler_id), (kind, "nightly"));
        assert_eq!(read, single(&msgpack(command), &[]));
        assert_eq!(read.body.needs_admin(), ["delete", "pause", "resume"].contains(&kind));
    }
    let all = Value::from(commands.to_vec());
    let (text, packed) = (all.to_string(), msgpack(&all));
    let (one, other) = (read(text.as_bytes(), &[]).unwrap(), read(&packed, &[]).unwrap());
    assert_eq!((one.len(), &one), (6, &other));
}

#[test]
fn a_wrong_command_of_a_batch_takes_no_other_with_it() {
    let text = format!(r#"[{STATUS},{{"type":"heartbeat","scheduler_id":"a b","progres":1}},7,{STATUS}]"#);
    let read = read(text.as_bytes(), &[]).unwrap();
    assert_eq!(read.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
    let wrong = read[1].as_ref().unwrap_err();
    assert_eq!((wrong.code, wrong.command, &*wrong.scheduler), ("invalid_body", "heartbeat", "a b"));
    assert!(wrong.detail.contains("/scheduler_id") && wrong.detail.contains("did you mean 'progress'?"), "{wrong:?}");
}

#[test]
fn what_is_wrong_is_said_once() {
    let wrong = wrong(br#"{"type":"pause","scheduler_id":"nightly","why":"x"}"#, &[]);
    assert_eq!(wrong.detail.matches("is not a known field").count(), 1, "{}", wrong.detail);
}

#[test]
fn what_is_no_command_is_told_with_a_code() {
    let many = format!("[{}1]", "1,".repeat(MAX_COMMANDS));
    let deep = [&[0x81, 0xa1, b'a'][..], &[0x91; 40], &[0xc0]].concat();
    let binary = [0x82, 0xa4, b't', b'y', b'p', b'e', 0xc4, 1, 7];
    let cases: [(&[u8], &str); 10] = [
        (b"", "not_a_command"),
        (b"hello", "not_a_command"),
        (&[0xc1, 0xc1], "not_a_command"),
        (b"[]", "not_a_command"),
        (b"{\"type\":", "invalid_json"),
        (br#"[{"type":"status"},"#, "invalid_json"),
        (many.as_bytes(), "too_many_commands"),
        (&deep, "invalid_msgpack"),
        (&binary, "invalid_msgpack"),
        (&[0x80, 0x00], "invalid_msgpack"),
    ];
    for (message, code) in cases {
        assert_eq!(wrong(message, &[]).code, code, "{message:?}");
    }
    assert_eq!(wrong(&vec![b' '; MAX_MESSAGE_BYTES + 1], &[]).code, "too_large");
    let other = wrong(br#"{"type":"tick","scheduler_id":"a"}"#, &[]);
    assert!(other.detail.contains("must be one of status, heartbeat, register, delete, pause, resume"), "{other:?}");
}

#[test]
fn a_frame_is_no_command() {
    use crate::frame::{CommandBuffer, FrameHeader, FrameKind, Refused};
    use ronda_domain::time::Timestamp;
    let header = FrameHeader {
        gateway: 1,
        number: 1,
        wall: Timestamp::from_seconds(9),
        mono_ms: 1,
        kind: FrameKind::Normal,
        abandoned: Vec::new(),
        refused: Refused::Nobody,
    };
    let frame = CommandBuffer::default().into_frame(&header);
    let wrong = wrong(&frame, &[]);
    assert_eq!(wrong.code, "not_a_command");
    assert!(wrong.detail.contains("frame"), "{wrong:?}");
}

#[test]
fn a_whole_cloudevent_is_its_command() {
    let event = json!({
        "specversion": "1.0", "type": "ronda.status", "source": "/billing", "id": "e-1", "subject": "nightly",
        "time": "2026-11-23T18:00:00Z", "datacontenttype": "application/json", "traceparent": "00-1",
        "data": {"status": "failed", "run_id": "r1"},
    });
    let text = event.to_string();
    let read = single(text.as_bytes(), &[("content-type", "application/cloudevents+json; charset=utf-8")]);
    let plain = parse_event(STATUS.as_bytes()).unwrap();
    assert_eq!((&read.scheduler_id, &read.body), (&plain.scheduler_id, &DirectBody::Event(plain.body)));
    assert_eq!(read.named, Some(Named { source: "/billing".to_owned(), id: "e-1".to_owned() }));
    assert_eq!(read, single(&msgpack(&event), &[]));
    let mut encoded = event.clone();
    encoded.as_object_mut().unwrap().remove("data");
    encoded["data_base64"] =
        json!(base64::engine::general_purpose::STANDARD.encode(r#"{"status":"failed","run_id":"r1"}"#));
    assert_eq!(read, single(encoded.to_string().as_bytes(), &[]));
    let batch = json!([event, {"specversion":"1.0","type":"ronda.delete","source":"x","id":"e-2","subject":"nightly"}])
        .to_string();
    let batch = super::read(batch.as_bytes(), &[]).unwrap();
    assert_eq!(batch[1].as_ref().unwrap().body, DirectBody::Delete);
    assert_eq!(batch[1].as_ref().unwrap().named.as_ref().unwrap().id, "e-2");
}

#[test]
fn a_cloudevent_in_headers_is_its_command_whatever_the_binding_calls_them() {
    let whole = single(STATUS.as_bytes(), &[]);
    for prefix in ["ce-", "ce_", "cloudEvents:", "cloudEvents_"] {
        let prefix = prefix.to_ascii_lowercase();
        let name = |name: &str| format!("{prefix}{name}");
        let given: Vec<(String, String)> = [
            ("specversion", "1.0"),
            ("type", "ronda.status"),
            ("id", "e-1"),
            ("source", "/billing"),
            ("subject", "nightly"),
            ("time", "2026-11-23T18:00:00Z"),
        ]
        .map(|(key, value)| (name(key), value.to_owned()))
        .into();
        let commands = read(br#"{"status":"failed","run_id":"r1"}"#, &given).unwrap();
        let command = commands[0].as_ref().unwrap();
        assert_eq!((&command.scheduler_id, &command.body), (&whole.scheduler_id, &whole.body), "{prefix}");
        assert_eq!(command.named.as_ref().unwrap().source, "/billing");
    }
    // Percent-encoded where the binding says so; the data's own time wins; no data is no field.
    let given = [
        ("ce-specversion", "1.0"),
        ("ce-type", "ronda.heartbeat"),
        ("ce-id", "a%20b"),
        ("ce-source", "s"),
        ("ce-subject", "nightly"),
    ];
    let command = single(b"", &given);
    assert!(matches!(command.body.input(), Input::Heartbeat(_)));
    assert_eq!(command.named.unwrap().id, "a b");
}

#[test]
fn a_cloudevent_that_contradicts_itself_is_told_of() {
    let event = json!({
        "specversion": "0.3", "type": "ronda.heartbeat", "source": "", "subject": "nightly", "time": "now",
        "data": {"scheduler_id": "other", "type": "status"},
    });
    let wrong = wrong(event.to_string().as_bytes(), &[]);
    for place in ["/specversion", "/source", "/id", "/time", "/data/scheduler_id", "/data/type"] {
        assert!(wrong.detail.contains(place), "{place}: {}", wrong.detail);
    }
}

#[test]
fn text_that_stands_for_bytes_is_decoded_when_it_says_so() {
    let bytes = msgpack(&json!({"type":"pause","scheduler_id":"nightly"}));
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    assert_eq!(single(text.as_bytes(), &[(TRANSFER_ENCODING, "Base64")]).body, DirectBody::Pause);
    assert_eq!(wrong(b"{}", &[(TRANSFER_ENCODING, "base64")]).code, "not_a_command");
}

#[test]
fn the_parts_of_a_batch_are_its_commands_one_by_one() {
    let commands = [
        json!({"type":"pause","scheduler_id":"a"}),
        json!({"type":"heartbeat","scheduler_id":"b","progress":{"done":4,"total":10}}),
        json!({"type":"nothing"}),
        json!({"specversion":"1.0","type":"ronda.delete","source":"s","id":"i","subject":"d"}),
    ];
    let all = Value::from(commands.to_vec());
    let packed = msgpack(&all);
    let base64 = base64::engine::general_purpose::STANDARD.encode(&packed);
    for (message, given) in [
        (serde_json::to_vec_pretty(&all).unwrap(), &[][..]),
        (packed, &[]),
        (base64.into_bytes(), &[(TRANSFER_ENCODING, "base64")]),
    ] {
        let parts = parts(&message, &headers(given)).expect("a batch");
        let together = read(&message, &headers(given)).unwrap();
        assert_eq!((parts.len(), together.len()), (4, 4));
        for (part, command) in parts.iter().zip(together) {
            assert_eq!(read(part, &[]).and_then(|mut read| read.remove(0)), command);
        }
    }
    let none = [
        commands[0].to_string().into_bytes(),
        msgpack(&commands[0]),
        b"rubbish".to_vec(),
        vec![0xdd, 255, 255, 255, 255],
    ];
    for message in none {
        assert_eq!(parts(&message, &[]), None);
    }
    assert_eq!(parts(b"[]", &headers(&[("ce-specversion", "1.0")])), None, "the data of one command");
}

#[test]
fn the_same_id_is_the_same_message_within_its_tenant_only() {
    let named = Named { source: "s".to_owned(), id: "i".to_owned() };
    let first = message_id("acme", &named, 0);
    assert_eq!(first, message_id("acme", &named, 0));
    assert_ne!(first, message_id("other", &named, 0));
    assert_ne!(first, message_id("acme", &Named { source: String::new(), id: "si".to_owned() }, 0));
    assert_eq!(message_id("acme", &named, 3).index, 3);
    assert_ne!(digest_of(&[b"7", b"x"]), digest_of(&[b"7x", b""]));
}

proptest! {
    #[test]
    fn arbitrary_messages_never_panic(message in proptest::collection::vec(any::<u8>(), 0..200), first in prop::sample::select(vec![b'{', b'[', 0x81, 0x92, 0xdd, 0xdf]), base64 in any::<bool>()) {
        let given = if base64 { headers(&[(TRANSFER_ENCODING, "base64")]) } else { Vec::new() };
        let _ = read(&message, &given);
        let _ = parts(&message, &given);
        let _ = read(&[&[first][..], &message].concat(), &given);
        let _ = read(&message, &headers(&[("ce-specversion", "1.0"), ("ce-type", "ronda.register"), ("ce-id", "%"), ("ce-source", "%a")]));
    }

    #[test]
    fn damaged_commands_never_panic_and_are_read_alike_in_both_forms(
        which in 0..4_usize, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)
    ) {
        let commands = [
            json!({"type":"register","id":"nightly","tags":["a"],"schedule":{"every_seconds":60}}),
            json!([{"type":"status","scheduler_id":"a","status":"success"}, {"type":"resume","scheduler_id":"b"}]),
            json!({"specversion":"1.0","type":"ronda.status","source":"s","id":"i","data":{"scheduler_id":"a","status":"failed"}}),
            json!({"type":"heartbeat","scheduler_id":"a","progress":{"done":1}}),
        ];
        let (text, packed) = (commands[which].to_string(), msgpack(&commands[which]));
        prop_assert_eq!(read(text.as_bytes(), &[]), read(&packed, &[]));
        for bytes in [text.into_bytes(), packed] {
            let mut bytes = bytes;
            for (place, byte) in &changes {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            let _ = read(&bytes, &[]);
            let _ = parts(&bytes, &[]);
        }
    }
}

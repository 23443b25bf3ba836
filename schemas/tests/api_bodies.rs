//! What clients are promised about the bodies that they send.

use proptest::prelude::*;
use ronda_domain::input::ReportedStatus;
use ronda_schemas::api::{BulkEvents, EventBody, Invalid, parse_event, parse_heartbeat, parse_register, parse_status};
use serde_json::{Value, json};

fn found(invalid: &Invalid) -> Vec<(&str, &str)> {
    invalid.fields.iter().map(|field| (field.pointer.as_str(), field.code)).collect()
}

fn message<'i>(invalid: &'i Invalid, pointer: &str) -> &'i str {
    let field = invalid.fields.iter().find(|field| field.pointer == pointer);
    field.map_or_else(|| panic!("nothing about {pointer} in {invalid}"), |field| &field.message)
}

#[test]
fn a_whole_registration_is_read() {
    let body = json!({"id":"nightly-billing","name":"Nightly billing","description":"a\nb","team":"payments",
        "environment":"production","tags":["money"],"schedule":{"cron":"0 1 * * *","timezone":"Asia/Jakarta"},
        "start_grace_seconds":300,"early_window_seconds":60,"max_run_seconds":3600,"heartbeat_timeout_seconds":120,
        "alert_after":1,"recover_after":1,"severity":"critical","runbook_url":"https://example.com/x"});
    let registration = parse_register(body.to_string().as_bytes()).unwrap();
    assert_eq!(registration.id.as_str(), "nightly-billing");
    assert_eq!(&*registration.spec.team, "payments");
    let least = parse_register(br#"{"id":"x","schedule":null}"#).unwrap();
    assert_eq!(&*least.spec.name, "x");
    assert!(parse_register(br#"{"id":"x","schedule":{"every_seconds":300}}"#).is_ok());
}

#[test]
fn every_wrong_field_of_a_registration_is_told_at_once() {
    let body = json!({"id":"a/../b","nmae":"x","team":7,"tags":["a",1],"schedule":{"cron":"0 25 * * *","timezone":"Asia/Jakata","x":1},
        "start_grace_seconds":-1,"max_run_seconds":"1h","alert_after":1.5,"severity":"urgent","runbook_url":"javascript:x"});
    let invalid = parse_register(body.to_string().as_bytes()).unwrap_err();
    let pointers: Vec<&str> = invalid.fields.iter().map(|field| field.pointer.as_str()).collect();
    for expected in [
        "/id",
        "/nmae",
        "/team",
        "/tags/1",
        "/schedule/cron",
        "/schedule/timezone",
        "/schedule/x",
        "/start_grace_seconds",
        "/max_run_seconds",
        "/alert_after",
        "/severity",
        "/runbook_url",
    ] {
        assert_eq!(pointers.iter().filter(|pointer| **pointer == expected).count(), 1, "{expected} in {invalid}");
    }
    assert_eq!(pointers.len(), 12, "{invalid}");
    assert!(message(&invalid, "/nmae").contains("did you mean 'name'?"));
    assert!(message(&invalid, "/schedule/timezone").contains("Asia/Jakarta"), "{invalid}");
}

#[test]
fn an_empty_schedule_is_refused_by_its_name() {
    for empty in ["{}", r#"{"cron":null}"#] {
        let invalid = parse_register(format!(r#"{{"id":"x","schedule":{empty}}}"#).as_bytes()).unwrap_err();
        assert_eq!(found(&invalid), [("/schedule", "incomplete")], "{invalid}");
    }
}

#[test]
fn a_wrong_type_is_not_told_twice() {
    let invalid = parse_register(br#"{"schedule":{"cron":5,"timezone":"UTC"}}"#).unwrap_err();
    assert_eq!(found(&invalid), [("/id", "required"), ("/schedule/cron", "wrong_type")], "{invalid}");
}

#[test]
fn a_whole_status_is_read() {
    let body = br#"{"status":"failed","run_id":"r:1","error":"disk \"full\"\nat \ud83d\ude00","exit_code":-1,"duration_ms":5321,
        "occurred_at":"2026-11-23T18:00:00Z","metadata":{"host":"batch-7","os":"\u0645"}}"#;
    let status = parse_status(body).unwrap();
    assert_eq!(status.status, ReportedStatus::Failed);
    let report = status.report();
    assert_eq!(report.error, Some("disk \"full\"\nat 😀"));
    assert_eq!((report.exit_code, report.duration_ms), (Some(-1), Some(5_321)));
    assert_eq!(report.metadata, [("host", "batch-7"), ("os", "م")]);
}

#[test]
fn every_wrong_field_of_a_status_is_told_at_once() {
    let body = json!({"status":"done","run_id":"a b","error":"a\u{0}","exit_code":2_147_483_648_i64,"duration_ms":-1,
        "occurred_at":"yesterday","metadata":{"":"x","a/b":1,"ok":"fine"},"duration":1});
    let invalid = parse_status(body.to_string().as_bytes()).unwrap_err();
    assert_eq!(
        found(&invalid),
        [
            ("/status", "not_allowed"),
            ("/run_id", "invalid_id"),
            ("/error", "control_character"),
            ("/exit_code", "out_of_range"),
            ("/duration_ms", "out_of_range"),
            ("/occurred_at", "invalid_time"),
            ("/metadata/", "empty"),
            ("/metadata/a~1b", "wrong_type"),
            ("/duration", "unknown_field"),
        ]
    );
    assert!(message(&invalid, "/status").contains("running, success, failed, cancelled, skipped"));
    assert!(message(&invalid, "/duration").contains("duration_ms"));
}

#[test]
fn limits_are_exact() {
    let with = |field: &str, value: Value| {
        let mut body = json!({"status":"failed"});
        body[field] = value;
        parse_status(body.to_string().as_bytes()).map(|_| ()).map_err(|invalid| invalid.fields[0].code)
    };
    assert_eq!(with("error", json!("é".repeat(2_048))), Ok(()));
    assert_eq!(with("error", json!("é".repeat(2_048) + "x")), Err("too_long"));
    assert_eq!(with("run_id", json!("a".repeat(128))), Ok(()));
    assert_eq!(with("run_id", json!("a".repeat(129))), Err("too_long"));
    assert_eq!(with("duration_ms", json!(31_622_400_000_u64)), Ok(()));
    assert_eq!(with("duration_ms", json!(31_622_400_001_u64)), Err("out_of_range"));
    assert_eq!(with("exit_code", json!(1.0)), Ok(()));
    assert_eq!(with("exit_code", json!(null)), Ok(()));
    let pairs = |count: usize| (0..count).map(|i| (i.to_string(), json!("v"))).collect::<serde_json::Map<_, _>>();
    assert_eq!(with("metadata", Value::Object(pairs(16))), Ok(()));
    assert_eq!(with("metadata", Value::Object(pairs(17))), Err("too_many"));
}

#[test]
fn heartbeats_may_say_nothing_and_more_than_all() {
    assert!(parse_heartbeat(b"").is_ok());
    assert!(parse_heartbeat(b"{}").is_ok());
    let heartbeat =
        parse_heartbeat(br#"{"run_id":"r","progress":{"done":120,"total":100,"message":"almost"}}"#).unwrap();
    assert_eq!(heartbeat.report().progress.map(|progress| (progress.done, progress.total)), Some((120, Some(100))));
    let invalid = parse_heartbeat(br#"{"progress":{"total":-1,"Done":3}}"#).unwrap_err();
    assert_eq!(
        found(&invalid),
        [("/progress/done", "required"), ("/progress/total", "out_of_range"), ("/progress/Done", "unknown_field")]
    );
    assert_eq!(found(&parse_heartbeat(br#"{"progress":[1,2,null]}"#).unwrap_err()), [("/progress", "wrong_type")]);
}

#[test]
fn what_is_no_object_is_refused() {
    for (body, code) in [
        (&b""[..], "invalid_json"),
        (b" \n", "invalid_json"),
        (b"{", "invalid_json"),
        (b"{\"status\":\"running\"} x", "invalid_json"),
        (b"{\"status\":\"run\xff\"}", "invalid_json"),
        (b"{\"status\":\"\\ud800\"}", "invalid_json"),
        (b"[]", "invalid_body"),
        (b"[\"running\",null,null,null,null,null,null]", "invalid_body"),
        (b"null", "invalid_body"),
        (b"{\"status\":{\"running\":null}}", "invalid_body"),
        (b"{\"status\":\"running\",\"status\":\"failed\"}", "invalid_body"),
        (b"{\"status\":\"running\",\"metadata\":{\"a\":\"1\",\"a\":\"2\"}}", "invalid_body"),
    ] {
        let invalid = parse_status(body).unwrap_err();
        assert_eq!(invalid.code, code, "{:?}: {invalid}", String::from_utf8_lossy(body));
        assert!(!invalid.detail.is_empty());
    }
    for deep in ["[".repeat(200_000), "{\"a\":".repeat(200_000), format!("{{\"status\":{}", "[".repeat(100))] {
        assert_eq!(parse_status(deep.as_bytes()).unwrap_err().code, "invalid_json");
        assert_eq!(parse_register(deep.as_bytes()).unwrap_err().code, "invalid_json");
    }
    let wide = format!("[{}1]", "1,".repeat(1_000_000));
    assert_eq!(parse_register(wide.as_bytes()).unwrap_err().code, "invalid_json");
}

#[test]
fn an_answer_about_a_thousand_wrong_fields_is_bounded() {
    let body: serde_json::Map<String, Value> =
        (0..1_000).map(|i| (format!("{i}{}", "x".repeat(5_000)), json!(1))).collect();
    let invalid = parse_status(Value::Object(body).to_string().as_bytes()).unwrap_err();
    assert_eq!(invalid.fields.len(), 100);
    assert!(invalid.detail.starts_with("1001 fields"), "{}", invalid.detail);
    assert!(invalid.to_string().len() < 60_000);
}

/// An event's scheduler and whether it is a heartbeat, or what is wrong with it.
type Drained = Result<(String, bool), Invalid>;

fn drain(mut events: BulkEvents<'_>) -> Result<Vec<Drained>, Invalid> {
    let mut all = Vec::new();
    while let Some(event) = events.next_event()? {
        all.push(event.map(|event| (event.scheduler_id.into_owned(), matches!(event.body, EventBody::Status(_)))));
    }
    Ok(all)
}

#[test]
fn a_wrong_item_does_not_stop_the_others() {
    let body = br#" [ {"type":"status","scheduler_id":"a","status":"success"} , {"type":"status","scheduler_id":"b","status":"nope"},
        {"type":"heartbeat","scheduler_id":"c","status":"running"}, 7, {"type":"heartbeat","scheduler_id":"d"} ] "#;
    let all = drain(BulkEvents::array(body)).unwrap();
    assert_eq!(all[0], Ok(("a".to_owned(), true)));
    assert_eq!(found(all[1].as_ref().unwrap_err()), [("/status", "not_allowed")]);
    assert_eq!(found(all[2].as_ref().unwrap_err()), [("/status", "unknown_field")]);
    assert_eq!(found(all[3].as_ref().unwrap_err()), [("", "wrong_type")]);
    assert_eq!(all[4], Ok(("d".to_owned(), false)));
    assert_eq!(all.len(), 5);
    assert_eq!(drain(BulkEvents::array(b"[]")).unwrap(), []);
}

#[test]
fn a_broken_array_is_refused_whole() {
    let good = r#"{"type":"heartbeat","scheduler_id":"a"}"#;
    for body in [
        String::new(),
        "{".to_owned(),
        format!("[{good}"),
        format!("[{good},"),
        format!("[{good},]"),
        format!("[,{good}]"),
        format!("[{good} {good}]"),
        format!("[{good}]]"),
        format!("[{good}] {good}"),
        format!("[{good},{{\"type\":"),
        "[1 2]".to_owned(),
    ] {
        assert_eq!(drain(BulkEvents::array(body.as_bytes())).unwrap_err().code, "invalid_json", "{body}");
    }
    assert!(drain(BulkEvents::array(b"[\"\xff\"]")).is_err());
    let no_array = drain(BulkEvents::array(b"{}")).unwrap_err();
    assert_eq!((no_array.code, found(&no_array)), ("invalid_body", vec![("", "wrong_type")]));
}

#[test]
fn lines_stand_for_themselves() {
    let body = b"{\"type\":\"heartbeat\",\"scheduler_id\":\"a\"}\r\n\n{broken\n{\"type\":\"status\",\"scheduler_id\":\"b\",\"status\":\"running\"}";
    let all = drain(BulkEvents::ndjson(body)).unwrap();
    assert_eq!(all[0], Ok(("a".to_owned(), false)));
    assert_eq!(all[1].as_ref().unwrap_err().code, "invalid_json");
    assert_eq!(all[2], Ok(("b".to_owned(), true)));
}

/// Bodies that are nearly right: right names, values right and wrong.
fn near_body() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z]{0,8}",
        "\\PC{0,6}",
        "[\\x00-\\x20é😀]{0,4}",
        Just("2026-11-23T18:00:00Z".to_owned()),
        "[A-Za-z:._-]{120,135}"
    ];
    let word = prop_oneof![Just("running"), Just("success"), Just("status"), Just("heartbeat")].prop_map(Value::from);
    let leaf = prop_oneof![
        word,
        text.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-3_i64..9).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from)
    ];
    let name = prop_oneof![
        Just("type"),
        Just("scheduler_id"),
        Just("status"),
        Just("run_id"),
        Just("error"),
        Just("exit_code"),
        Just("duration_ms"),
        Just("occurred_at"),
        Just("metadata"),
        Just("progress"),
        Just("done"),
        Just("total"),
        Just("message"),
        Just("other")
    ];
    leaf.prop_recursive(3, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec((name.clone(), inner.clone()), 0..8).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_status(&body);
        let _ = parse_heartbeat(&body);
        let _ = parse_register(&body);
        let _ = parse_event(&body);
        let _ = drain(BulkEvents::ndjson(&body));
        let _ = drain(BulkEvents::array(&body));
    }

    #[test]
    fn no_text_panics(body in "[\\[\\]{}:,\"a-z0-9\\\\ntu.eE+-]{0,80}") {
        let _ = parse_event(body.as_bytes());
        let _ = parse_register(body.as_bytes());
        let _ = drain(BulkEvents::array(body.as_bytes()));
    }

    #[test]
    fn an_event_is_judged_alone_as_in_an_array_and_in_a_line(body in near_body()) {
        let text = body.to_string();
        let alone = parse_event(text.as_bytes()).map(|event| (event.scheduler_id.into_owned(), matches!(event.body, EventBody::Status(_))));
        let array = format!("[{text}]");
        prop_assert_eq!(drain(BulkEvents::array(array.as_bytes())).unwrap(), vec![alone.clone()]);
        prop_assert_eq!(drain(BulkEvents::ndjson(text.as_bytes())).unwrap(), vec![alone]);
    }
}

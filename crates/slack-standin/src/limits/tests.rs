#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use super::*;

fn x(count: usize) -> String {
    "x".repeat(count)
}

fn section(text: &str) -> Value {
    json!({"type":"section","text":{"type":"mrkdwn","text":text}})
}

fn code(message: &Message) -> Option<&'static str> {
    refusal(message, Purpose::Post).map(|refusal| refusal.code)
}

fn with_blocks(blocks: Vec<Value>) -> Message {
    Message { text: "t".to_owned(), blocks, ..Message::default() }
}

/// Each limit: the message at it passes, the one just over it is refused with this code.
fn at_and_over(name: &str, code_over: &str, most: usize, message: impl Fn(usize) -> Message) {
    assert_eq!(refusal(&message(most), Purpose::Post), None, "{name} at {most}");
    assert_eq!(code(&message(most + 1)), Some(code_over), "{name} over {most}");
}

#[test]
fn blocks_are_held_to_their_limits() {
    let one = |block: Value| with_blocks(vec![block]);
    let plain = |count| json!({"type":"plain_text","text":x(count)});
    let button = |text, value: usize| json!({"type":"button","text":plain(text),"value":x(value)});
    let bad = "invalid_blocks";
    at_and_over("blocks", bad, 50, |n| with_blocks(vec![json!({"type":"divider"}); n]));
    at_and_over("section", bad, 3_000, |n| one(section(&x(n))));
    at_and_over("fields", bad, 10, |n| one(json!({"type":"section","fields":vec![plain(1); n]})));
    at_and_over("field", bad, 2_000, |n| one(json!({"type":"section","fields":[plain(n)]})));
    at_and_over("header", bad, 150, |n| one(json!({"type":"header","text":plain(n)})));
    at_and_over("context", bad, 10, |n| one(json!({"type":"context","elements":vec![plain(1); n]})));
    at_and_over("actions", bad, 25, |n| one(json!({"type":"actions","elements":vec![button(1, 1); n]})));
    at_and_over("button text", bad, 75, |n| one(json!({"type":"actions","elements":[button(n, 1)]})));
    at_and_over("button value", bad, 2_000, |n| one(json!({"type":"actions","elements":[button(1, n)]})));
    at_and_over("block_id", bad, 255, |n| one(json!({"type":"divider","block_id":x(n)})));
    at_and_over("markdown", bad, 12_000, |n| one(json!({"type":"markdown","text":x(n)})));
}

#[test]
fn a_block_id_stands_for_one_block() {
    let block = json!({"type":"divider","block_id":"a"});
    assert_eq!(code(&with_blocks(vec![block.clone(), block])), Some("invalid_blocks"));
}

#[test]
fn all_blocks_together_are_held_to_the_measured_size() {
    // Four sections of 3,000 and one of n: five blocks.
    at_and_over("text of five blocks", "msg_blocks_too_long", 797, |n| {
        let mut blocks = vec![section(&x(3_000)); 4];
        blocks.push(section(&x(n)));
        with_blocks(blocks)
    });
    // An ampersand in plain text counts as its entity does.
    let plain = |text: &str| json!({"type":"section","text":{"type":"plain_text","text":text}});
    assert_eq!(code(&with_blocks(vec![plain(&"&".repeat(2_660))])), Some("msg_blocks_too_long"));
}

fn rows(count: usize, columns: usize, cell: usize) -> Value {
    json!(vec![vec![json!({"type":"raw_text","text":x(cell)}); columns]; count])
}

#[test]
fn tables_are_held_to_their_limits() {
    let table = |rows: Value| with_blocks(vec![json!({"type":"table","rows":rows})]);
    at_and_over("rows", "invalid_blocks", 100, |n| table(rows(n, 2, 1)));
    at_and_over("columns", "invalid_blocks", 20, |n| table(rows(2, n, 1)));
    at_and_over("characters", "invalid_blocks", 10_000, |n| table(rows(1, 1, n)));
    let two = json!({"type":"table","rows":rows(1, 1, 1)});
    assert_eq!(code(&with_blocks(vec![two.clone(), two])), Some("invalid_attachments"));
}

#[test]
fn data_tables_are_held_to_their_limits() {
    let table = |rows: Value| with_blocks(vec![json!({"type":"data_table","caption":"c","rows":rows})]);
    at_and_over("rows", "invalid_blocks", 201, |n| table(rows(n, 2, 1)));
    at_and_over("columns", "invalid_blocks", 20, |n| table(rows(2, n, 1)));
    at_and_over("characters", "invalid_blocks", 20_000, |n| table(rows(2, 1, n.div_ceil(2))));
    at_and_over("page_size", "invalid_blocks", 100, |n| {
        with_blocks(vec![json!({"type":"data_table","caption":"c","page_size":n,"rows":rows(2, 2, 1)})])
    });
    let rich = json!({"type":"rich_text","elements":[]});
    let text = json!({"type":"raw_text","text":"a"});
    for bad in [
        json!({"type":"data_table","rows":[[text],[text]]}),
        json!({"type":"data_table","caption":"c","rows":[[text]]}),
        json!({"type":"data_table","caption":"c","rows":[[text],[{"type":"raw_text","text":""}]]}),
        json!({"type":"data_table","caption":"c","rows":[[rich],[text]]}),
        json!({"type":"data_table","caption":"c","rows":[[text, text], [text]]}),
    ] {
        assert_eq!(code(&with_blocks(vec![bad.clone()])), Some("invalid_blocks"), "{bad}");
    }
    let number = json!({"type":"raw_number","value":42,"text":"42"});
    assert_eq!(code(&table(json!([[text, text], [rich, number]]))), None);
}

#[test]
fn what_is_no_block_is_refused() {
    for bad in [
        json!({"type":"section"}),
        json!({"type":"nonsense"}),
        json!("text"),
        json!({"type":"header","text":{"type":"mrkdwn","text":"x"}}),
        json!({"type":"actions","elements":[]}),
    ] {
        assert_eq!(code(&with_blocks(vec![bad.clone()])), Some("invalid_blocks"), "{bad}");
    }
    let refused = refusal(&with_blocks(vec![section(&x(3_001))]), Purpose::Post).unwrap();
    assert!(refused.why.ends_with("[json-pointer:/blocks/0/text/text]"), "{}", refused.why);
}

#[test]
fn only_an_edit_refuses_a_long_text() {
    let message = |n| Message { text: x(n), ..Message::default() };
    assert_eq!(refusal(&message(4_000), Purpose::Update), None);
    assert_eq!(refusal(&message(4_001), Purpose::Update).unwrap().code, "msg_too_long");
    assert_eq!(refusal(&message(4_001), Purpose::Post), None);
    // Bytes count, not characters.
    let cjk = Message { text: "夜".repeat(1_334), ..Message::default() };
    assert_eq!(refusal(&cjk, Purpose::Update).unwrap().code, "msg_too_long");
    assert_eq!(code(&Message::default()), Some("no_text"));
}

#[test]
fn a_long_post_is_split_and_cut() {
    assert_eq!(split("short"), ["short"]);
    let lengths = |text: &str| split(text).iter().map(String::len).collect::<Vec<_>>();
    assert_eq!(lengths(&x(4_001)), [4_000, 1]);
    assert_eq!(lengths(&format!("{}\n{}", x(2_999), x(2_000))), [3_000, 2_000]);
    assert_eq!(lengths(&x(50_000)).iter().sum::<usize>(), 40_000);
}

#[test]
fn attachments_hold_blocks_or_legacy_parts() {
    let with =
        |attachments: Value| Message { attachments: attachments.as_array().cloned().unwrap(), ..Message::default() };
    assert_eq!(code(&with(json!([{"color":"#a30200","blocks":[section("x")]}]))), None);
    assert_eq!(code(&with(json!([{"color":"#a30200","text":"x"}]))), None);
    let mixed = json!([{"blocks":[section("x")],"text":"legacy"}]);
    assert_eq!(code(&with(mixed)), Some("invalid_attachments"));
    let nested = refusal(&with(json!([{"blocks":[section(&x(3_001))]}])), Purpose::Post).unwrap();
    assert_eq!(nested.code, "invalid_attachments");
    at_and_over("attachments", "too_many_attachments", 100, |n| with(json!(vec![json!({"text":"x"}); n])));
}

#[test]
fn metadata_has_a_name_a_payload_and_a_size() {
    let with = |metadata: Value| Message { text: "t".to_owned(), metadata: Some(metadata), ..Message::default() };
    assert_eq!(code(&with(json!({"event_type":"a","event_payload":{}}))), None);
    assert_eq!(code(&with(json!({"event_payload":{}}))), Some("invalid_metadata_format"));
    assert_eq!(code(&with(json!({"event_type":"a","event_payload":1}))), Some("invalid_metadata_schema"));
    let large = json!({"event_type":"a","event_payload":{"k":x(9_000)}});
    assert_eq!(code(&with(large)), Some("metadata_too_large"));
}

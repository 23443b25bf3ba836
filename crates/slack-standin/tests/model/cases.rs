//! Messages at each limit and just over it.

use serde_json::{Value, json};

/// A message, and what it is at the limit of.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Within the limit.
    pub(crate) within: bool,
    pub(crate) message: Value,
}

fn x(length: usize) -> String {
    "x".repeat(length)
}

fn plain(length: usize) -> Value {
    json!({"type":"plain_text","text":x(length)})
}

fn mrkdwn(length: usize) -> Value {
    json!({"type":"mrkdwn","text":x(length)})
}

fn message(block: Value) -> Value {
    let blocks = vec![block];
    json!({"text":"t","blocks":blocks})
}

fn button(more: &Value) -> Value {
    let mut button = json!({"type":"button","action_id":"a","text":plain(1)});
    for (key, value) in more.as_object().into_iter().flatten() {
        button[key] = value.clone();
    }
    button
}

fn actions(more: &Value) -> Value {
    message(json!({"type":"actions","elements":[button(more)]}))
}

fn cells(rows: usize, columns: usize, length: usize) -> Value {
    let cell = json!({"type":"raw_text","text":x(length)});
    json!(vec![vec![cell; columns]; rows])
}

fn data_table(rows: &Value) -> Value {
    message(json!({"type":"data_table","caption":"c","rows":rows}))
}

fn buttons(count: usize) -> Vec<Value> {
    (0..count).map(|n| button(&json!({"action_id":format!("a{n}")}))).collect()
}

/// What is counted, its limit, and a message with so many.
type Limit = (&'static str, usize, fn(usize) -> Value);

const LIMITS: [Limit; 31] = [
    ("blocks of a message", 50, |n| json!({"text":"t","blocks":vec![json!({"type":"divider"}); n]})),
    (
        "attachments",
        100,
        |n| json!({"text":"t","attachments":vec![json!({"color":"#a30200","blocks":[{"type":"divider"}]}); n]}),
    ),
    ("block_id", 255, |n| message(json!({"type":"divider","block_id":x(n)}))),
    ("section text", 3_000, |n| message(json!({"type":"section","text":mrkdwn(n)}))),
    ("plain section text", 3_000, |n| message(json!({"type":"section","text":plain(n)}))),
    ("section fields", 10, |n| message(json!({"type":"section","fields":vec![mrkdwn(1); n]}))),
    ("section field text", 2_000, |n| message(json!({"type":"section","fields":[mrkdwn(n)]}))),
    ("header text", 150, |n| message(json!({"type":"header","text":plain(n)}))),
    ("context elements", 10, |n| message(json!({"type":"context","elements":vec![mrkdwn(1); n]}))),
    ("context text", 3_000, |n| message(json!({"type":"context","elements":[mrkdwn(n)]}))),
    ("actions elements", 25, |n| message(json!({"type":"actions","elements":buttons(n)}))),
    ("button text", 75, |n| actions(&json!({"text":plain(n)}))),
    ("button value", 2_000, |n| actions(&json!({"value":x(n)}))),
    ("button url", 3_000, |n| actions(&json!({"url":x(n)}))),
    ("action_id", 255, |n| actions(&json!({"action_id":x(n)}))),
    ("accessory button text", 75, |n| {
        message(json!({"type":"section","text":mrkdwn(1),"accessory":button(&json!({"text":plain(n)}))}))
    }),
    ("markdown text", 12_000, |n| message(json!({"type":"markdown","text":x(n)}))),
    (
        "markdown text in all",
        12_000,
        |n| json!({"text":"t","blocks":[{"type":"markdown","text":x(6_000)},{"type":"markdown","text":x(n - 6_000)}]}),
    ),
    ("text of a message's blocks", 13_297, |n| {
        let mut blocks = vec![json!({"type":"section","text":mrkdwn(3_000)}); 4];
        blocks.push(json!({"type":"section","text":mrkdwn(n - 12_000 - 4 * 125)}));
        json!({"text":"t","blocks":blocks})
    }),
    ("table rows", 100, |n| message(json!({"type":"table","rows":cells(n, 1, 1)}))),
    ("table columns", 20, |n| message(json!({"type":"table","rows":cells(1, n, 1)}))),
    ("table column settings", 20, |n| {
        message(json!({"type":"table","column_settings":vec![json!({"align":"left"}); n],"rows":cells(1, 1, 1)}))
    }),
    ("table characters", 10_000, |n| message(json!({"type":"table","rows":cells(1, 1, n)}))),
    ("tables of a message", 1, |n| json!({"text":"t","blocks":vec![json!({"type":"table","rows":cells(1, 1, 1)}); n]})),
    ("data table rows", 201, |n| data_table(&cells(n, 1, 1))),
    ("data table columns", 20, |n| data_table(&cells(2, n, 1))),
    ("data table page size", 100, |n| {
        message(json!({"type":"data_table","caption":"c","page_size":n,"rows":cells(2, 1, 1)}))
    }),
    ("data table characters", 20_000, |n| {
        let mut rows = cells(2, 1, 10_000);
        rows[1][0]["text"] = json!(x(n - 10_000));
        data_table(&rows)
    }),
    ("data table characters in all", 20_000, |n| {
        let one = |length: usize| {
            let mut rows = cells(2, 1, 1);
            rows[1][0]["text"] = json!(x(length - 1));
            json!({"type":"data_table","caption":"c","rows":rows})
        };
        json!({"text":"t","blocks":[one(10_000), one(n - 10_000)]})
    }),
    (
        "nested section text",
        3_000,
        |n| json!({"text":"t","attachments":[{"color":"#a30200","blocks":[{"type":"section","text":mrkdwn(n)}]}]}),
    ),
    ("nested button text", 75, |n| {
        let blocks = json!([{"type":"actions","elements":[button(&json!({"text":plain(n)}))]}]);
        json!({"text":"t","attachments":[{"color":"#a30200","blocks":blocks}]})
    }),
];

/// Shapes that are wrong whatever their size.
fn wrong() -> Vec<(&'static str, Value)> {
    let empty_cell = json!([[{"type":"raw_text","text":""}]]);
    let uneven =
        json!([[{"type":"raw_text","text":"a"}],[{"type":"raw_text","text":"a"},{"type":"raw_text","text":"b"}]]);
    vec![
        ("a block of no kind", message(json!({"type":"nonsense"}))),
        ("a section of nothing", message(json!({"type":"section"}))),
        ("a section without words", message(json!({"type":"section","text":mrkdwn(0)}))),
        ("a header in mrkdwn", message(json!({"type":"header","text":mrkdwn(1)}))),
        ("a header without words", message(json!({"type":"header","text":plain(0)}))),
        ("a context of nothing", message(json!({"type":"context","elements":[]}))),
        ("actions of nothing", message(json!({"type":"actions","elements":[]}))),
        ("a button in a style of its own", actions(&json!({"style":"loud"}))),
        ("a button without words", actions(&json!({"text":plain(0)}))),
        (
            "plain text with verbatim",
            message(json!({"type":"section","text":{"type":"plain_text","text":"x","verbatim":true}})),
        ),
        (
            "two blocks of one id",
            json!({"text":"t","blocks":[{"type":"divider","block_id":"a"},{"type":"divider","block_id":"a"}]}),
        ),
        (
            "two buttons of one id",
            message(json!({"type":"actions","elements":[button(&json!({})), button(&json!({}))]})),
        ),
        ("markdown without words", message(json!({"type":"markdown","text":""}))),
        ("a table without rows", message(json!({"type":"table","rows":[]}))),
        ("a table with an empty cell", message(json!({"type":"table","rows":empty_cell}))),
        ("a table of uneven rows", message(json!({"type":"table","rows":uneven}))),
        ("a data table of a head alone", data_table(&cells(1, 1, 1))),
        ("a data table of uneven rows", data_table(&uneven)),
        ("a data table with an empty cell", data_table(&json!([[{"type":"raw_text","text":"a"}], empty_cell[0]]))),
        ("a data table without a caption", message(json!({"type":"data_table","caption":"","rows":cells(2, 1, 1)}))),
        (
            "a data table of pages of nothing",
            message(json!({"type":"data_table","caption":"c","page_size":0,"rows":cells(2, 1, 1)})),
        ),
        ("a message of nothing", json!({"text":""})),
    ]
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let limits = LIMITS.iter().flat_map(|(name, limit, message)| {
        [(true, *limit), (false, limit + 1)].map(|(within, count)| Case { name, within, message: message(count) })
    });
    let wrong = wrong().into_iter().map(|(name, message)| Case { name, within: false, message });
    limits.chain(wrong).collect()
}

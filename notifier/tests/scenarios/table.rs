//! The evidence: what was seen, scenario by replicas.

use std::collections::BTreeMap;

use parking_lot::Mutex;

static ROWS: Mutex<BTreeMap<(u32, u32), (String, String)>> = Mutex::new(BTreeMap::new());

/// Notes what a person saw, and writes the table anew if it is wanted.
pub(crate) fn note(scenario: u32, replicas: u32, what: &str, timeline: &str) {
    let Ok(file) = std::env::var("RONDA_SCENARIOS_TABLE") else { return };
    let lines: Vec<&str> = timeline.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect();
    let mut rows = ROWS.lock();
    rows.insert((scenario, replicas), (what.to_owned(), lines.join(" / ").replace('|', "\\|")));
    let mut table = "| scenario | replicas | store | what the person saw |\n|---|---|---|---|\n".to_owned();
    for ((scenario, replicas), (what, seen)) in rows.iter() {
        table.push_str(&format!("| {scenario} {what} | {replicas} | embedded | {seen} |\n"));
    }
    std::fs::write(file, table).unwrap();
}

//! `schedulers list|show|history|pause|resume|delete`.

use reqwest::Method;
use serde_json::{Value, json};

use super::http::{Client, Request, Sent};
use crate::cli::{One, SchedulersCommand, Server};
use crate::text::{columns, printable};
use ronda_host::exit::Failure;

/// Most entries asked for at once.
const PAGE: usize = 100;

/// Looks at schedulers, or manages one.
///
/// # Errors
/// What the server has against it.
pub async fn schedulers(command: SchedulersCommand) -> Result<String, Failure> {
    match command {
        SchedulersCommand::List { status, team, environment, tags, text, limit, server } => {
            let mut filters = given([("status", status), ("team", team), ("environment", environment), ("q", text)]);
            filters.extend(tags.into_iter().map(|tag| ("tag", tag)));
            let items = pages(&server, &["api", "v1", "schedulers"], &filters, limit).await?;
            Ok(shown(&server, &items, list))
        }
        SchedulersCommand::Show { id, server } => {
            let client = Client::for_reads(&server)?;
            let body = client.send(Method::GET, &["api", "v1", "schedulers", &id], &[], None, None).await?.body;
            Ok(if server.json { format!("{body:#}\n") } else { detail(&body) })
        }
        SchedulersCommand::History { id, from, until, limit, server } => {
            let path = ["api", "v1", "schedulers", &id, "history"];
            let items = pages(&server, &path, &given([("from", from), ("until", until)]), limit).await?;
            Ok(shown(&server, &items, history))
        }
        SchedulersCommand::Pause(one) => manage(Method::POST, &one, "pause", paused).await,
        SchedulersCommand::Resume(one) => manage(Method::POST, &one, "resume", resumed).await,
        SchedulersCommand::Delete(one) => manage(Method::DELETE, &one, "", deleted).await,
    }
}

async fn manage(method: Method, one: &One, what: &str, told: fn(&Sent) -> String) -> Result<String, Failure> {
    let path: Vec<&str> =
        ["api", "v1", "schedulers", &one.id, what].into_iter().filter(|part| !part.is_empty()).collect();
    let sent = Client::for_writes(&one.server)?.carry_out(Request::new(method, &path)).await?;
    let told = if sent.status == 202 { String::from("accepted, and will be done in a moment") } else { told(&sent) };
    // There is nothing to show of what is gone.
    if one.server.json && !sent.body.is_null() {
        return Ok(format!("{:#}\n", sent.body));
    }
    Ok(format!("{}: {told}.\n", one.id))
}

fn paused(_: &Sent) -> String {
    String::from("paused; nothing is expected of it until 'ronda schedulers resume'")
}

fn resumed(sent: &Sent) -> String {
    let due = &sent.body["next_due"];
    if due.is_string() { format!("not paused; next due: {}", time(due)) } else { String::from("not paused") }
}

fn deleted(_: &Sent) -> String {
    String::from("deleted; its history stays for as long as it is kept")
}

fn given<const N: usize>(filters: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    filters.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
}

pub(super) fn shown(server: &Server, items: &[Value], table: fn(&[Value]) -> String) -> String {
    if server.json { format!("{:#}\n", json!({ "items": items })) } else { table(items) }
}

pub(super) async fn pages(
    server: &Server,
    path: &[&str],
    filters: &[(&'static str, String)],
    limit: usize,
) -> Result<Vec<Value>, Failure> {
    let client = Client::for_reads(server)?;
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = filters.to_vec();
        query.push(("limit", (limit - items.len()).min(PAGE).to_string()));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let body = client.send(Method::GET, path, &query, None, None).await?.body;
        items.extend(body["items"].as_array().into_iter().flatten().cloned());
        cursor = body["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() || items.len() >= limit {
            items.truncate(limit);
            return Ok(items);
        }
    }
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::from("-"),
        Value::String(text) if text.is_empty() => String::from("-"),
        Value::String(text) => printable(text),
        other => other.to_string(),
    }
}

/// A time to the second.
pub(super) fn time(value: &Value) -> String {
    let text = text(value);
    match (text.len(), text.split_once('.')) {
        (24, Some((seconds, _))) => format!("{seconds}Z"),
        _ => text,
    }
}

pub(super) fn schedule(value: &Value) -> String {
    match (value["cron"].as_str(), value["every_seconds"].as_u64()) {
        (Some(cron), _) => printable(&format!("{cron} {}", value["timezone"].as_str().unwrap_or_default())),
        (None, Some(seconds)) => format!("every {seconds} s"),
        (None, None) => String::from("-"),
    }
}

pub(super) fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn list(items: &[Value]) -> String {
    if items.is_empty() {
        return String::from("No scheduler is like that. 'ronda register' makes one.\n");
    }
    let mut rows = vec![head(&["ID", "STATUS", "SCHEDULE", "NEXT DUE", "TEAM", "NAME"])];
    rows.extend(items.iter().map(|item| {
        vec![
            text(&item["id"]),
            text(&item["status"]),
            schedule(&item["schedule"]),
            time(&item["next_due"]),
            text(&item["team"]),
            text(&item["name"]),
        ]
    }));
    columns(&rows)
}

fn detail(item: &Value) -> String {
    let mut rows = vec![
        vec![text(&item["id"]), text(&item["status"])],
        vec![String::from("name"), text(&item["name"])],
        vec![String::from("schedule"), schedule(&item["schedule"])],
        vec![String::from("next due"), time(&item["next_due"])],
    ];
    for (label, key) in
        [("team", "team"), ("environment", "environment"), ("severity", "severity"), ("runbook", "runbook_url")]
    {
        if item[key].as_str().is_some_and(|value| !value.is_empty()) {
            rows.push(vec![label.to_owned(), text(&item[key])]);
        }
    }
    let last = &item["last"];
    if !last.is_null() {
        let mut line = format!("{} {}", text(&last["status"]), time(&last["time"]));
        if last["error"].is_string() {
            line = format!("{line}: {}", text(&last["error"]));
        }
        rows.push(vec![String::from("last"), line]);
    }
    for run in item["open_runs"].as_array().into_iter().flatten() {
        let line = format!("{} {} since {}", text(&run["run_id"]), text(&run["status"]), time(&run["started_at"]));
        rows.push(vec![String::from("open run"), line]);
    }
    let alert = &item["alert"];
    if !alert.is_null() {
        let line = format!("open since {}, {} in a row", time(&alert["opened_at"]), text(&alert["streak"]));
        rows.push(vec![String::from("alert"), line]);
    }
    rows.push(vec![String::from("as of"), time(&item["as_of"])]);
    columns(&rows)
}

fn history(items: &[Value]) -> String {
    if items.is_empty() {
        return String::from("Nothing has happened in that time.\n");
    }
    let mut rows = vec![head(&["TIME", "WHAT", "STATUS", "STARTED", "ENDED", "RUNS", "NOTES"])];
    rows.extend(items.iter().map(|item| {
        let corrections = item["corrections"].as_array().into_iter().flatten();
        let mut notes: Vec<String> =
            corrections.map(|one| format!("was {} until {}", text(&one["from"]), time(&one["at"]))).collect();
        let runs: Vec<&Value> = item["runs"].as_array().into_iter().flatten().collect();
        notes.extend(runs.iter().filter(|run| run["error"].is_string()).map(|run| text(&run["error"])));
        let total = item["runs_total"].as_u64().unwrap_or(0).max(runs.len() as u64);
        let more = total - runs.len() as u64;
        if more > 0 {
            notes.push(format!("… and {more} more runs"));
        }
        vec![
            time(&item["time"]),
            text(&item["kind"]),
            text(&item["status"]),
            time(&item["started_at"]),
            time(&item["ended_at"]),
            total.to_string(),
            notes.join("; "),
        ]
    }));
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_fits_on_a_terminal_and_an_empty_one_says_what_to_do() {
        let items = [json!({"id": "demo", "name": "De\u{1b}mo", "status": "healthy", "team": "",
            "schedule": {"cron": "* * * * *", "timezone": "UTC"}, "next_due": "2026-11-23T18:00:00.000Z"})];
        assert_eq!(
            list(&items),
            "ID    STATUS   SCHEDULE       NEXT DUE              TEAM  NAME\n\
             demo  healthy  * * * * * UTC  2026-11-23T18:00:00Z  -     De mo\n"
        );
        assert!(list(&[]).contains("ronda register"));
    }

    #[test]
    fn a_history_tells_corrections_and_errors() {
        let items = [json!({"kind": "occurrence", "time": "2026-11-23T18:00:00.000Z", "status": "failed",
            "started_at": "2026-11-23T18:00:01.250Z", "ended_at": null,
            "corrections": [{"at": "2026-11-23T18:05:00.000Z", "from": "missed", "to": "running"}],
            "runs": [{"error": "disk full"}], "runs_total": 251})];
        let told = history(&items);
        assert!(told.contains("2026-11-23T18:00:01Z"), "{told}");
        let notes = "251   was missed until 2026-11-23T18:05:00Z; disk full; … and 250 more runs";
        assert!(told.contains(notes), "{told}");
    }
}

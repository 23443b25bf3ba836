//! `register`: a new scheduler, or another description of one that is there.
//!
//! To the API a registration is the whole description. At a command line somebody changes one thing, so what is not named is kept:
//! the description that is there is read first, and sent with the changes.

use std::io::Read;
use std::path::Path;

use reqwest::Method;
use ronda_domain::draft::{ScheduleDraft, SpecDraft};
use ronda_schemas::api::register::FIELDS;
use serde_json::{Map, Value, json};

use super::http::{Client, Lookup, Request, Sent};
use super::schedulers::{schedule, time};
use crate::cli::RegisterArguments;
use crate::text::printable;
use ronda_host::exit::{Code, Failure};

/// The fields of a description, in the order in which changes are told: all of a registration but its id.
fn fields() -> impl Iterator<Item = &'static str> {
    FIELDS.into_iter().filter(|field| *field != "id")
}

/// Registers a scheduler, or changes one.
///
/// # Errors
/// What the server, or the file, has against it.
pub async fn register(arguments: RegisterArguments) -> Result<String, Failure> {
    let mut client = Client::for_writes(&arguments.server)?;
    let given = match &arguments.file {
        Some(file) => {
            client = client.with_own_body();
            read(file)?
        }
        None => Value::Object(described(&arguments)),
    };
    let id = given["id"].as_str().unwrap_or_default().to_owned();
    let before = match client.look_up(&["api", "v1", "schedulers", &id]).await? {
        Lookup::There(before) => Some(before),
        Lookup::Missing => None,
        Lookup::Hidden if arguments.file.is_some() || arguments.replace => None,
        Lookup::Hidden => {
            let message = "the key may not read (scope 'read'), so what is registered already can't be kept; \
                           use a key that may, or --replace to send a whole description";
            return Err(Failure::new(Code::Refused, message));
        }
    };
    let body = match &before {
        Some(before) if arguments.file.is_none() && !arguments.replace => merged(before, &given, &arguments.clear),
        _ => given,
    };
    let path = ["api", "v1", "schedulers", "register"];
    let sent = client.carry_out(Request { body: Some(&body), ..Request::new(Method::POST, &path) }).await?;
    if arguments.server.json {
        return Ok(format!("{:#}\n", sent.body));
    }
    Ok(told(&printable(&id), before.as_ref(), &sent))
}

fn read(file: &Path) -> Result<Value, Failure> {
    let from_input = file == Path::new("-");
    let name = if from_input { String::from("standard input") } else { file.display().to_string() };
    let mut text = String::new();
    let read = if from_input {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|error| Failure::new(Code::Usage, format!("{name} can't be read: {error}")))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(Code::Usage, format!("{name} is not JSON: {error}")))
}

/// What the flags say.
fn described(arguments: &RegisterArguments) -> Map<String, Value> {
    let mut body = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.to_owned(), value);
        }
    };
    put("id", arguments.id.clone().map(Value::from));
    put("name", arguments.name.clone().map(Value::from));
    put("description", arguments.description.clone().map(Value::from));
    put("team", arguments.team.clone().map(Value::from));
    put("environment", arguments.environment.clone().map(Value::from));
    put("tags", (!arguments.tags.is_empty()).then(|| json!(arguments.tags)));
    let mut schedule = Map::new();
    let parts = [
        ("cron", arguments.cron.clone().map(Value::from)),
        ("timezone", arguments.timezone.clone().map(Value::from)),
        ("every_seconds", arguments.every_seconds.map(Value::from)),
    ];
    schedule.extend(parts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    put("schedule", Some(schedule).filter(|schedule| !schedule.is_empty()).map(Value::Object));
    put("start_grace_seconds", arguments.start_grace_seconds.map(Value::from));
    put("early_window_seconds", arguments.early_window_seconds.map(Value::from));
    put("max_run_seconds", arguments.max_run_seconds.map(Value::from));
    put("heartbeat_timeout_seconds", arguments.heartbeat_timeout_seconds.map(Value::from));
    put("alert_after", arguments.alert_after.map(Value::from));
    put("recover_after", arguments.recover_after.map(Value::from));
    put("severity", arguments.severity.clone().map(Value::from));
    put("runbook_url", arguments.runbook_url.clone().map(Value::from));
    body
}

/// The whole description: as it is, without what shall be cleared, with what is given.
fn merged(before: &Value, given: &Value, clear: &[String]) -> Value {
    let mut body = Map::new();
    let (grace, early) = derived(&before["schedule"]);
    for key in fields() {
        let value = &before[key];
        // What followed from the old schedule shall follow from the new one.
        let is_derived = match key {
            "start_grace_seconds" => value.as_u64() == grace,
            "early_window_seconds" => value.as_u64() == early,
            _ => false,
        };
        let is_cleared = clear.iter().any(|cleared| cleared.replace('-', "_") == key);
        if !is_derived && !is_cleared && !value.is_null() {
            body.insert(key.to_owned(), value.clone());
        }
    }
    for (key, value) in given.as_object().into_iter().flatten() {
        body.insert(key.clone(), value.clone());
    }
    // A new hour is meant in the old zone, and a new zone for the old hour.
    let (old, new) = (&before["schedule"], &given["schedule"]);
    if let Some(schedule) = body.get_mut("schedule").and_then(Value::as_object_mut)
        && new["every_seconds"].is_null()
    {
        for key in ["cron", "timezone"] {
            if new.is_object() && new[key].is_null() && old[key].is_string() {
                schedule.insert(key.to_owned(), old[key].clone());
            }
        }
    }
    Value::Object(body)
}

/// The grace and the early window that follow from a schedule when none are given.
fn derived(schedule: &Value) -> (Option<u64>, Option<u64>) {
    let text = |key: &str| schedule[key].as_str().map(str::to_owned);
    let draft = ScheduleDraft {
        cron: text("cron"),
        timezone: text("timezone"),
        every_seconds: schedule["every_seconds"].as_i64(),
        anchor: None,
    };
    let spec = SpecDraft { id: String::from("x"), schedule: Some(draft), ..SpecDraft::default() }.validate().ok();
    (
        spec.as_ref().map(|spec| u64::from(spec.start_grace_seconds)),
        spec.as_ref().map(|spec| u64::from(spec.early_window_seconds)),
    )
}

fn told(id: &str, before: Option<&Value>, sent: &Sent) -> String {
    let due = &sent.body["next_due"];
    let due = if due.is_string() { format!("Next due: {}.\n", time(due)) } else { String::new() };
    match (sent.status, before) {
        (201, _) if sent.body["schedule"].is_null() => {
            format!("{id} is registered. It has no schedule: nothing is expected of it at any time.\n")
        }
        (201, _) => format!("{id} is registered. {due}"),
        (200, Some(before)) => {
            let changes: Vec<String> = fields().filter_map(|key| change(key, before, &sent.body)).collect();
            if changes.is_empty() {
                return format!("{id} is up to date; nothing changed. {due}").trim_end().to_owned() + "\n";
            }
            format!("{id} is changed:\n  {}\n{due}", changes.join("\n  "))
        }
        (200, None) => format!("{id} is up to date. {due}").trim_end().to_owned() + "\n",
        _ => format!("{id} is accepted, and will be there in a moment.\n"),
    }
}

fn change(key: &str, before: &Value, after: &Value) -> Option<String> {
    let (old, new) = (&before[key], &after[key]);
    if old == new {
        return None;
    }
    let name = key.replace('_', " ");
    if key == "schedule" && new.is_null() {
        return Some(format!("schedule removed (was {}): nothing is expected of it any more", schedule(old)));
    }
    let text = |value: &Value| match value {
        Value::Object(_) => schedule(value),
        Value::Array(tags) => tags.iter().filter_map(Value::as_str).map(printable).collect::<Vec<_>>().join(", "),
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        other => other.to_string(),
    };
    let shown =
        |value: &Value| Some(text(value)).filter(|text| !text.is_empty()).unwrap_or_else(|| String::from("none"));
    Some(format!("{name}: {} → {}", shown(old), shown(new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nightly() -> Value {
        json!({"id": "n", "name": "Nightly", "description": "", "team": "", "environment": "", "tags": ["a"],
            "schedule": {"cron": "0 1 * * *", "timezone": "Asia/Jakarta"}, "start_grace_seconds": 300,
            "early_window_seconds": 60, "max_run_seconds": null, "heartbeat_timeout_seconds": 90, "alert_after": 1,
            "recover_after": 1, "severity": "warning", "runbook_url": "", "status": "healthy", "next_due": null})
    }

    #[test]
    fn what_is_not_named_is_kept() {
        let body = merged(&nightly(), &json!({"id": "n", "severity": "critical"}), &[]);
        assert_eq!(body["schedule"], nightly()["schedule"]);
        assert_eq!((&body["severity"], &body["name"]), (&json!("critical"), &json!("Nightly")));
        assert!(body.get("status").is_none() && body.get("max_run_seconds").is_none());
    }

    #[test]
    fn what_is_cleared_goes_and_only_that() {
        let clear = [String::from("schedule"), String::from("heartbeat-timeout-seconds")];
        let body = merged(&nightly(), &json!({"id": "n"}), &clear);
        assert!(body.get("schedule").is_none() && body.get("heartbeat_timeout_seconds").is_none());
        assert_eq!(body["tags"], json!(["a"]));
    }

    #[test]
    fn an_hour_keeps_its_zone_and_what_followed_from_the_old_schedule_goes_with_it() {
        let body = merged(&nightly(), &json!({"id": "n", "schedule": {"cron": "*/5 * * * *"}}), &[]);
        assert_eq!(body["schedule"], json!({"cron": "*/5 * * * *", "timezone": "Asia/Jakarta"}));
        assert!(body.get("start_grace_seconds").is_none() && body.get("early_window_seconds").is_none());
        let body = merged(&nightly(), &json!({"id": "n", "schedule": {"timezone": "UTC"}}), &[]);
        assert_eq!(body["schedule"], json!({"cron": "0 1 * * *", "timezone": "UTC"}));
        let body = merged(&nightly(), &json!({"id": "n", "schedule": {"every_seconds": 60}}), &[]);
        assert_eq!(body["schedule"], json!({"every_seconds": 60}));
        let mut own = nightly();
        own["start_grace_seconds"] = json!(20);
        assert_eq!(merged(&own, &json!({"id": "n"}), &[])["start_grace_seconds"], 20);
    }

    #[test]
    fn changes_are_told_one_by_one() {
        let mut after = nightly();
        after["schedule"] = Value::Null;
        after["severity"] = json!("critical");
        after["tags"] = json!([]);
        let sent = |status, body| Sent { status, body };
        assert_eq!(
            told("n", Some(&nightly()), &sent(200, after)),
            "n is changed:\n  tags: a → none\n  \
             schedule removed (was 0 1 * * * Asia/Jakarta): nothing is expected of it any more\n  severity: warning → critical\n"
        );
        assert_eq!(told("n", Some(&nightly()), &sent(200, nightly())), "n is up to date; nothing changed.\n");
    }
}

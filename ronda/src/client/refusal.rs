//! The server's refusals in the words of the command line.

use reqwest::StatusCode;
use serde_json::Value;

use crate::text::printable;
use ronda_host::exit::Code;

/// An answer that is no success.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) retry_after_seconds: Option<u64>,
    pub(super) problem: Value,
}

impl Refused {
    /// The constant name of the problem; empty when it is none of Ronda's.
    pub(super) fn code(&self) -> &str {
        self.problem["code"].as_str().unwrap_or_default()
    }

    /// The exit code that the process of a data directory wants said; its refusals have one.
    pub(super) fn exit_code(&self) -> Option<Code> {
        Code::of(self.problem["exit_code"].as_u64()?)
    }
}

/// What was asked, and how.
pub(super) struct Asked<'a> {
    /// The server's address.
    pub(super) base: &'a str,
    pub(super) has_key: bool,
    /// Whether the body was made from flags, so that its fields have flags' names.
    pub(super) by_flags: bool,
}

/// One message that says what was wrong, once.
pub(super) fn told(refused: &Refused, asked: &Asked<'_>) -> String {
    let problem = &refused.problem;
    let text = |key: &str| problem[key].as_str().map(printable).unwrap_or_default();
    let errors: Vec<String> = problem["errors"].as_array().into_iter().flatten().map(|one| field(one, asked)).collect();
    let (code, title, detail) = (text("code"), text("title"), text("detail"));
    match (errors.as_slice(), code.as_str()) {
        ([only], _) => only.clone(),
        ([_, ..], _) => format!("{} things are wrong:\n  {}", errors.len(), errors.join("\n  ")),
        ([], "unknown_scheduler") => {
            let id = problem["example"]["body"]["id"].as_str().map_or_else(|| String::from("ID"), printable);
            format!("no scheduler '{id}' is registered; 'ronda register {id}' makes one (see 'ronda register --help')")
        }
        ([], "unauthorized") if !asked.has_key => {
            String::from("no key was given: set RONDA_API_KEY; 'ronda keys create --name me' makes one")
        }
        ([], "unauthorized") => String::from(
            "the key is not valid: it is unknown, expired or revoked (RONDA_API_KEY); 'ronda keys create --name me' makes another",
        ),
        ([], "") if detail.is_empty() => {
            let (status, base) = (refused.status, asked.base);
            format!(
                "{base} answered {status}, not as Ronda's API does; is it the address that 'ronda up' shows as API? (--url, RONDA_URL)"
            )
        }
        // The owner's own socket: it has no codes, and only the detail says anything.
        ([], "") => detail,
        ([], _) => [title, detail].iter().map(|text| text.trim_end_matches('.')).collect::<Vec<_>>().join(": "),
    }
}

fn field(error: &Value, asked: &Asked<'_>) -> String {
    let part = |key: &str| error[key].as_str().map(printable).unwrap_or_default();
    let message = if error["message"].is_string() { part("message") } else { part("detail") };
    let pointer = part("pointer");
    let name = if asked.by_flags { flag(&pointer) } else { pointer };
    format!("{name}: {}", message.trim_end_matches('.'))
}

/// The flag or argument that fills a field of the body, or a parameter of the query.
fn flag(pointer: &str) -> String {
    let path = pointer.trim_start_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match (first, rest) {
        ("id", "") => String::from("ID"),
        ("status", "") => String::from("STATUS"),
        ("schedule", "") => String::from("--cron or --every-seconds"),
        ("tags" | "tag", _) => String::from("--tag"),
        ("metadata", _) => String::from("--metadata"),
        ("q", "") => String::from("--text"),
        (name, "") | ("schedule" | "progress", name) => format!("--{}", name.replace('_', "-")),
        _ => pointer.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: u16, problem: Value, by_flags: bool) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        let asked = Asked { base: "http://h:1", has_key: true, by_flags };
        told(&Refused { status, retry_after_seconds: None, problem }, &asked)
    }

    #[test]
    fn what_is_wrong_is_said_once_and_by_the_flags_name() {
        let error = |pointer: &str| json!({"pointer": pointer, "code": "x", "message": "is out of bounds.."});
        let one = |pointer: &str| json!({"title": "Fields", "detail": "d", "code": "invalid_body", "errors": [error(pointer)]});
        for (pointer, expected) in [
            ("/schedule/cron", "--cron: is out of bounds"),
            ("/schedule", "--cron or --every-seconds: is out of bounds"),
            ("/start_grace_seconds", "--start-grace-seconds: is out of bounds"),
            ("/progress/done", "--done: is out of bounds"),
            ("/tags/3", "--tag: is out of bounds"),
            ("/status", "STATUS: is out of bounds"),
            ("limit", "--limit: is out of bounds"),
        ] {
            assert_eq!(said(400, one(pointer), true), expected);
        }
        assert_eq!(said(400, one("/schedule/cron"), false), "/schedule/cron: is out of bounds");
        let two = json!({"code": "invalid_body", "errors": [error("/id"), error("/name")]});
        assert_eq!(said(400, two, true), "2 things are wrong:\n  ID: is out of bounds\n  --name: is out of bounds");
    }

    #[test]
    fn refusals_say_what_to_do_at_a_command_line() {
        let unknown =
            json!({"code": "unknown_scheduler", "title": "t", "detail": "d", "example": {"body": {"id": "x"}}});
        assert!(said(404, unknown, true).starts_with("no scheduler 'x' is registered; 'ronda register x' makes one"));
        assert!(said(404, Value::Null, true).contains("http://h:1 answered 404 Not Found, not as Ronda's API does"));
        let limited = json!({"code": "rate_limited", "title": "Too many requests", "detail": "The key may make 1."});
        assert_eq!(said(429, limited, true), "Too many requests: The key may make 1");
        assert_eq!(said(400, json!({"title": "Not done", "detail": "no such key"}), true), "no such key");
    }
}

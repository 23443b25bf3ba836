//! `errors`: what was refused after it had been accepted.

use serde_json::Value;

use super::schedulers::{head, pages, shown, text, time};
use crate::cli::ErrorsArguments;
use crate::text::columns;
use ronda_host::exit::Failure;

/// Lists the error feed, newest first.
///
/// # Errors
/// What the server has against it.
pub async fn errors(arguments: ErrorsArguments) -> Result<String, Failure> {
    let items = pages(&arguments.server, &["api", "v1", "errors"], &[], arguments.limit).await?;
    Ok(shown(&arguments.server, &items, table))
}

fn table(items: &[Value]) -> String {
    if items.is_empty() {
        return String::from("Nothing was refused after it had been accepted.\n");
    }
    let mut rows = vec![head(&["TIME", "SCHEDULER", "COMMAND", "CODE", "WHAT"])];
    rows.extend(items.iter().map(|item| {
        let part = |key: &str| text(&item[key]);
        vec![time(&item["at"]), part("scheduler_id"), part("command"), part("code"), part("detail")]
    }));
    columns(&rows)
}

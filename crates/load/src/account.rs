//! The account at the end: what Ronda says that it applied, against the ledger.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::ledger::Ledger;
use crate::pipeline::Ronda;

/// How long the pipeline may take to catch up before the account is taken.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(60);

/// Heartbeats of every load scheduler's runs, by the scheduler's number, read page by page through the API.
///
/// # Errors
/// When a page can't be read.
pub async fn counted(ronda: &Ronda, key: &str) -> Result<BTreeMap<usize, u64>> {
    let mut counts = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let after = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = ronda.get(key, &format!("/api/v1/schedulers?limit=500{after}")).await?;
        for item in page["items"].as_array().into_iter().flatten() {
            let Some(number) = item["id"].as_str().and_then(|id| id.strip_prefix("load-")?.parse().ok()) else {
                continue;
            };
            let runs = item["open_runs"].as_array().into_iter().flatten();
            counts.insert(number, runs.filter_map(|run| run["heartbeats"].as_u64()).sum());
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(counts);
        }
    }
}

/// Waits until all that was acknowledged is applied, and compares. Answers how many heartbeats were counted.
///
/// # Errors
/// When something acknowledged is missing, or something is counted that was never sent.
pub async fn settle(ronda: &Ronda, key: &str, ledger: &Ledger) -> Result<u64> {
    let began = Instant::now();
    loop {
        let counts = counted(ronda, key).await?;
        let violations = ledger.violations(&counts);
        if violations.is_empty() {
            return Ok(counts.values().sum());
        }
        if began.elapsed() > CATCH_UP_WITHIN {
            let shown = violations.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
            bail!("{} schedulers are not as the ledger says: {shown}", violations.len());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

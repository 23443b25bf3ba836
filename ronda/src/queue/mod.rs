//! `queue init|check|lag|repartition`: the same on embedded queues and on brokers.

pub mod lag;
pub mod place;
mod repartition;

use ronda_queue::{Broker, Finding, QueueError, Role};
use serde_json::json;

use crate::admin::{self, Reached, socket};
use crate::cli::{QueueCommand, QueuePlace};
use crate::exit::{Code, Failure};
use crate::text::columns;
use crate::up::parts;
use lag::Lag;

/// Does one.
///
/// # Errors
/// What is wrong, or why the queues can't be used.
pub async fn run(command: QueueCommand) -> Result<String, Failure> {
    match command {
        QueueCommand::Init { json, place } => init(&place, json).await,
        QueueCommand::Check { json, place } => check(&place, json).await,
        QueueCommand::Lag { json, place } => {
            let lag = look(&place).await?;
            if json { pretty(&lag) } else { Ok(lag::told(&lag)) }
        }
        QueueCommand::Repartition { partitions, drain_seconds, json, place } => {
            let loaded = place::load(&place)?;
            let done = repartition::run(&loaded.settings, partitions, drain_seconds).await?;
            if json { pretty(&done) } else { Ok(repartition::told(&loaded, &done)) }
        }
    }
}

fn pretty(value: &impl serde::Serialize) -> Result<String, Failure> {
    let value = serde_json::to_value(value).map_err(|error| Failure::other(error.to_string()))?;
    Ok(format!("{value:#}\n"))
}

async fn init(place: &QueuePlace, json: bool) -> Result<String, Failure> {
    let settings = place::load(place)?.settings;
    place::is_embedded(&settings)?;
    if settings.queue.url.is_embedded() {
        parts::make_directory(&settings.storage.data)?;
    }
    let broker = place::reach(&settings).await?;
    let done = async {
        let made = broker.init().await?;
        // What is not its to put right is said all the same.
        Ok::<_, QueueError>((made, broker.check().await?))
    };
    let done = done.await;
    broker.close().await;
    let (made, left) = done.map_err(|error| parts::queue_failure(&settings, &error))?;
    if json {
        return pretty(&json!({"made": listed(&made), "findings": listed(&left)}));
    }
    let made = made.iter().map(|made| format!("made {}: {}\n", made.place, made.detail));
    let mut lines: String = made.collect();
    if lines.is_empty() {
        lines.push_str("Everything was there; nothing was made.\n");
    }
    lines.extend(left.iter().map(|left| format!("but {}: {}\n", left.place, left.detail)));
    Ok(lines)
}

async fn check(place: &QueuePlace, json: bool) -> Result<String, Failure> {
    let settings = place::load(place)?.settings;
    place::is_embedded(&settings)?;
    let broker = place::reach(&settings).await?;
    let found = broker.check().await;
    broker.close().await;
    let found = found.map_err(|error| parts::queue_failure(&settings, &error))?;
    let text = match (json, found.is_empty()) {
        (true, _) => pretty(&json!({"findings": listed(&found)}))?,
        (false, true) => String::from("The queues are as they shall be.\n"),
        (false, false) => {
            let head = ["WHERE", "WHAT", "'ronda queue init' MENDS IT"].map(str::to_owned).to_vec();
            let row = |finding: &Finding| {
                let mends = if finding.mendable { "yes" } else { "no" };
                vec![finding.place.clone(), finding.detail.clone(), mends.to_owned()]
            };
            columns(&std::iter::once(head).chain(found.iter().map(row)).collect::<Vec<_>>())
        }
    };
    if found.is_empty() {
        return Ok(text);
    }
    crate::print(&text);
    let things = if found.len() == 1 { String::from("1 thing is") } else { format!("{} things are", found.len()) };
    Err(Failure::new(Code::Queue, format!("{things} not as they shall be")))
}

fn listed(findings: &[Finding]) -> serde_json::Value {
    let item = |finding: &Finding| {
        let Finding { place, detail, mendable } = finding;
        json!({"place": place, "detail": detail, "mendable": mendable})
    };
    findings.iter().map(item).collect()
}

async fn look(place: &QueuePlace) -> Result<Lag, Failure> {
    let settings = place::load(place)?.settings;
    let open = || place::open(&settings, &Role::ALL);
    match admin::reach(&settings.storage.data, socket::QUEUE_LAG, &json!({}), open).await? {
        Reached::Running(lag) => Ok(lag),
        Reached::Opened(opened) => {
            let broker = opened.broker().await?;
            let looked = look_at(&*broker).await;
            broker.close().await;
            let looked = looked.map_err(|error| parts::queue_failure(&settings, &error))?;
            looked.map_err(|what| {
                Failure::new(if settings.queue.url.is_embedded() { Code::Data } else { Code::Queue }, what)
            })
        }
    }
}

async fn look_at(broker: &dyn Broker) -> Result<Result<Lag, String>, QueueError> {
    let mut queues = Vec::new();
    for role in Role::ALL {
        queues.push((role, broker.queue(role).await?));
    }
    let queues: Vec<_> = queues.iter().map(|(role, queue)| (*role, &**queue)).collect();
    Ok(lag::look(&queues, None).await)
}

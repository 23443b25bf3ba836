//! `queue init|check|lag|repartition`: the same on embedded queues and on brokers.

pub mod lag;
pub mod place;
mod repartition;

use ronda_domain::time::Timestamp;
use ronda_host::config::Settings;
use ronda_host::store;
use ronda_queue::{Broker, Checked, Finding, QueueError, Role};
use ronda_runtime::{Clock as _, SystemClock};
use serde_json::json;

use crate::admin::{self, Named, NotDone, Reached, socket};
use crate::cli::{QueueCommand, QueuePlace};
use crate::text::whole_columns;
use lag::Lag;
use ronda_host::exit::{Code, Failure};
use ronda_host::parts;

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
    let loaded = place::load(place)?;
    place::is_meant(&loaded)?;
    let settings = loaded.settings;
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
    let (made, Checked { findings: left, uncompared }) =
        done.map_err(|error| parts::queue_failure(&settings, &error))?;
    if json {
        return pretty(&json!({"made": listed(&made), "findings": listed(&left), "uncompared": uncompared}));
    }
    let made = made.iter().map(|made| format!("made {}: {}\n", made.place, made.detail));
    let mut lines: String = made.collect();
    if lines.is_empty() {
        lines.push_str("Everything was there; nothing was made.\n");
    }
    lines.extend(left.iter().map(|left| format!("but {}: {}\n", left.place, left.detail)));
    lines.extend(not_compared(uncompared));
    Ok(lines)
}

async fn check(place: &QueuePlace, json: bool) -> Result<String, Failure> {
    let settings = place::load(place)?.settings;
    place::is_embedded(&settings)?;
    let broker = place::reach(&settings).await?;
    let found = broker.check().await;
    broker.close().await;
    let checked = found.map_err(|error| parts::queue_failure(&settings, &error))?;
    let text = match json {
        true => pretty(&json!({"findings": listed(&checked.findings), "uncompared": checked.uncompared}))?,
        false => told(&checked),
    };
    let found = &checked.findings;
    if found.is_empty() {
        return Ok(text);
    }
    crate::print(&text);
    let things = if found.len() == 1 { String::from("1 thing is") } else { format!("{} things are", found.len()) };
    let start = match found.iter().filter(|finding| finding.stops).count() {
        0 => "nothing of it stops a start",
        _ => "'ronda up' does not start",
    };
    Err(Failure::new(Code::Queue, format!("{things} not as they shall be; {start}")))
}

/// For people. What is the matter stands last and whole: the broker's own words say at their end what it has.
fn told(checked: &Checked) -> String {
    let Checked { findings, uncompared } = checked;
    if findings.is_empty() && *uncompared == 0 {
        return String::from("The queues are as they shall be.\n");
    }
    let mut text = String::new();
    if !findings.is_empty() {
        let head = ["WHERE", "STOPS A START", "'ronda queue init' MENDS IT", "WHAT"].map(str::to_owned).to_vec();
        let yes = |is_so: bool| String::from(if is_so { "yes" } else { "no" });
        let row = |Finding { place, detail, mendable, stops }: &Finding| {
            vec![place.clone(), yes(*stops), yes(*mendable), detail.clone()]
        };
        text = whole_columns(&std::iter::once(head).chain(findings.iter().map(row)).collect::<Vec<_>>());
    }
    text.extend(not_compared(*uncompared));
    text
}

fn not_compared(places: u64) -> Option<String> {
    let what = match places {
        0 => return None,
        1 => String::from("1 place exists; its settings"),
        places => format!("{places} places exist; their settings"),
    };
    Some(format!("{what} can't be compared without the permission to configure.\n"))
}

fn listed(findings: &[Finding]) -> serde_json::Value {
    let item = |finding: &Finding| {
        let Finding { place, detail, mendable, stops } = finding;
        json!({"place": place, "detail": detail, "mendable": mendable, "stops_a_start": stops})
    };
    findings.iter().map(item).collect()
}

async fn look(place: &QueuePlace) -> Result<Lag, Failure> {
    let loaded = place::load(place)?;
    let settings = &loaded.settings;
    let open = || place::open(settings, &Role::ALL);
    let data = &settings.storage.data;
    match admin::reach(data, socket::QUEUE_LAG, &Named::of(&loaded), &json!({}), open).await? {
        Reached::Running(lag) => Ok(lag),
        Reached::Opened(opened) => {
            let broker = opened.broker().await?;
            let looked = look_at(settings, &*broker).await;
            broker.close().await;
            looked.map_err(|why| why.failure(settings))
        }
    }
}

async fn look_at(settings: &Settings, broker: &dyn Broker) -> Result<Lag, NotDone> {
    let mut queues = Vec::new();
    for role in Role::ALL {
        queues.push((role, broker.queue(role).await?));
    }
    let queues: Vec<_> = queues.iter().map(|(role, queue)| (*role, &**queue)).collect();
    if settings.store.url.is_embedded() {
        return lag::look(&queues, None).await;
    }
    let store = ronda_store::backend::connect(&store::options(settings)).await?;
    let now = Timestamp::from_millis(SystemClock::new().wall_millis());
    lag::look(&queues, Some((&*store, now))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(detail: &str, stops: bool) -> Finding {
        Finding { place: String::from("ronda.commands.0"), detail: detail.to_owned(), mendable: false, stops }
    }

    #[test]
    fn what_is_the_matter_is_told_whole_and_whether_it_stops_a_start() {
        let long = format!("{} but current is '536870912'", "x".repeat(300));
        let findings = vec![finding(&long, false), finding("is a classic queue", true)];
        let text = told(&Checked { findings, uncompared: 0 });
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("ronda.commands.0  no ") && lines[1].ends_with(&long), "{text}");
        assert!(lines[2].starts_with("ronda.commands.0  yes ") && lines[2].ends_with("is a classic queue"), "{text}");
    }

    #[test]
    fn what_could_not_be_compared_is_not_called_as_it_shall_be() {
        let text = told(&Checked { findings: Vec::new(), uncompared: 7 });
        assert_eq!(text, "7 places exist; their settings can't be compared without the permission to configure.\n");
        assert_eq!(told(&Checked::default()), "The queues are as they shall be.\n");
    }
}

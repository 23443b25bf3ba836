//! `partitions`: who works on which partition, and how far it is.

use ronda_domain::time::Timestamp;
use ronda_host::config::Settings;
use ronda_host::exit::Failure;
use ronda_host::lag::depth;
use ronda_host::{replica, store};
use ronda_lease::{Picture, Share};
use ronda_queue::{Queue, Role};
use ronda_runtime::{Clock as _, SystemClock};
use ronda_schemas::api::time::{Time, format_rfc3339};
use ronda_schemas::lease::Group;
use ronda_store::port::Store;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::admin::{self, Named, NotDone, Reached, socket};
use crate::cli::QueuePlace;
use crate::queue::place;
use crate::text::columns;

/// All partitions of both queues.
#[derive(Debug, Serialize, Deserialize)]
pub struct Partitions {
    /// Of the command queue, by number: the processors'.
    pub partitions: Vec<Partition>,
    /// Of the event queue, by number: the notifiers'.
    pub event_partitions: Vec<EventPartition>,
}

/// One partition of the command queue.
#[derive(Debug, Serialize, Deserialize)]
pub struct Partition {
    /// Its number.
    pub partition: u32,
    /// Whose it is.
    #[serde(flatten)]
    pub owned: Owned,
    /// How often it was acquired; none: never.
    pub epoch: Option<u64>,
    /// The time up to which it is judged.
    pub watermark: Option<Time>,
    /// How far that lies behind now, in milliseconds.
    pub behind_ms: Option<u64>,
    /// Messages that are not settled.
    pub messages: u64,
    /// Bytes that the backend holds for it; none: that can't be told.
    pub bytes: Option<u64>,
}

/// One partition of the event queue.
#[derive(Debug, Serialize, Deserialize)]
pub struct EventPartition {
    /// Its number.
    pub partition: u32,
    /// Whose it is.
    #[serde(flatten)]
    pub owned: Owned,
    /// Messages that are not settled.
    pub messages: u64,
}

/// Whose a partition is. Whether that replica lives can't be seen from outside: who is dead loses it within a lease period.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Owned {
    /// The replica that works on it; none: nobody.
    pub owner: Option<String>,
    /// Who shall have it next, as soon as the owner has let go.
    pub next_owner: Option<String>,
}

/// Shows them.
///
/// # Errors
/// Why neither the running process nor the servers could be asked.
pub async fn run(place: &QueuePlace, json: bool) -> Result<String, Failure> {
    let partitions = Box::pin(asked(place)).await?;
    if json {
        let value = serde_json::to_value(&partitions).map_err(|error| Failure::other(error.to_string()))?;
        return Ok(format!("{value:#}\n"));
    }
    Ok(told(&partitions))
}

async fn asked(place: &QueuePlace) -> Result<Partitions, Failure> {
    let loaded = place::load(place)?;
    let settings = &loaded.settings;
    if !settings.store.url.is_embedded() {
        return on_servers(settings).await;
    }
    let data = &settings.storage.data;
    let nobody = || Err::<(), _>(admin::not_running(data));
    match admin::reach(data, socket::PARTITIONS, &Named::of(&loaded), &json!({}), nobody).await? {
        Reached::Running(partitions) => Ok(partitions),
        Reached::Opened(()) => Err(admin::not_running(data).failure),
    }
}

async fn on_servers(settings: &Settings) -> Result<Partitions, Failure> {
    let rows = store::reach(settings).await?;
    let broker = place::reach(settings).await?;
    let looked = async {
        let (commands, events) = (broker.queue(Role::Commands).await?, broker.queue(Role::Events).await?);
        let owners = Owners::Leases(
            Box::new(Picture::read(&*rows, Group::Processor).await?),
            Box::new(Picture::read(&*rows, Group::Notifier).await?),
        );
        look(&*rows, &*commands, &*events, &owners).await
    };
    let looked = looked.await;
    broker.close().await;
    looked.map_err(|why: NotDone| why.failure(settings))
}

/// Who works on what.
pub enum Owners {
    /// This process, on everything.
    This,
    /// Replicas, as their leases say: processors, notifiers.
    Leases(Box<Picture>, Box<Picture>),
}

impl Owners {
    fn of(&self, group: Group, partitions: u32) -> Vec<Owned> {
        let picture = match self {
            Self::This => {
                let owned = Owned { owner: Some(replica::name()), next_owner: None };
                return vec![owned; usize::try_from(partitions).unwrap_or(0)];
            }
            Self::Leases(processors, notifiers) => match group {
                Group::Processor => processors,
                Group::Notifier => notifiers,
            },
        };
        let mut owned: Vec<_> = picture.shares().map(|share| shared(&share)).collect();
        owned.resize(usize::try_from(partitions).unwrap_or(0), Owned::default());
        owned
    }
}

fn shared(share: &Share<'_>) -> Owned {
    let name = |who: Option<ronda_lease::Who<'_>>| who.map(|who| who.name());
    let next = share.target.filter(|target| share.holder.is_none_or(|holder| holder.id != target.id));
    Owned { owner: name(share.holder), next_owner: name(next) }
}

/// Looks at every partition.
///
/// # Errors
/// The queue or the store that failed.
pub async fn look(
    store: &dyn Store,
    commands: &dyn Queue,
    events: &dyn Queue,
    owners: &Owners,
) -> Result<Partitions, NotDone> {
    let mut all = Partitions { partitions: Vec::new(), event_partitions: Vec::new() };
    for (partition, owned) in (0..).zip(owners.of(Group::Processor, commands.partitions())) {
        let row = store.partition(partition).await?;
        let depth = depth(commands, partition).await?;
        let watermark = row.as_ref().map(|row| row.watermark).filter(|at| *at > Timestamp::MIN);
        let now = Timestamp::from_millis(SystemClock::new().wall_millis());
        all.partitions.push(Partition {
            partition,
            owned,
            epoch: row.map(|row| row.epoch),
            watermark: watermark.map(Time),
            behind_ms: watermark.map(|at| u64::try_from(now.millis_since(at)).unwrap_or(0)),
            messages: depth.messages,
            bytes: depth.bytes,
        });
    }
    for (partition, owned) in (0..).zip(owners.of(Group::Notifier, events.partitions())) {
        let messages = depth(events, partition).await?.messages;
        all.event_partitions.push(EventPartition { partition, owned, messages });
    }
    Ok(all)
}

fn told(partitions: &Partitions) -> String {
    let head = ["QUEUE", "PARTITION", "OWNER", "EPOCH", "JUDGED UNTIL", "BEHIND", "MESSAGES", "BYTES"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let or_none = |text: Option<String>| text.unwrap_or_else(|| String::from("-"));
    rows.extend(partitions.partitions.iter().map(|partition| {
        vec![
            Role::Commands.name().to_owned(),
            partition.partition.to_string(),
            owner(&partition.owned),
            or_none(partition.epoch.map(|epoch| epoch.to_string())),
            or_none(partition.watermark.map(|at| format_rfc3339(at.0))),
            or_none(partition.behind_ms.map(|ms| format!("{}.{:03} s", ms / 1_000, ms % 1_000))),
            partition.messages.to_string(),
            or_none(partition.bytes.map(|bytes| bytes.to_string())),
        ]
    }));
    rows.extend(partitions.event_partitions.iter().map(|partition| {
        let none = || String::from("-");
        let (queue, number) = (Role::Events.name().to_owned(), partition.partition.to_string());
        let (owner, messages) = (owner(&partition.owned), partition.messages.to_string());
        vec![queue, number, owner, none(), none(), none(), messages, none()]
    }));
    columns(&rows)
}

fn owner(owned: &Owned) -> String {
    match (&owned.owner, &owned.next_owner) {
        (Some(owner), None) => owner.clone(),
        (Some(owner), Some(next)) => format!("{owner} (then {next})"),
        (None, Some(next)) => format!("nobody (then {next})"),
        (None, None) => String::from("nobody"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_moves_shows_both_owners() {
        let owned = |owner: Option<&str>, next: Option<&str>| Owned {
            owner: owner.map(str::to_owned),
            next_owner: next.map(str::to_owned),
        };
        let partition = |partition, owned| Partition {
            partition,
            owned,
            epoch: Some(3),
            watermark: None,
            behind_ms: Some(1_250),
            messages: 7,
            bytes: None,
        };
        let partitions = Partitions {
            partitions: vec![partition(0, owned(Some("a:1"), Some("b:2"))), partition(1, owned(None, None))],
            event_partitions: vec![EventPartition { partition: 0, owned: owned(Some("a:1"), None), messages: 0 }],
        };
        let text = told(&partitions);
        assert!(text.contains("a:1 (then b:2)  3      -             1.250 s  7         -"), "{text}");
        assert!(text.contains("1          nobody ") && text.contains("events    0          a:1 "), "{text}");
        let json = serde_json::to_value(&partitions).unwrap();
        assert_eq!(json["partitions"][0]["owner"], "a:1");
        assert!(json["partitions"][1]["owner"].is_null());
    }
}

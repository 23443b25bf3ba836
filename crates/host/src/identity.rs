//! Whether queues and store belong together.
//!
//! The store remembers how far each queue was read. Beside another queue, or an emptied one, its cursors lie ahead of what is published:
//! what is reported then is answered 202 and never read. So the store and the queues carry the same identity, a file `identity` in each
//! of their directories, and a start with parts that do not match is refused before anything listens.
//!
//! A store whose queues are on a broker has that one's address and prefix as its identity instead, and a start with others is refused, too.
//!
//! Identities are written store first and commands last, once all are known to belong together. So a queue of commands that has one
//! was started beside a store and a queue of events that had it, too. Directories of releases that knew no identities get theirs on the
//! next start, if the cursors fit.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::exit::{Code, Failure, chain};
use crate::memory::{Memory, read_file, write_file};
use crate::parts::{Backend, Parts, Rows};
use crate::{broker, life};

const NAME: &str = "identity";
const ADVICE: &str = "What is reported now could be lost, so nothing was started. Queue and store belong together: put back the whole data \
     directory as it was copied; without a copy, start with this directory moved away, and register again";

pub(crate) const ADVICE_ON_BROKERS: &str = "The store remembers how far these queues were read, so nothing was started";
/// What the identity of a store begins with whose queues are on a broker.
const ON_BROKER: &str = "broker ";

/// The parts of a data directory that belong together.
struct Places {
    store: PathBuf,
    events: PathBuf,
    commands: PathBuf,
}

impl Places {
    fn of(data: &Path) -> Self {
        let queue = data.join("queue");
        Self { store: data.join("store"), events: queue.join("events"), commands: queue.join("commands") }
    }
}

/// Looks before anything is opened, and so made, whether a part is gone.
///
/// # Errors
/// Which part is gone, and what to do.
pub fn look(data: &Path) -> Result<(), Failure> {
    let places = Places::of(data);
    let gone = |what: &str, place: &Path, other: &str| {
        Err(refusal(&format!(
            "{what} is gone: there is no {}, but {other} that it belongs to is there",
            place.display()
        )))
    };
    let store = read(&places.store)?;
    if store.is_some_and(|identity| !identity.starts_with(ON_BROKER)) && !places.commands.exists() {
        return gone("the queue", &places.commands, "the store");
    }
    if read(&places.commands)?.is_some() && !places.store.exists() {
        return gone("the store", &places.store, "the queue");
    }
    Ok(())
}

/// The broker and prefix whose queues the store of a data directory belongs to, if they are on one.
///
/// # Errors
/// When the file can't be read.
pub fn broker_of(data: &Path) -> Result<Option<String>, Failure> {
    let identity = read(&Places::of(data).store)?;
    Ok(identity.and_then(|identity| identity.strip_prefix(ON_BROKER).map(str::to_owned)))
}

/// Checks parts that are open, and gives them an identity where they have none yet.
///
/// # Errors
/// Which parts do not belong together, how that shows, and what to do.
pub async fn check(parts: &Parts, data: &Path) -> Result<(), Failure> {
    let places = Places::of(data);
    match (&parts.backend, &parts.rows) {
        (Backend::Embedded(_), _) => check_embedded(parts, &places).await,
        (Backend::Broker(_, name), Rows::Embedded(_)) => {
            check_on_broker(parts, &Memory::Files(places.store), name).await
        }
        (Backend::Broker(_, name), Rows::Server(place)) => {
            check_on_broker(parts, &Memory::Labels(Arc::clone(&parts.store), place.clone()), name).await
        }
    }
}

async fn check_embedded(parts: &Parts, places: &Places) -> Result<(), Failure> {
    let (store, events, commands) = (read(&places.store)?, read(&places.events)?, read(&places.commands)?);
    if let Some(name) = store.as_ref().and_then(|identity| identity.strip_prefix(ON_BROKER)) {
        let what =
            format!("{} belongs to the queues on {name}: name them again (queue.url, --queue)", places.store.display());
        return Err(Failure::new(Code::Data, format!("{what}. {ADVICE_ON_BROKERS}.")));
    }
    let is_used = cursors_fit(parts, places).await?;
    let known = [(&commands, &places.commands), (&store, &places.store), (&events, &places.events)];
    let first = known.iter().find_map(|(identity, place)| Some(((*identity).clone()?, *place)));
    for (identity, place) in known {
        let Some((first, at)) = &first else { break };
        match identity {
            Some(identity) if identity != first => {
                let what = format!("{} and {} are not of the same Ronda", at.display(), place.display());
                return Err(refusal(&what));
            }
            None if is_used && commands.is_some() => {
                let what =
                    format!("{} is not the one that {} was used with", place.display(), places.commands.display());
                return Err(refusal(&what));
            }
            _ => {}
        }
    }
    let identity = first.map_or_else(fresh, |(identity, _)| Ok(identity))?;
    for (known, place) in [(store, &places.store), (events, &places.events), (commands, &places.commands)] {
        if known.is_none() {
            write_file(place, NAME, &identity)?;
        }
    }
    Ok(())
}

/// Whether the store of a data directory, if there is one, is one for the queues of this name: to be asked before anything is made on their
/// broker.
///
/// # Errors
/// Which queues it belongs to.
pub(crate) async fn look_on_broker(data: &Path, name: &broker::Name) -> Result<(), Failure> {
    is_for(&Memory::Files(Places::of(data).store), name).await.map(drop)
}

/// The same of a store on a server.
///
/// # Errors
/// As [`look_on_broker`].
pub(crate) async fn look_on_server(
    store: Arc<dyn ronda_store::port::Store>,
    place: &str,
    name: &broker::Name,
) -> Result<(), Failure> {
    is_for(&Memory::Labels(store, place.to_owned()), name).await.map(drop)
}

fn refuse<T>(what: &str) -> Result<T, Failure> {
    Err(Failure::new(Code::Data, format!("{what}.\n{ADVICE_ON_BROKERS}.")))
}

/// The store's identity, if it has one: it is the one of these queues.
async fn is_for(store: &Memory, name: &broker::Name) -> Result<Option<String>, Failure> {
    let identity = store.read(NAME).await?;
    match identity.as_deref().map(|identity| identity.strip_prefix(ON_BROKER)) {
        Some(None) => refuse(&format!(
            "{store} belongs to the embedded queues beside it, not to {name}: a store can't change its queues yet. Start with \
                 another data directory (--data), and register again"
        )),
        Some(Some(known)) if known != name.to_string() => refuse(&format!(
            "{store} belongs to the queues on {known}, not to those on {name}. If these are the same under another \
                 address, {} and start again",
            store.forget(NAME)
        )),
        _ => Ok(identity),
    }
}

async fn check_on_broker(parts: &Parts, store: &Memory, name: &broker::Name) -> Result<(), Failure> {
    let identity = is_for(store, name).await?;
    let cursors = Cursors::of(parts).await?;
    if let Some(row) = &cursors.other_partitions {
        let partitions = parts.commands.partitions();
        return refuse(&format!(
            "{store} is for {row} partitions, and the queue of commands on {name} has {partitions}: set storage.partitions = {row}, \
             or run 'ronda queue repartition' (again, if it was interrupted)"
        ));
    }
    let another = match store {
        Memory::Files(_) => "another data directory (--data)",
        Memory::Labels(..) => "another keyspace or prefix (--store)",
    };
    if let Some((partition, cursor, newest)) = cursors.ahead {
        return refuse(&format!(
            "{store} does not belong to the queues on {name}: partition {partition} was read up to position {cursor}, and the \
             queue ends at {newest}: it was made anew since. What it held is lost; start with {another}"
        ));
    }
    // On a log it shows when somebody has worked something off.
    let is_log = parts.commands.capabilities().log;
    if is_log && !cursors.is_known && was_worked_off(parts, &cursors).await? {
        return refuse(&format!(
            "{store} is new, and commands on {name} have been worked off by another Ronda: two that share queues would each \
             miss what the other takes. Give this one a prefix of its own (queue.prefix). If the other's store is lost \
             for good, remove these queues with the broker's own tools, and start again"
        ));
    }
    life::check(store, name, parts.commands.life().as_deref(), cursors.is_known).await?;
    if identity.is_none() {
        store.write(NAME, None, &format!("{ON_BROKER}{name}")).await?;
        // Of two that begin at once with other queues one has written first.
        is_for(store, name).await?;
    }
    Ok(())
}

/// Whether somebody has settled something on a log that numbers all partitions together, from 1 on.
async fn was_worked_off(parts: &Parts, cursors: &Cursors) -> Result<bool, Failure> {
    if cursors.newest == 0 {
        return Ok(false);
    }
    // The very first message is gone, and does not come back.
    if cursors.oldest.is_none_or(|oldest| oldest > 1) {
        return Ok(true);
    }
    // Where that one's partition stands still: partitions are asked one after another, and more may come meanwhile, so what is there later must
    // be fewer than there ever were before.
    Ok(cursors.messages < cursors.newest && Cursors::of(parts).await?.messages < cursors.newest)
}

/// What the store's cursors and the queue of commands say of each other.
#[derive(Default)]
struct Cursors {
    /// The greatest position that was ever published; 0: none, or there are no positions.
    newest: u64,
    /// The least position that is not settled.
    oldest: Option<u64>,
    /// Messages that are not settled.
    messages: u64,
    /// Whether the store has a row of any partition.
    is_known: bool,
    /// How many partitions the store is for, if the queue has another number.
    other_partitions: Option<u32>,
    /// A partition whose cursor is ahead of the queue, with both.
    ahead: Option<(u32, u64, u64)>,
}

impl Cursors {
    async fn of(parts: &Parts) -> Result<Self, Failure> {
        let mut all = Self::default();
        let partitions = parts.commands.partitions();
        for partition in 0..partitions {
            let depth = parts.commands.depth(partition).await;
            let depth = depth.map_err(|error| match &parts.backend {
                Backend::Embedded(_) => Failure::new(Code::Data, chain(&error)),
                Backend::Broker(..) => Failure::new(Code::Queue, chain(&error)),
            })?;
            let newest = depth.newest.map_or(0, |newest| newest.0);
            all.oldest = all.oldest.into_iter().chain(depth.oldest.map(|oldest| oldest.0)).min();
            (all.newest, all.messages) = (all.newest.max(newest), all.messages + depth.messages);
            let row = parts.store.partition(partition).await.map_err(|error| parts.store_failure(&error))?;
            let Some(row) = row else { continue };
            all.is_known = true;
            if row.partitions != partitions {
                all.other_partitions.get_or_insert(row.partitions);
            }
            if parts.commands.capabilities().positions && row.cursor > newest {
                all.ahead.get_or_insert((partition, row.cursor, newest));
            }
        }
        Ok(all)
    }
}

/// Compares the store's cursors with the queue of commands. Answers whether anything was ever published to that.
async fn cursors_fit(parts: &Parts, places: &Places) -> Result<bool, Failure> {
    let cursors = Cursors::of(parts).await?;
    let (store, commands) = (places.store.display(), places.commands.display());
    if let Some(made_for) = cursors.other_partitions {
        let partitions = parts.commands.partitions();
        return Err(Failure::new(
            Code::Data,
            format!(
                "{store} is for {made_for} partitions, and {commands} has {partitions}: a change of their number was interrupted; run \
                 'ronda queue repartition' again"
            ),
        ));
    }
    if let Some((partition, cursor, newest)) = cursors.ahead {
        return Err(refusal(&format!(
            "{store} does not belong to {commands}: partition {partition} was read up to position {cursor}, and the queue ends at {newest}"
        )));
    }
    let is_used = cursors.newest > 0;
    // The first start makes a key before anything is published.
    let failed = |error: ronda_store::error::StoreError| parts.store_failure(&error);
    if is_used && !cursors.is_known && parts.store.keys(None).await.map_err(failed)?.is_empty() {
        return Err(refusal(&format!("{store} is empty, and {commands} has been in use")));
    }
    Ok(is_used)
}

fn refusal(what: &str) -> Failure {
    Failure::new(Code::Data, format!("{what}.\n{ADVICE}."))
}

fn read(place: &Path) -> Result<Option<String>, Failure> {
    read_file(&place.join(NAME))
}

fn fresh() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::other(error.to_string()))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use ronda_schemas::row::PartitionRow;
    use ronda_store::port::Commit;

    use super::*;
    use crate::config::Settings;

    async fn start(data: &Path) -> Result<Parts, Failure> {
        let mut settings = Settings::default();
        settings.storage.data = data.to_owned();
        let parts = Parts::open(&settings).await?;
        match check(&parts, data).await {
            Ok(()) => Ok(parts),
            Err(failure) => {
                parts.close().await;
                Err(failure)
            }
        }
    }

    async fn refused(data: &Path, wanted: &str) {
        // Twice: the first time must not make the second one look well.
        for _ in 0..2 {
            let failure = start(data).await.err().unwrap();
            assert_eq!(failure.code, Code::Data);
            assert!(failure.message.contains(wanted), "{failure}");
            assert!(failure.message.contains("moved away"), "{failure}");
        }
    }

    /// A directory whose first partition has two messages, both read.
    async fn used(data: &Path) {
        let parts = start(data).await.unwrap();
        for _ in 0..2 {
            parts.commands.publish(0, Bytes::from_static(b"x")).await.unwrap();
        }
        let partitions = parts.commands.partitions();
        let row = parts.store.acquire(0, partitions).await.unwrap();
        let partition = PartitionRow { cursor: 2, ..row };
        parts.store.commit(Arc::new(Commit { partition, ..Commit::default() })).await.unwrap();
        parts.close().await;
    }

    fn forget(data: &Path) {
        for place in ["store", "queue/events", "queue/commands"] {
            std::fs::remove_file(data.join(place).join(NAME)).unwrap();
        }
    }

    #[tokio::test]
    async fn parts_that_belong_together_start_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        used(&data).await;
        start(&data).await.unwrap().close().await;
        // As an earlier release left it.
        forget(&data);
        start(&data).await.unwrap().close().await;
        assert!(data.join("queue/commands").join(NAME).exists());
        // As a first start that was killed in between leaves it.
        std::fs::remove_file(data.join("queue/commands").join(NAME)).unwrap();
        start(&data).await.unwrap().close().await;
    }

    #[tokio::test]
    async fn a_queue_that_is_gone_is_refused_and_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        used(&data).await;
        std::fs::remove_dir_all(data.join("queue")).unwrap();
        refused(&data, "the queue is gone").await;
        assert!(!data.join("queue").exists());
    }

    #[tokio::test]
    async fn a_store_that_is_gone_is_refused_and_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        used(&data).await;
        std::fs::remove_dir_all(data.join("store")).unwrap();
        refused(&data, "the store is gone").await;
        assert!(!data.join("store").exists());
    }

    #[tokio::test]
    async fn without_identities_the_cursors_tell() {
        let dir = tempfile::tempdir().unwrap();
        let (queue_gone, store_gone) = (dir.path().join("q"), dir.path().join("s"));
        for data in [&queue_gone, &store_gone] {
            used(data).await;
            forget(data);
        }
        std::fs::remove_dir_all(queue_gone.join("queue")).unwrap();
        refused(&queue_gone, "was read up to position 2, and the queue ends at 0").await;
        std::fs::remove_dir_all(store_gone.join("store")).unwrap();
        refused(&store_gone, "is empty, and").await;
    }

    #[tokio::test]
    async fn parts_of_two_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        used(&one).await;
        used(&other).await;
        for part in ["store", "queue/events"] {
            let kept = dir.path().join("kept");
            std::fs::rename(one.join(part), &kept).unwrap();
            std::fs::rename(other.join(part), one.join(part)).unwrap();
            refused(&one, "are not of the same Ronda").await;
            std::fs::rename(one.join(part), other.join(part)).unwrap();
            std::fs::rename(&kept, one.join(part)).unwrap();
        }
        start(&one).await.unwrap().close().await;
        std::fs::remove_dir_all(one.join("queue/events")).unwrap();
        refused(&one, "is not the one that").await;
    }
}

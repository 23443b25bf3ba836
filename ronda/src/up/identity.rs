//! Whether queues and store belong together.
//!
//! The store remembers how far each queue was read. Beside another queue, or an emptied one, its cursors lie ahead of what is published:
//! what is reported then is answered 202 and never read. So the store and the queues carry the same identity, a file `identity` in each
//! of their directories, and a start with parts that do not match is refused before anything listens.
//!
//! Identities are written store first and commands last, once all are known to belong together. So a queue of commands that has one
//! was started beside a store and a queue of events that had it, too. Directories of releases that knew no identities get theirs on the
//! next start, if the cursors fit.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use ronda_queue::Queue;
use ronda_store::port::{KeyStore, SchedulerReads};

use super::parts::Parts;
use crate::exit::{Code, Failure, chain};

const NAME: &str = "identity";
const ADVICE: &str = "What is reported now could be lost, so nothing was started. Queue and store belong together: put back the whole data \
     directory as it was copied; without a copy, start with this directory moved away, and register again";

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
    if read(&places.store)?.is_some() && !places.commands.exists() {
        return gone("the queue", &places.commands, "the store");
    }
    if read(&places.commands)?.is_some() && !places.store.exists() {
        return gone("the store", &places.store, "the queue");
    }
    Ok(())
}

/// Checks parts that are open, and gives them an identity where they have none yet.
///
/// # Errors
/// Which parts do not belong together, how that shows, and what to do.
pub(super) async fn check(parts: &Parts, data: &Path) -> Result<(), Failure> {
    let places = Places::of(data);
    let (store, events, commands) = (read(&places.store)?, read(&places.events)?, read(&places.commands)?);
    let is_used = cursors_fit(parts, &places).await?;
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
            write(place, &identity).map_err(|error| failed(&place.join(NAME), &error))?;
        }
    }
    Ok(())
}

/// Compares the store's cursors with the queue of commands. Answers whether anything was ever published to that.
async fn cursors_fit(parts: &Parts, places: &Places) -> Result<bool, Failure> {
    let store_failed = |error: ronda_store::error::StoreError| Failure::new(Code::Data, chain(&error));
    let (mut is_used, mut is_known) = (false, false);
    let partitions = parts.commands.partitions();
    for partition in 0..partitions {
        let depth = parts.commands.depth(partition).await;
        let newest =
            depth.map_err(|error| Failure::new(Code::Data, chain(&error)))?.newest.map_or(0, |newest| newest.0);
        is_used |= newest > 0;
        let Some(row) = parts.store.partition(partition).await.map_err(store_failed)? else { continue };
        is_known = true;
        let (store, commands) = (places.store.display(), places.commands.display());
        if row.partitions != partitions {
            return Err(refusal(&format!(
                "{store} was made for {} partitions, and {commands} has {partitions}",
                row.partitions
            )));
        }
        if row.cursor > newest {
            return Err(refusal(&format!(
                "{store} does not belong to {commands}: partition {partition} was read up to position {}, and the queue ends at {newest}",
                row.cursor
            )));
        }
    }
    // The first start makes a key before anything is published.
    if is_used && !is_known && parts.store.keys(None).await.map_err(store_failed)?.is_empty() {
        let (store, commands) = (places.store.display(), places.commands.display());
        return Err(refusal(&format!("{store} is empty, and {commands} has been in use")));
    }
    Ok(is_used)
}

fn refusal(what: &str) -> Failure {
    Failure::new(Code::Data, format!("{what}.\n{ADVICE}."))
}

fn failed(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Data, format!("{}: {error}", file.display()))
}

fn read(place: &Path) -> Result<Option<String>, Failure> {
    let file = place.join(NAME);
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failed(&file, &error)),
    }
}

/// Durable, and whole or not there.
fn write(place: &Path, identity: &str) -> std::io::Result<()> {
    let making = place.join("identity.new");
    let mut file = File::create(&making)?;
    file.write_all(format!("{identity}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&making, place.join(NAME))?;
    File::open(place)?.sync_all()
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
    use ronda_store::port::{Commit, PartitionStore};

    use super::*;
    use crate::config::Settings;

    async fn start(data: &Path) -> Result<Parts, Failure> {
        let mut settings = Settings::default();
        settings.storage.data = data.to_owned();
        let parts = Parts::open(&settings)?;
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

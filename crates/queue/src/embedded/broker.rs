//! The three embedded queues of a data directory as one backend, so that whatever works on a broker works on them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::recovery::partitions_in;
use super::{EmbeddedOptions, EmbeddedQueue, OpenError, repartition};
use crate::broker::{Broker, Checked, Finding, Role};
use crate::error::{QueueError, QueueErrorKind};
use crate::port::Queue;

/// One of the three.
struct Place {
    role: Role,
    options: EmbeddedOptions,
    open: Option<Arc<EmbeddedQueue>>,
}

/// The embedded queues below one directory, each in a folder with its role's name. Each is opened, and so made, when it is first asked
/// for, and stays open until [`close`](Broker::close).
pub struct EmbeddedBroker {
    dir: PathBuf,
    places: Mutex<[Place; 3]>,
}

impl EmbeddedBroker {
    /// Names the directory and the settings of each queue; nothing is opened.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, options: impl Fn(Role) -> EmbeddedOptions) -> Self {
        let places = Role::ALL.map(|role| Place { role, options: options(role), open: None });
        Self { dir: dir.into(), places: Mutex::new(places) }
    }

    /// Where a queue lies.
    #[must_use]
    pub fn dir(&self, role: Role) -> PathBuf {
        self.dir.join(role.name())
    }

    /// Opens a queue, or answers the one that is open. Blocks while what a killed process left is read.
    ///
    /// # Errors
    /// As [`EmbeddedQueue::open`].
    pub fn open(&self, role: Role) -> Result<Arc<EmbeddedQueue>, OpenError> {
        let dir = self.dir(role);
        let mut places = self.places.lock();
        let [commands, events, dead_letters] = &mut *places;
        let place = match role {
            Role::Commands => commands,
            Role::Events => events,
            Role::DeadLetters => dead_letters,
        };
        if let Some(open) = &place.open {
            return Ok(Arc::clone(open));
        }
        let queue = Arc::new(EmbeddedQueue::open(dir, place.options.clone())?);
        place.open = Some(Arc::clone(&queue));
        Ok(queue)
    }

    /// How many partitions a queue has; `None`: it is not there.
    ///
    /// # Errors
    /// When its files can't be read, or are damaged.
    pub fn partitions(&self, role: Role) -> Result<Option<u32>, OpenError> {
        let dir = self.dir(role);
        if dir.is_dir() { partitions_in(&dir) } else { Ok(None) }
    }

    /// What is missing, and what can't be used.
    fn findings(&self) -> Result<Vec<Finding>, OpenError> {
        let wanted: Vec<(Role, u32)> =
            self.places.lock().iter().map(|place| (place.role, place.options.partitions)).collect();
        let mut findings = Vec::new();
        for (role, partitions) in wanted {
            let place = self.dir(role).display().to_string();
            match self.partitions(role)? {
                None => {
                    let detail = format!("the queue of {} is not there", role.name());
                    findings.push(Finding { place, detail, mendable: true, stops: false });
                }
                Some(have) if have != partitions => {
                    let refusal = OpenError::PartitionCount { dir: self.dir(role), have, asked: partitions };
                    findings.push(Finding { place, detail: refusal.to_string(), mendable: false, stops: true });
                }
                Some(_) => {}
            }
        }
        Ok(findings)
    }
}

#[async_trait]
impl Broker for EmbeddedBroker {
    async fn check(&self) -> Result<Checked, QueueError> {
        Ok(Checked { findings: self.findings()?, uncompared: 0 })
    }

    async fn init(&self) -> Result<Vec<Finding>, QueueError> {
        let findings = self.findings()?;
        if let Some(wrong) = findings.iter().find(|finding| !finding.mendable) {
            return Err(QueueError::permanent(QueueErrorKind::Mismatch, wrong.detail.clone()));
        }
        let mut made = Vec::new();
        for role in Role::ALL {
            if self.partitions(role)?.is_none() {
                self.open(role)?;
                let (place, detail) = (self.dir(role).display().to_string(), format!("the queue of {}", role.name()));
                made.push(Finding { place, detail, mendable: true, stops: false });
            }
        }
        Ok(made)
    }

    async fn queue(&self, role: Role) -> Result<Arc<dyn Queue>, QueueError> {
        Ok(self.open(role)?)
    }

    async fn repartition(&self, partitions: u32) -> Result<(), QueueError> {
        let (open, options) = {
            let [commands, ..] = &mut *self.places.lock();
            (commands.open.take(), commands.options.clone())
        };
        if let Some(open) = open {
            open.close().await;
        }
        let dir = self.dir(Role::Commands);
        let changed = tokio::task::spawn_blocking(move || repartition(&dir, &options, partitions)).await;
        changed.map_err(|error| QueueError::permanent(QueueErrorKind::Unavailable, error.to_string()))??;
        let [commands, ..] = &mut *self.places.lock();
        commands.options.partitions = partitions;
        Ok(())
    }

    async fn close(&self) {
        let open: Vec<_> = self.places.lock().iter_mut().filter_map(|place| place.open.take()).collect();
        for queue in open {
            queue.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(dir: &std::path::Path, partitions: u32) -> EmbeddedBroker {
        let of = move |role| if role == Role::Commands { partitions } else { 1 };
        EmbeddedBroker::new(dir, |role| EmbeddedOptions { partitions: of(role), ..EmbeddedOptions::default() })
    }

    #[tokio::test]
    async fn queues_are_made_once_checked_and_changed_only_by_repartition() {
        let dir = tempfile::tempdir().unwrap();
        let made = broker(dir.path(), 2);
        let missing = made.check().await.unwrap().findings;
        assert!(missing.len() == 3 && missing.iter().all(|finding| finding.mendable), "{missing:?}");
        assert!(!dir.path().join("commands").exists(), "looking makes nothing");
        assert_eq!(made.init().await.unwrap().len(), 3);
        assert_eq!((made.init().await.unwrap(), made.check().await.unwrap().findings), (vec![], vec![]));
        let queue = made.queue(Role::Commands).await.unwrap();
        queue.publish(1, "x".into()).await.unwrap();
        made.close().await;

        let other = broker(dir.path(), 8);
        let wrong = other.check().await.unwrap().findings;
        assert!(wrong.iter().any(|finding| !finding.mendable && finding.detail.contains("repartition")), "{wrong:?}");
        assert_eq!(other.init().await.unwrap_err().kind, QueueErrorKind::Mismatch);
        assert_eq!(other.queue(Role::Commands).await.err().unwrap().kind, QueueErrorKind::Mismatch);
        assert_eq!(made.repartition(8).await.unwrap_err().kind, QueueErrorKind::Mismatch, "a message is there");

        let queue = made.queue(Role::Commands).await.unwrap();
        let mut receiver = queue.open(1, None).await.unwrap();
        let message = receiver.receive(crate::ReceiveLimit::default()).await.unwrap();
        receiver.settle(message[0].token).await.unwrap();
        made.repartition(8).await.unwrap();
        assert_eq!(made.queue(Role::Commands).await.unwrap().partitions(), 8);
        made.close().await;
        assert_eq!(other.check().await.unwrap().findings, vec![]);
    }
}

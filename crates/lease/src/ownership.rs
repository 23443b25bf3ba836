//! What a service is told of its partitions, and what it tells.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

/// A set of partitions that is handed around.
pub type Partitions = Arc<BTreeSet<u32>>;

/// What a service says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// Nothing of this process works on it any more, and what it did is committed or will be done again: somebody else may begin. Said of
    /// each partition that the service has seen assigned, once it is not assigned any more and all has ended, whatever happened in between; and
    /// of all of them when the service ends.
    LetGo(u32),
    /// A commit was refused because somebody else has acquired it since. Whether it is still this member's has to be looked up.
    Fenced(u32),
}

/// Whoever decided about the partitions is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

/// Which partitions a service works on: its side.
#[derive(Debug)]
pub struct Ownership {
    assigned: watch::Receiver<Partitions>,
    /// What it was when it was asked for last.
    seen: Partitions,
    open: Arc<Mutex<BTreeSet<u32>>>,
    returned: mpsc::UnboundedSender<Returned>,
    /// Keeps the other side of one that never changes.
    _fixed: Option<Owner>,
}

/// Which partitions a service works on: the side that decides.
#[derive(Debug)]
pub struct Owner {
    assigned: watch::Sender<Partitions>,
    /// What the service has seen assigned and not let go of. Its lock is held while what is assigned is changed or looked at, so that
    /// nothing is begun that was believed not to have been seen.
    open: Arc<Mutex<BTreeSet<u32>>>,
    returned: mpsc::UnboundedReceiver<Returned>,
}

impl Ownership {
    /// Both sides; nothing is assigned yet.
    #[must_use]
    pub fn new() -> (Owner, Self) {
        let (assigned, seen) = watch::channel(Partitions::default());
        let open = Arc::new(Mutex::new(BTreeSet::new()));
        // No more than a few words a partition are ever under way.
        let (sender, returned) = mpsc::unbounded_channel();
        let owner = Owner { assigned, open: Arc::clone(&open), returned };
        (owner, Self { assigned: seen, seen: Partitions::default(), open, returned: sender, _fixed: None })
    }

    /// All of so many partitions, for ever: for a process that shares its store with no other.
    #[must_use]
    pub fn all(partitions: u32) -> Self {
        let (owner, mut ownership) = Self::new();
        owner.assign((0..partitions).collect());
        ownership._fixed = Some(owner);
        ownership
    }

    /// What it shall work on now.
    #[must_use]
    pub fn assigned(&mut self) -> Partitions {
        let mut open = self.open.lock();
        let assigned = Arc::clone(&self.assigned.borrow_and_update());
        open.extend(assigned.iter());
        self.seen = Arc::clone(&assigned);
        assigned
    }

    /// Waits until that has changed since it was asked for last. Cancel safe.
    ///
    /// # Errors
    /// [`Ended`] when nobody decides any more: nothing is to be worked on then.
    pub async fn changed(&mut self) -> Result<(), Ended> {
        self.assigned.changed().await.map_err(|_| Ended)
    }

    /// Says what it has anything to do with at all: of all else that it saw assigned before, and not when it asked last, it lets go. For a service
    /// that does not begin at once with all that it is assigned, and so has nothing to end when that changes.
    pub fn works_on(&self, works_on: impl Fn(u32) -> bool) {
        let open = self.open.lock().clone();
        for partition in open.into_iter().filter(|partition| !self.seen.contains(partition) && !works_on(*partition)) {
            self.tell(Returned::LetGo(partition));
        }
    }

    /// Says something of a partition. When nobody listens any more, it does not matter.
    pub fn tell(&self, returned: Returned) {
        if let Returned::LetGo(partition) = returned {
            // Here and not where it is heard: by then it may have been assigned and seen again.
            self.open.lock().remove(&partition);
        }
        let _ = self.returned.send(returned);
    }
}

impl Owner {
    /// Sets what the service shall work on. Answers what it may still be working on: what it has seen of this and of before, and not let go
    /// of.
    pub fn assign(&self, partitions: BTreeSet<u32>) -> BTreeSet<u32> {
        let open = self.open.lock();
        self.assigned.send_if_modified(|known| {
            let is_new = **known != partitions;
            if is_new {
                *known = Arc::new(partitions);
            }
            is_new
        });
        open.clone()
    }

    /// What the service shall work on.
    #[must_use]
    pub fn assigned(&self) -> Partitions {
        Arc::clone(&self.assigned.borrow())
    }

    /// What the service may still be working on.
    #[must_use]
    pub fn open(&self) -> BTreeSet<u32> {
        self.open.lock().clone()
    }

    /// What the service says next; `None`: the service is gone, and works on nothing. Cancel safe.
    pub async fn returned(&mut self) -> Option<Returned> {
        let returned = self.returned.recv().await;
        if returned.is_none() {
            self.open.lock().clear();
        }
        returned
    }

    /// The same of what it has said already; `None`: nothing more, for now.
    pub fn returned_already(&mut self) -> Option<Returned> {
        self.returned.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_sees_what_is_assigned_and_is_heard() {
        let (mut owner, mut ownership) = Ownership::new();
        assert!(ownership.assigned().is_empty());
        owner.assign([1, 3].into());
        ownership.changed().await.unwrap();
        assert_eq!(*ownership.assigned(), [1, 3].into());
        ownership.tell(Returned::Fenced(3));
        assert_eq!(owner.returned().await, Some(Returned::Fenced(3)));
        drop(owner);
        assert_eq!(ownership.changed().await, Err(Ended));
    }

    #[tokio::test]
    async fn what_a_service_has_not_seen_it_does_not_have_to_let_go_of() {
        let (mut owner, mut ownership) = Ownership::new();
        assert_eq!(owner.assign([1, 2].into()), [].into());
        assert_eq!(owner.assign([2, 3].into()), [].into(), "1 was never seen");
        assert_eq!(*ownership.assigned(), [2, 3].into());
        assert_eq!(owner.assign([3].into()), [2, 3].into());
        ownership.tell(Returned::LetGo(2));
        assert_eq!(owner.open(), [3].into());
        owner.assign([2, 3].into());
        assert_eq!(*ownership.assigned(), [2, 3].into());
        assert_eq!(
            (owner.returned().await, owner.open()),
            (Some(Returned::LetGo(2)), [2, 3].into()),
            "an earlier time"
        );
        ownership.tell(Returned::Fenced(3));
        assert_eq!(owner.returned_already(), Some(Returned::Fenced(3)));
        assert_eq!((owner.returned_already(), owner.open()), (None, [2, 3].into()));
        drop(ownership);
        assert_eq!((owner.returned().await, owner.open()), (None, [].into()));
    }

    #[tokio::test]
    async fn what_was_seen_and_never_begun_is_let_go_of_without_being_named() {
        let (mut owner, mut ownership) = Ownership::new();
        owner.assign([1, 2, 3].into());
        let _ = ownership.assigned();
        ownership.works_on(|partition| partition == 1);
        assert_eq!(owner.returned_already(), None, "all is assigned");
        assert_eq!(owner.assign([3].into()), [1, 2, 3].into());
        ownership.works_on(|partition| partition == 1);
        assert_eq!(owner.returned_already(), None, "it may be about to begin");
        let _ = ownership.assigned();
        for _ in 0..2 {
            ownership.works_on(|partition| partition == 1);
        }
        assert_eq!((owner.returned_already(), owner.returned_already()), (Some(Returned::LetGo(2)), None));
        assert_eq!(owner.open(), [1, 3].into());
    }

    #[tokio::test]
    async fn what_never_changes_is_there_at_once_and_nobody_has_to_listen() {
        let mut all = Ownership::all(3);
        assert_eq!(*all.assigned(), [0, 1, 2].into());
        all.tell(Returned::LetGo(0));
        let changed = tokio::time::timeout(std::time::Duration::from_millis(20), all.changed());
        assert!(changed.await.is_err(), "it never changes");
    }
}

//! The thread that removes settled segments and writes settled positions down, so that neither publishes nor
//! settling ever wait for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Shared;
use super::notes::{self, Notes};
use super::segment::sync_dir;

/// Wait before a removal that failed is tried again.
const RETRY_REMOVAL: Duration = Duration::from_secs(10);

/// What there is to do.
#[derive(Clone, Copy, Debug, Default)]
struct Todo {
    /// A segment may be removable.
    look: bool,
    /// Something was settled.
    note: bool,
    end: bool,
}

/// Tells the housekeeper that there is work.
#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    todo: Mutex<Todo>,
    wake: Condvar,
}

impl Housekeeping {
    /// A segment may be removable now.
    pub(super) fn look(&self) {
        self.todo.lock().look = true;
        self.wake.notify_one();
    }

    /// Something was settled; to be written down when it is time.
    pub(super) fn note(&self) {
        let mut todo = self.todo.lock();
        if !std::mem::replace(&mut todo.note, true) {
            drop(todo);
            self.wake.notify_one();
        }
    }

    /// Ends the thread after its last notes.
    pub(super) fn end(&self) {
        self.todo.lock().end = true;
        self.wake.notify_one();
    }

    /// Waits for work, at the longest until `retry`. Notes wait until `due`; the rest is returned at once.
    fn wait(&self, due: Instant, retry: Option<Instant>) -> Todo {
        let mut todo = self.todo.lock();
        loop {
            let now = Instant::now();
            if todo.look || todo.end || (todo.note && now >= due) || retry.is_some_and(|retry| now >= retry) {
                let taken = *todo;
                *todo = Todo { end: taken.end, ..Todo::default() };
                return taken;
            }
            match todo.note.then_some(due).into_iter().chain(retry).min() {
                Some(until) => drop(self.wake.wait_until(&mut todo, until)),
                None => self.wake.wait(&mut todo),
            }
        }
    }
}

/// The thread's own state.
pub(super) struct Housekeeper {
    pub(super) shared: Arc<Shared>,
    pub(super) dir: PathBuf,
    pub(super) interval: Duration,
}

impl Housekeeper {
    /// Works until [`Housekeeping::end`].
    pub(super) fn run(self) {
        let mut written = Notes::default();
        let mut due = Instant::now();
        let mut retry = None;
        loop {
            let todo = self.shared.housekeeping.wait(due, retry);
            let mut removed = false;
            if todo.end || retry.is_none_or(|retry| Instant::now() >= retry) {
                let all_gone = self.remove_settled(&mut removed);
                retry = (!all_gone).then(|| Instant::now() + RETRY_REMOVAL);
            }
            let now = Instant::now();
            if todo.end || removed || now >= due {
                self.write_notes(&mut written);
                due = now + self.interval;
            } else if todo.note {
                self.shared.housekeeping.todo.lock().note = true;
            }
            if todo.end {
                return;
            }
        }
    }

    /// Removes what is settled, oldest first. `false`: one could not be removed; it and all after it stay, because a log that misses a
    /// segment in between is refused at the next opening.
    pub(super) fn remove_settled(&self, removed: &mut bool) -> bool {
        while let Some((path, length)) = self.oldest_settled() {
            if let Err(error) = self.remove(&path) {
                tracing::error!(
                    queue.file = %path.display(), error = %error,
                    "could not remove a settled queue segment; it stays counted as used and is tried again"
                );
                return false;
            }
            self.shared.log.lock().pop_oldest();
            self.shared.inbox.release(length);
            *removed = true;
        }
        true
    }

    fn oldest_settled(&self) -> Option<(PathBuf, u64)> {
        self.shared.log.lock().oldest_settled()
    }

    /// Removes a file. Each removal is made durable before the next, so that a crash leaves no hole in the log.
    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            // An attempt before this one got so far, but not to the end.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        sync_dir(&self.dir)
    }

    fn write_notes(&self, written: &mut Notes) {
        let notes = self.shared.log.lock().notes();
        if notes == *written {
            return;
        }
        match notes::write(&self.dir, &notes) {
            Ok(()) => *written = notes,
            Err(error) => warn_about_notes(&self.dir, &error),
        }
    }
}

fn warn_about_notes(dir: &Path, error: &std::io::Error) {
    let file = notes::notes_path(dir);
    tracing::warn!(
        queue.file = %file.display(), error = %error,
        "could not write settled positions down; after a restart settled messages are offered again"
    );
}

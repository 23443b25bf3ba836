//! The thread that removes settled segments and writes settled positions down, so that neither publishes nor
//! settling ever wait for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Shared;
use super::notes::{self, Notes};
use super::segment::{Segment, sync_dir};

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

    /// Waits for work. Notes wait until `due`; the rest is returned at once.
    fn wait(&self, due: Instant) -> Todo {
        let mut todo = self.todo.lock();
        loop {
            let now = Instant::now();
            if todo.look || todo.end || (todo.note && now >= due) {
                let taken = *todo;
                *todo = Todo { end: taken.end, ..Todo::default() };
                return taken;
            }
            if todo.note {
                self.wake.wait_until(&mut todo, due);
            } else {
                self.wake.wait(&mut todo);
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
        loop {
            let todo = self.shared.housekeeping.wait(due);
            let mut removed = false;
            while let Some(segment) = self.next_settled() {
                removed |= self.remove(&segment);
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

    fn next_settled(&self) -> Option<Segment> {
        self.shared.log.lock().pop_settled()
    }

    /// Removes a file. Each removal is made durable before the next, so that a crash leaves no hole in the log.
    fn remove(&self, segment: &Segment) -> bool {
        let length = segment.length;
        match std::fs::remove_file(&segment.path).and_then(|()| sync_dir(&self.dir)) {
            Ok(()) => {
                self.shared.inbox.release(length);
                true
            }
            Err(error) => {
                // It stays counted as used, and the next opening offers it for removal again.
                let file = segment.path.display();
                tracing::error!(queue.file = %file, error = %error, "could not remove a settled queue segment");
                false
            }
        }
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

//! Signs of life: puts a member's row again and again, whatever else goes on.

use std::sync::Arc;
use std::time::Duration;

use ronda_schemas::lease::{Group, MemberRow};
use ronda_store::lease::LeaseStore;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::config::Timing;
use crate::telemetry::Trouble;
use crate::within;

/// What the beat is to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Orders {
    /// Say that it leaves.
    pub(crate) leaving: bool,
    /// Stop.
    pub(crate) ends: bool,
}

pub(crate) struct Beat {
    store: Arc<dyn LeaseStore>,
    group: Group,
    timing: Timing,
    row: MemberRow,
    trouble: Trouble,
}

impl Beat {
    /// One for a row that has not been put yet.
    pub(crate) fn new(store: Arc<dyn LeaseStore>, group: Group, timing: Timing, row: MemberRow) -> Self {
        Self { store, group, timing, row, trouble: Trouble::new(group, "a sign of life could not be given") }
    }

    /// Gives a sign of life; whether the store took it. One that was given up may yet come in.
    pub(crate) async fn once(&mut self) -> bool {
        self.row.renewals += 1;
        let put = within(self.timing.call_ms(), self.store.put_member(self.group, &self.row)).await;
        self.trouble.note(put).is_some()
    }

    /// Gives signs of life until it is to stop: at the next beat, or as soon as there are orders. Answers the row as it was put last.
    pub(crate) async fn run(mut self, mut orders: watch::Receiver<Orders>) -> MemberRow {
        let mut next = Instant::now() + Duration::from_millis(self.timing.beat_ms);
        loop {
            tokio::select! {
                biased;
                changed = orders.changed() => if changed.is_err() { return self.row },
                () = sleep_until(next) => {}
            }
            let Orders { leaving, ends } = *orders.borrow_and_update();
            if ends {
                return self.row;
            }
            self.row.leaving = leaving;
            let began = Instant::now();
            let is_taken = self.once().await;
            // What was lost is made up for before others take it for a silence.
            let pause_ms = if is_taken { self.timing.beat_ms } else { self.timing.beat_ms.div_ceil(4) };
            next = began + Duration::from_millis(pause_ms);
        }
    }
}

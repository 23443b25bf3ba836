//! Follows the table of a group on behalf of one member, and its service's words.

use std::collections::BTreeSet;
use std::sync::Arc;

use ronda_runtime::{CancellationToken, Clock, Component};
use ronda_schemas::lease::Group;
use ronda_store::error::StoreError;
use ronda_store::lease::LeaseStore;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::beat::Orders;
use crate::config::Timing;
use crate::leases::millis;
use crate::member::{Member, Swap};
use crate::ownership::{Owner, Returned};
use crate::telemetry::{Telemetry, Trouble};
use crate::vigil::Reading;
use crate::within;

/// How long the first partition that was let go of waits for others, so that they are given on together, in milliseconds.
const GATHER_MS: u64 = 20;

/// What comes after having done all that there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Somebody else was faster: look at once.
    Look,
    /// Look before long.
    Soon,
    /// Look as usual.
    Later,
    /// It has left.
    End,
}

pub(crate) struct Follow {
    store: Arc<dyn LeaseStore>,
    group: Group,
    timing: Timing,
    member: Member,
    clock: Arc<dyn Clock>,
    owner: Owner,
    orders: watch::Sender<Orders>,
    telemetry: Telemetry,
    trouble: Trouble,
    health: Option<Component>,
    /// When to look next, and when to do what there is to do without a look, in milliseconds.
    look_at_ms: u64,
    act_at_ms: Option<u64>,
    looked_ms: u64,
    swapped_ms: u64,
    renewed_ms: Option<u64>,
    /// When leaving ends, come what may.
    end_at_ms: Option<u64>,
    /// The service is gone.
    is_gone: bool,
    has_told_of_partitions: bool,
}

impl Follow {
    pub(crate) fn new(
        store: Arc<dyn LeaseStore>,
        group: Group,
        timing: Timing,
        member: Member,
        clock: Arc<dyn Clock>,
        owner: Owner,
        orders: watch::Sender<Orders>,
    ) -> Self {
        let now_ms = clock.mono_millis();
        Self {
            store,
            group,
            timing,
            member,
            clock,
            owner,
            orders,
            telemetry: Telemetry(group),
            trouble: Trouble::new(group, "the leases could not be read or changed"),
            health: None,
            look_at_ms: now_ms,
            act_at_ms: None,
            looked_ms: now_ms,
            swapped_ms: now_ms,
            renewed_ms: None,
            end_at_ms: None,
            is_gone: false,
            has_told_of_partitions: false,
        }
    }

    /// The same, telling how it is.
    pub(crate) fn telling(self, health: Option<Component>) -> Self {
        Self { health, ..self }
    }

    fn now_ms(&self) -> u64 {
        self.clock.mono_millis()
    }

    /// Goes on until it has left.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        loop {
            let now_ms = self.now_ms();
            if self.end_at_ms.is_some_and(|end| end <= now_ms) {
                self.abandon().await;
                break;
            }
            let is_seen = self.look_at_ms <= now_ms && self.look(&cancel).await;
            if self.look_at_ms <= now_ms {
                self.look_at_ms = self.now_ms() + self.timing.poll_ms;
            }
            if is_seen || self.act_at_ms.is_some_and(|act_at| act_at <= now_ms) {
                match self.act().await {
                    Then::End => break,
                    then => self.pace(then),
                }
            }
            self.wait(&cancel).await;
        }
        self.orders.send_modify(|orders| orders.ends = true);
    }

    /// When to look again, after having done all there is to do.
    fn pace(&mut self, then: Then) {
        let pause_ms = match then {
            Then::Look | Then::End => 0,
            Then::Soon => self.timing.hurry_ms,
            Then::Later => self.timing.poll_ms,
        };
        self.look_at_ms = self.look_at_ms.min(self.now_ms() + pause_ms);
    }

    /// Reads the table; `false`: it could not.
    async fn look(&mut self, cancel: &CancellationToken) -> bool {
        let began_ms = self.now_ms();
        let read = within(self.timing.call_ms(), self.store.leases(self.group));
        let read = tokio::select! {
            biased;
            // What is to be said to the service does not wait for a store that does not answer.
            () = cancel.cancelled(), if self.end_at_ms.is_none() => return false,
            read = read => read,
        };
        let ended_ms = self.now_ms();
        self.looked_ms = ended_ms;
        if let Err(error) = &read {
            self.tell_unread(error);
        }
        let Some(table) = self.trouble.note(read) else { return false };
        let news = self.member.observe(table, Reading { began_ms, ended_ms });
        self.telemetry.news(&news, self.member.live());
        self.tell_of_partitions();
        true
    }

    fn tell_of_partitions(&mut self) {
        let other = self.member.other_partitions();
        if let Some(partitions) = other.filter(|_| !self.has_told_of_partitions) {
            tracing::warn!(
                group = %self.group, partitions,
                "the replicas share out another number of partitions than this one was started for: it gets none before all others have ended"
            );
        }
        self.has_told_of_partitions = other.is_some();
        if let Some(health) = &self.health {
            let reason = other.map_or_else(String::new, |partitions| {
                format!("the replicas share out {partitions} partitions, and this one was started for another number: it gets none")
            });
            health.set_ready(true, reason);
        }
    }

    /// What may pass by itself is no reason to go without this replica: it keeps what it has. Of what does not, all would die out one by one, each
    /// taken for ready.
    fn tell_unread(&self, error: &StoreError) {
        if let Some(health) = &self.health {
            health.set_ready(error.retryable, format!("the leases can't be read, and it keeps what it has: {error}"));
        }
    }

    /// Tells the service what to work on, and does in the store what is to be done.
    async fn act(&mut self) -> Then {
        let mut gives = self.is_to_give(self.now_ms());
        if gives {
            self.act_at_ms = None;
        }
        loop {
            let now_ms = self.now_ms();
            let open = self.tell_service(now_ms);
            let next = self.member.next(now_ms, &open, gives);
            if next.renew {
                self.renew(now_ms);
            }
            for row in &next.remove {
                let removed = within(self.timing.call_ms(), self.store.remove_member(self.group, row)).await;
                if self.trouble.note(removed).is_none() {
                    break;
                }
            }
            let Some(swap) = next.swap else {
                return if next.done {
                    Then::End
                } else if next.hurry {
                    Then::Soon
                } else {
                    Then::Later
                };
            };
            match self.swap(swap).await {
                // What is let go of meanwhile comes with the next ones.
                Some(true) => gives = self.is_gone,
                Some(false) => {
                    self.act_at_ms = gives.then(|| self.now_ms());
                    return Then::Look;
                }
                // It may or may not be there: the next look tells.
                None => return Then::Later,
            }
        }
    }

    /// Whether what the service has let go of is given on now: not for each of a thousand.
    fn is_to_give(&self, now_ms: u64) -> bool {
        let is_due = self.act_at_ms.is_some_and(|act_at| act_at <= now_ms);
        is_due || self.is_gone || now_ms.saturating_sub(self.swapped_ms) >= self.timing.hurry_ms
    }

    /// Answers what the service may still be working on.
    fn tell_service(&mut self, now_ms: u64) -> BTreeSet<u32> {
        let (assigned, lost) = self.member.assign(now_ms, &self.owner.open());
        self.telemetry.lost(lost);
        self.telemetry.set(self.member.live(), assigned.len());
        let open = self.owner.assign(assigned);
        if self.is_gone { BTreeSet::new() } else { open }
    }

    /// Has one's own row put again, if that was not done a moment ago.
    fn renew(&mut self, now_ms: u64) {
        let pause_ms = self.timing.beat_ms.min(4 * self.timing.hurry_ms);
        if self.renewed_ms.is_none_or(|renewed| now_ms.saturating_sub(renewed) >= pause_ms) {
            self.renewed_ms = Some(now_ms);
            self.orders.send_modify(|_| ());
        }
    }

    /// Whether the swap took place; `None`: nobody knows.
    async fn swap(&mut self, swap: Swap) -> Option<bool> {
        let swapped = within(self.timing.call_ms(), self.store.swap_assignment(self.group, &swap.row)).await;
        let is_swapped = self.trouble.note(swapped)?;
        if is_swapped {
            self.swapped_ms = self.now_ms();
            self.telemetry.swapped(&swap, self.member.live());
            self.member.swapped(swap.row, self.swapped_ms);
        }
        Some(is_swapped)
    }

    /// Waits until there is something to do.
    async fn wait(&mut self, cancel: &CancellationToken) {
        let now_ms = self.now_ms();
        let until_ms = [Some(self.look_at_ms), self.act_at_ms, self.end_at_ms].into_iter().flatten().min();
        let pause_ms = until_ms.map_or(0, |until| until.saturating_sub(now_ms));
        tokio::select! {
            biased;
            () = cancel.cancelled(), if self.end_at_ms.is_none() => self.leave(),
            returned = self.owner.returned(), if !self.is_gone => self.hear(returned),
            () = sleep(millis(pause_ms)) => {}
        }
    }

    /// Takes note of what the service says, and of all else that it has said already.
    fn hear(&mut self, returned: Option<Returned>) {
        let now_ms = self.now_ms();
        let mut next = returned;
        while let Some(returned) = next {
            match returned {
                // At once, but not for each of a thousand.
                Returned::Fenced(_) => self.look_at_ms = self.look_at_ms.min(self.looked_ms + self.timing.hurry_ms),
                Returned::LetGo(_) => {
                    let at = (now_ms + GATHER_MS).max(self.swapped_ms + self.timing.hurry_ms);
                    self.act_at_ms = Some(self.act_at_ms.map_or(at, |known| known.min(at)));
                }
            }
            next = self.owner.returned_already();
        }
        if returned.is_none() {
            tracing::debug!(group = %self.group, "the service has ended");
            self.is_gone = true;
            self.member.give_up();
            self.leave();
        } else if self.act_at_ms.is_some() && self.owner.open().is_subset(&self.owner.assigned()) {
            // Nothing more is to come.
            self.act_at_ms = Some(now_ms);
        }
    }

    fn leave(&mut self) {
        let now_ms = self.now_ms();
        self.act_at_ms = Some(now_ms);
        if self.end_at_ms.is_some() {
            return;
        }
        self.end_at_ms = Some(now_ms + self.timing.leave_ms);
        self.member.leave(now_ms);
        self.orders.send_modify(|orders| orders.leaving = true);
        tracing::info!(group = %self.group, partitions = self.member.assigned().len(), "leaving: others take over");
    }

    /// Gives away what the service has not let go of in time: it is about to be ended, and the fences keep what others write.
    async fn abandon(&mut self) {
        let open = self.owner.open();
        if !open.is_empty() {
            tracing::warn!(group = %self.group, partitions = open.len(), "given away before the service had let go of them");
        }
        self.is_gone = true;
        self.member.give_up();
        let (cancel, within) = (CancellationToken::new(), millis(self.timing.call_ms()));
        let last = async {
            while self.act().await == Then::Look {
                if !self.look(&cancel).await {
                    break;
                }
            }
        };
        let _ = timeout(within, last).await;
    }
}

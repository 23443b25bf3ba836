//! A member at work: reads, tells its service, swaps.

use std::sync::Arc;
use std::time::Duration;

use ronda_runtime::{CancellationToken, Clock, Component};
use ronda_schemas::lease::{Group, MOST_PARTITIONS, MemberId, MemberRow};
use ronda_store::lease::LeaseStore;
use thiserror::Error;
use tokio::sync::watch;

use crate::beat::{Beat, Orders};
use crate::config::{LeaseConfig, LeaseConfigError, Timing, within_limits};
use crate::follow::Follow;
use crate::member::Member;
use crate::ownership::Owner;
use crate::telemetry::Telemetry;
use crate::within;

/// Why a member can't be made.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// A setting can't be used.
    #[error(transparent)]
    Config(#[from] LeaseConfigError),
    /// There is no number to be known by.
    #[error("the system gives no random numbers: {0}")]
    NoRandom(String),
}

/// One replica as a member of its group.
pub struct Leases {
    timing: Timing,
    group: Group,
    partitions: u32,
    me: MemberId,
    name: Box<str>,
    store: Arc<dyn LeaseStore>,
    health: Option<Component>,
}

impl Leases {
    /// A member that has not joined yet. `name`: what people know the replica by, such as its host and process id.
    ///
    /// # Errors
    /// [`LeaseError`] when a setting is out of its bounds.
    pub fn new(
        config: &LeaseConfig,
        group: Group,
        partitions: u32,
        name: impl Into<Box<str>>,
        store: Arc<dyn LeaseStore>,
    ) -> Result<Self, LeaseError> {
        let timing = Timing::of(config)?;
        let most = MOST_PARTITIONS.into();
        within_limits("partitions", partitions.into(), 1, most, "that is how many a queue can have")?;
        let me = getrandom::u64().map_err(|error| LeaseError::NoRandom(error.to_string()))?;
        Ok(Self { timing, group, partitions, me: MemberId(me), name: name.into(), store, health: None })
    }

    /// The same under a given id, for what must come out the same each time. Two members must never have the same.
    #[must_use]
    pub fn with_id(self, me: MemberId) -> Self {
        Self { me, ..self }
    }

    /// The same, saying how it is: not ready while the leases can't be read for a reason that does not pass by itself.
    #[must_use]
    pub fn telling(self, health: Component) -> Self {
        Self { health: Some(health), ..self }
    }

    /// What it is known by.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.me
    }

    /// Joins, and says through `owner` what the service shall work on, until it is cancelled or the service is gone; then leaves: others take over what
    /// the service lets go of. Leaving ends at the latest after the time that is set for it, and two unanswered calls of the store.
    ///
    /// Whatever the store does, this goes on; meanwhile the service keeps what it has.
    pub async fn run(self, owner: Owner, clock: Arc<dyn Clock>, cancel: CancellationToken) {
        Telemetry::describe();
        let Self { timing, group, partitions, me, name, store, health } = self;
        tracing::info!(%group, id = %me, %name, partitions, "joining the replicas that share out the partitions");
        let row = MemberRow { id: me, name, renewals: 0, leaving: false, partitions };
        let mut beat = Beat::new(Arc::clone(&store), group, timing, row);
        // Before the first look, so that it finds itself there.
        beat.once().await;
        let (orders, heard) = watch::channel(Orders::default());
        let member = Member::new(me, partitions, timing, clock.mono_millis());
        let follow = Follow::new(Arc::clone(&store), group, timing, member, clock, owner, orders).telling(health);
        let (row, ()) = tokio::join!(beat.run(heard), follow.run(cancel));
        if let Err(error) = within(timing.call_ms(), store.remove_member(group, &row)).await {
            tracing::warn!(%group, %error, "this replica's row could not be removed: others will, after a while");
        }
        Telemetry(group).set(0, 0);
        tracing::info!(%group, id = %me, "left the replicas that share out the partitions");
    }
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leases").field("group", &self.group).field("me", &self.me).finish_non_exhaustive()
    }
}

/// So many milliseconds.
pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

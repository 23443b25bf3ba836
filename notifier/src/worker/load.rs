//! Taking up a shard: it is acquired, and what is kept of it is read.

use std::sync::Arc;
use std::time::Duration;

use ronda_runtime::{CancellationToken, Component};
use ronda_schemas::codec::{DecodeError, Versioned};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{Store, SurfaceWrite};

use super::{NotifierError, is_newer};
use crate::shard::{INSTALLATION_ROW, Installation, NAMING_SHARD, Shard};

/// Rows read at once.
const PAGE: usize = 500;
/// Pause after a failed store call that may succeed later, and between two looks for the installation's name.
pub(super) const PAUSE: Duration = Duration::from_millis(500);
/// The same where only a person can help.
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// For so long the name of a new installation may be missing without anything being wrong: the first shard is taken up meanwhile.
const NAMED_WITHIN: Duration = Duration::from_secs(10);
/// How long the store may fail one call of a take-up. Then others have their turn: of a cluster, one shard's rows may be away and another's not.
pub(super) const TAKE_UP_PATIENCE: Duration = Duration::from_secs(5);

/// Why a shard is not worked on for now.
#[derive(Debug)]
pub(super) enum Setback {
    /// Somebody else has acquired it since.
    Fenced,
    /// The store is away for it.
    Away(StoreError),
    /// Its queue or its rows failed in a way that trying again at once does not help against.
    Failed(NotifierError),
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Self {
        match error.kind {
            StoreErrorKind::Fenced => Self::Fenced,
            _ if error.retryable => Self::Away(error),
            _ => Self::Failed(NotifierError::Store(error)),
        }
    }
}

/// How the store is waited for: until it answers, fails for good or for too long, or nobody wants the answer any more.
#[derive(Clone)]
pub(super) struct Patience {
    pub(super) stop: CancellationToken,
    /// How long it may fail a call that may succeed later; `None`: for ever.
    pub(super) within: Option<Duration>,
    /// Told that we make progress also while the store makes us wait: a restart would not cure that.
    pub(super) health: Component,
}

impl Patience {
    /// `None`: not wanted any more.
    pub(super) async fn wait_for<T, F, Fut>(&self, mut attempt: F) -> Result<Option<T>, StoreError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        let began = tokio::time::Instant::now();
        let mut is_told = false;
        let may_wait = || self.within.is_none_or(|within| began.elapsed() < within);
        while !self.stop.is_cancelled() {
            match attempt().await {
                Ok(value) => return Ok(Some(value)),
                Err(error) if error.retryable && may_wait() => {
                    // Once: some stores want to be asked again five times a second.
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(error = %error, "the store can't be asked; trying again");
                    }
                    self.health.beat();
                    self.rest(error.retry_after.unwrap_or(PAUSE)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Becomes the owner of a shard and reads what is kept of it; `None`: not wanted any more. Whoever owns the first one names the installation.
pub(super) async fn shard(store: Arc<dyn Store>, id: u32, patience: Patience) -> Result<Option<Shard>, Setback> {
    let Some(epoch) = patience.wait_for(|| store.acquire_shard(id)).await? else { return Ok(None) };
    let mut shard = Shard::new(id, epoch);
    let mut after: Option<String> = None;
    loop {
        let read = || store.surfaces(id, "", after.as_deref(), PAGE);
        let Some(page) = patience.wait_for(read).await? else { return Ok(None) };
        let is_last = page.len() < PAGE;
        for (key, row) in &page {
            match shard.load_row(key, row) {
                Ok(()) => {}
                Err(error) if is_newer(&error) => return Err(Setback::Failed(error.into())),
                Err(error) => {
                    metrics::counter!("ronda_notifier_unreadable_rows_total").increment(1);
                    tracing::error!(shard = id, row = %key, error = %error, "a row can't be read and is passed over");
                    shard.unread_rows += 1;
                }
            }
        }
        after = page.into_iter().next_back().map(|(key, _)| key);
        if is_last {
            break;
        }
    }
    if id == NAMING_SHARD && shard.installation.is_none() {
        let made = new_installation().map_err(Setback::Failed)?;
        let row = made.encode().map_err(|error| Setback::Failed(error.into()))?;
        let save = || {
            let write = SurfaceWrite { key: INSTALLATION_ROW.to_owned(), row: Some(row.clone()) };
            store.commit_surfaces(id, epoch, vec![write])
        };
        if patience.wait_for(save).await?.is_none() {
            return Ok(None);
        }
        shard.installation = Some(made.0);
    }
    Ok(Some(shard))
}

/// Waits for the name that the owner of the first shard makes; `None`: not wanted any more.
pub(super) async fn installation(store: Arc<dyn Store>, patience: Patience) -> Result<Option<String>, NotifierError> {
    let began = tokio::time::Instant::now();
    let mut is_told = false;
    loop {
        let read = || store.surfaces(NAMING_SHARD, INSTALLATION_ROW, None, 1);
        let rows = match patience.wait_for(read).await {
            Ok(Some(rows)) => rows,
            Ok(None) => return Ok(None),
            Err(error) if is_newer(&error) => return Err(NotifierError::Store(error)),
            Err(error) => {
                // Other partitions' rows may be good, and so may this one be again.
                tracing::error!(error = %error, "this installation's name can't be read: nothing is posted until it can");
                patience.rest(LONG_PAUSE).await;
                continue;
            }
        };
        match rows.first().map(|(_, row)| Installation::decode(row)) {
            Some(Ok(installation)) => return Ok(Some(installation.0)),
            Some(Err(error @ DecodeError::NewerVersion { .. })) => return Err(error.into()),
            other if !is_told && (other.is_some() || began.elapsed() >= NAMED_WITHIN) => {
                is_told = true;
                let error = other.and_then(Result::err).map(|error| error.to_string());
                tracing::warn!(
                    error,
                    "this installation has no name yet: nothing is posted until the owner of partition {NAMING_SHARD} of the event queue has made one"
                );
            }
            _ => {}
        }
        patience.rest(PAUSE).await;
    }
}

fn new_installation() -> Result<Installation, NotifierError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| NotifierError::Random { message: error.to_string() })?;
    Ok(Installation(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use ronda_runtime::Health;
    use ronda_store::conformance::faulty::{Fault, Faulty};
    use ronda_store::embedded::{EmbeddedOptions, EmbeddedStore};

    use super::*;

    #[tokio::test]
    async fn a_shard_whose_rows_are_away_makes_way_for_others_and_is_had_later() {
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { min_free_bytes: 0, ..EmbeddedOptions::default() };
        let store = Arc::new(Faulty::new(Arc::new(EmbeddedStore::open(dir.path(), options).unwrap())));
        let health = Health::new();
        let patience = |within| Patience {
            stop: CancellationToken::new(),
            within: Some(within),
            health: health.component("notifier"),
        };
        store.then("acquire_shard", Fault::Throttled(Duration::from_millis(1)));
        store.then("acquire_shard", Fault::CallLost);
        let loaded = shard(Arc::clone(&store) as _, 3, patience(Duration::ZERO)).await;
        assert!(matches!(loaded, Err(Setback::Away(_))), "{loaded:?}");
        let loaded = shard(store, 3, patience(TAKE_UP_PATIENCE)).await;
        assert!(matches!(loaded, Ok(Some(_))), "{loaded:?}");
    }
}

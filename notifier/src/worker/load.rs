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

/// Why a shard is not worked on for now.
#[derive(Debug)]
pub(super) enum Setback {
    /// Somebody else has acquired it since.
    Fenced,
    /// Its queue or its rows failed in a way that trying again at once does not help against.
    Failed(NotifierError),
}

impl From<StoreError> for Setback {
    fn from(error: StoreError) -> Self {
        if error.kind == StoreErrorKind::Fenced { Self::Fenced } else { Self::Failed(NotifierError::Store(error)) }
    }
}

/// How the store is waited for: until it answers, fails for good, or nobody wants the answer any more.
#[derive(Clone)]
pub(super) struct Patience {
    pub(super) stop: CancellationToken,
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
        while !self.stop.is_cancelled() {
            match attempt().await {
                Ok(value) => return Ok(Some(value)),
                Err(error) if error.retryable => {
                    tracing::warn!(error = %error, "the store can't be asked; trying again");
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
    let mut is_told = false;
    loop {
        let read = || store.surfaces(NAMING_SHARD, INSTALLATION_ROW, None, 1);
        let Some(rows) = patience.wait_for(read).await.map_err(NotifierError::Store)? else { return Ok(None) };
        match rows.first().map(|(_, row)| Installation::decode(row)) {
            Some(Ok(installation)) => return Ok(Some(installation.0)),
            Some(Err(error @ DecodeError::NewerVersion { .. })) => return Err(error.into()),
            other if !is_told => {
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

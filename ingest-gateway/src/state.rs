//! What every handler can reach.

use std::ops::Deref;
use std::sync::Arc;

use ronda_runtime::Clock;
use ronda_store::port::Store;
use tokio_util::task::TaskTracker;

use crate::auth::Keys;
use crate::config::Config;
use crate::front::RequestIds;
use crate::http_metrics::HttpMetrics;
use crate::known::KnownSchedulers;
use crate::outage::OutageLog;
use crate::progress::Progress;
use crate::publisher::Publisher;
use crate::slack::Desk;
use crate::writes::{BodyBudget, MadeMessages};

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// What is behind an [`AppState`].
pub struct Shared {
    /// Settings.
    pub config: Config,
    /// Where reads come from.
    pub store: Arc<dyn Store>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    pub(crate) publisher: Publisher,
    pub(crate) keys: Keys,
    pub(crate) known: KnownSchedulers,
    pub(crate) progress: Progress,
    pub(crate) request_ids: RequestIds,
    pub(crate) http_metrics: HttpMetrics,
    pub(crate) outage_log: OutageLog,
    pub(crate) made_messages: MadeMessages,
    /// Work that goes on when its client hangs up, and that leaving waits for.
    pub(crate) tasks: TaskTracker,
    pub(crate) bodies: BodyBudget,
    /// Where people in Slack are answered, when they are.
    pub(crate) slack: Option<Arc<Desk>>,
}

impl AppState {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

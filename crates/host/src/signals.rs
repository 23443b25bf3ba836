//! Signals: the first asks for an end in order, the second ends at once.

use ronda_runtime::CancellationToken;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Failure, chain};

/// Exit code after a second signal.
const IMPATIENT: i32 = 130;

/// A token that the first SIGTERM or SIGINT cancels. A second one exits the process.
///
/// # Errors
/// When the system lets no handler be set.
pub fn watch() -> Result<CancellationToken, Failure> {
    let failed = |error: std::io::Error| Failure::other(chain(&error));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        tracing::info!("asked to stop: what is under way is finished first; a second signal ends at once");
        asked.cancel();
        next().await;
        tracing::warn!("ended at once by a second signal; what was answered 2xx is safe");
        std::process::exit(IMPATIENT);
    });
    Ok(stop)
}

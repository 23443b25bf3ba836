//! Losing something on purpose, to see that the checker finds it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ronda_queue::{BrokerOptions, ReceiveLimit};

use crate::broker;

/// How much of the embedded log goes: more than the last frames, less than was written since the last commit.
const CUT_BYTES: u64 = 4 * 1024;
/// How long a thief waits for something to take.
const STEAL_WITHIN: Duration = Duration::from_secs(60);

/// What was there before, to be put back when Ronda refuses to start with what is left.
pub(super) struct Before {
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Before {
    /// Puts it back.
    pub(super) fn restore(self) -> Result<()> {
        std::fs::write(&self.file, self.bytes).with_context(|| format!("restoring {}", self.file.display()))
    }
}

/// Cuts the end off the embedded queue's log, as a disk would that lied about being done. Ronda must not run.
pub(super) fn cut_log(data: &Path) -> Result<Before> {
    let folder = data.join("queue/commands");
    let mut segments: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            segments.push(path);
        }
    }
    segments.sort();
    let file = segments.pop().with_context(|| format!("no log in {}", folder.display()))?;
    let bytes = std::fs::read(&file)?;
    // It tells how long the log was: without it, what is missing looks like the torn write of a crash.
    match std::fs::remove_file(folder.join("settled")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let length = u64::try_from(bytes.len())?.saturating_sub(CUT_BYTES);
    std::fs::OpenOptions::new().write(true).open(&file)?.set_len(length)?;
    Ok(Before { file, bytes })
}

/// Takes the oldest messages out of the broker, as if another consumer had had them. Ronda must not run.
pub(super) async fn steal(options: BrokerOptions) -> Result<usize> {
    let (broker, queue) = broker::commands(options).await?;
    let theft = async {
        let mut tasks = tokio::task::JoinSet::new();
        for partition in 0..queue.partitions() {
            let queue = std::sync::Arc::clone(&queue);
            tasks.spawn(async move {
                let mut receiver = queue.open(partition, None).await?;
                let taken = receiver.receive(ReceiveLimit { messages: 64, ..ReceiveLimit::default() }).await?;
                if let Some(last) = taken.last() {
                    receiver.settle(last.token).await?;
                }
                anyhow::Ok(taken.len())
            });
        }
        // The first that finds something is enough.
        match tasks.join_next().await {
            Some(taken) => taken?,
            None => bail!("the queue has no partitions"),
        }
    };
    let taken = tokio::time::timeout(STEAL_WITHIN, theft).await.context("there was nothing to steal")?;
    broker.close().await;
    taken
}

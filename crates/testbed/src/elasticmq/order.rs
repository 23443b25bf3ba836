//! What ElasticMQ forgets over a restart: the order of a FIFO queue's messages.
//!
//! It reads them back as those of a standard queue (`isFifo = false` in its `DBMessage`, with times cut to milliseconds and no index), so that
//! they come out by when they may be delivered next: several of one millisecond in any order, and behind all others those that somebody had
//! in hand. Amazon SQS keeps the order. So before it starts again the times in its database are made to say it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::bail;

/// Puts the messages of all queues in the order in which they were sent, each to be delivered at once.
///
/// # Errors
/// When the database can't be read or written.
pub(super) fn restore(jars: &OsStr, directory: &Path) -> anyhow::Result<()> {
    let database = Database { jars, directory };
    let tables = database
        .run("SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'MESSAGE\\_%'")?
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| line.starts_with("MESSAGE_"))
        .collect::<Vec<_>>();
    if tables.is_empty() {
        return Ok(());
    }
    // Their places, counted so that the last is no later than the first was sent.
    let statements = tables.iter().map(|table| {
        format!(
            "MERGE INTO {table} message USING (SELECT message_id, MIN(created) OVER () - COUNT(*) OVER () \
             + ROW_NUMBER() OVER (ORDER BY created, CAST(sequence_number AS BIGINT)) AS place FROM {table}) placed \
             ON message.message_id = placed.message_id WHEN MATCHED THEN UPDATE SET next_delivery = placed.place"
        )
    });
    database.run(&statements.collect::<Vec<_>>().join("; ")).map(drop)
}

struct Database<'a> {
    jars: &'a OsStr,
    directory: &'a Path,
}

impl Database<'_> {
    fn run(&self, sql: &str) -> anyhow::Result<String> {
        let url = super::database(self.directory);
        let mut command = Command::new("java");
        command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]).arg(self.jars);
        let output = command.args(["org.h2.tools.Shell", "-url", &url, "-sql", sql]).output()?;
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() || said.contains("Error:") {
            bail!("ElasticMQ's database could not be put in order: {said}{errors}");
        }
        Ok(said.into_owned())
    }
}

//! DynamoDB Local: Amazon's own server for tests, which speaks the protocol of DynamoDB and knows no throughput.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;
use ronda_tools::from_maven;

use crate::guard::Guard;
use crate::process::{Server, free_port};

const COORDINATES: &str = "software.amazon.dynamodb:DynamoDBLocal:3.3.1";
const MAIN: &str = "software.amazon.dynamodb.services.local.main.ServerRunner";
const CREDENTIALS: &str = "credentials";
/// Another process may take a free port before the server does.
const ATTEMPTS: usize = 3;

/// A running server. It ends with its value, and at the latest with this process.
pub struct DynamoDb {
    // In this order: a guard that is left alone ends what has the server's number.
    guard: Option<Guard>,
    server: Server,
    directory: tempfile::TempDir,
}

impl DynamoDb {
    /// Starts a server with nothing in it. A `durable` one keeps its tables in a file, so that they outlive a kill; the other is faster.
    ///
    /// # Errors
    /// When it can't be fetched (Debian: maven), or run (Debian: default-jre-headless).
    pub fn start(durable: bool) -> anyhow::Result<Self> {
        let jars = from_maven(COORDINATES)?;
        let mut attempt = 1;
        loop {
            let directory = folder(durable)?;
            // Once: tests read it while others ask for it.
            std::fs::write(
                directory.path().join(CREDENTIALS),
                "[default]\naws_access_key_id = test\naws_secret_access_key = test\n",
            )?;
            let port = free_port()?;
            let (log, data) = (directory.path().join("log"), directory.path().to_owned());
            let jars = jars.clone();
            let started =
                Server::start("DynamoDB Local", port, log, move || command(&jars, port, durable.then_some(&data)));
            match started {
                Ok(server) => {
                    let mut dynamodb = Self { guard: None, server, directory };
                    dynamodb.watch()?;
                    return Ok(dynamodb);
                }
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.guard = None;
        self.server.kill();
    }

    /// Starts it again on what is on its disk.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        self.server.restart()?;
        self.watch()
    }

    /// A file with credentials that it takes, as it takes any.
    #[must_use]
    pub fn credentials_file(&self) -> PathBuf {
        self.directory.path().join(CREDENTIALS)
    }

    fn watch(&mut self) -> anyhow::Result<()> {
        let Some(pid) = self.server.pid() else { bail!("the server is gone") };
        self.guard = Some(Guard::over(pid, self.directory.path())?);
        Ok(())
    }
}

/// In memory, where there is such a file system: its tables lie in SQLite, which takes a disk's sync for each single write, one after another, and
/// carries some tens a second. A kill of the server finds them there all the same; a crash of the machine is none of the tests' business.
fn folder(durable: bool) -> std::io::Result<tempfile::TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("ronda-dynamodb-");
    if durable && memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }
}

fn command(jars: &std::path::Path, port: u16, data: Option<&PathBuf>) -> Command {
    let mut command = Command::new("java");
    // It lives for seconds: what pays off later is left out.
    command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    // Its tables lie in SQLite, whose library is among the jars.
    command.arg(format!("-Djava.library.path={}", jars.display()));
    command.arg("-cp").arg(jars.join("*")).arg(MAIN);
    match data {
        Some(data) => command.arg("-dbPath").arg(data),
        None => command.arg("-inMemory"),
    };
    command.args(["-sharedDb", "-disableTelemetry", "-port", &port.to_string()]);
    command
}

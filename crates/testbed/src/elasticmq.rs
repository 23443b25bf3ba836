//! ElasticMQ: a server that speaks the protocol of Amazon SQS.

mod order;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;
use ronda_tools::from_maven;

use crate::guard::Guard;
use crate::process::{Server, free_port};

const COORDINATES: &str = "org.elasticmq:elasticmq-server_2.13:1.6.14";
/// The database of durable servers, in place of the 2.2.224 that comes with it: that one, like all since 2.0, writes commits by threads of its own
/// and answers before, so that a killed server had none of hundreds of messages that it had acknowledged.
const DATABASE: &str = "com.h2database:h2:1.4.200";
/// How its files are opened: what is committed is written at once.
const OPENED: &str = "WRITE_DELAY=0";
/// Another process may take a free port before the server does.
const ATTEMPTS: usize = 3;

/// A running server. It ends with its value, and at the latest with this process.
pub struct ElasticMq {
    // In this order: a guard that is left alone ends what has the server's number.
    guard: Option<Guard>,
    server: Server,
    directory: tempfile::TempDir,
    /// The class path.
    jars: OsString,
    durable: bool,
}

impl ElasticMq {
    /// Starts a server with nothing in it. A `durable` one keeps queues and messages in files, so that they outlive a kill; the other is
    /// faster.
    ///
    /// # Errors
    /// When it can't be fetched (Debian: maven), or run (Debian: default-jre-headless).
    pub fn start(durable: bool) -> anyhow::Result<Self> {
        let mut jars = from_maven(COORDINATES)?.join("*").into_os_string();
        if durable {
            // What comes first counts.
            let mut both = from_maven(DATABASE)?.join("*").into_os_string();
            both.push(":");
            both.push(jars);
            jars = both;
        }
        let mut attempt = 1;
        loop {
            let directory = tempfile::Builder::new().prefix("ronda-elasticmq-").tempdir()?;
            let port = free_port()?;
            let configuration = directory.path().join("elasticmq.conf");
            std::fs::write(&configuration, configure(port, durable, directory.path()))?;
            let credentials = "[default]\naws_access_key_id = test\naws_secret_access_key = test\n";
            std::fs::write(credentials_file(directory.path()), credentials)?;
            let (class_path, property) = (jars.clone(), format!("-Dconfig.file={}", configuration.display()));
            let started = Server::start("ElasticMQ", port, directory.path().join("log"), move || {
                let mut command = Command::new("java");
                // It lives for seconds: what pays off later is left out.
                command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", &property, "-cp"]);
                command.arg(&class_path).arg("org.elasticmq.server.Main");
                command
            });
            match started {
                Ok(server) => {
                    let mut elasticmq = Self { guard: None, server, directory, jars, durable };
                    elasticmq.watch()?;
                    return Ok(elasticmq);
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

    /// Starts it again on what is on its disk, in the order in which it was sent.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        if self.durable {
            order::restore(&self.jars, self.directory.path())?;
        }
        self.server.restart()?;
        self.watch()
    }

    /// Stops it where it is (SIGSTOP).
    pub fn stall(&self) {
        self.server.stall();
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.server.resume();
    }

    /// A file with credentials that it takes, as it takes any.
    #[must_use]
    pub fn credentials_file(&self) -> PathBuf {
        credentials_file(self.directory.path())
    }

    fn watch(&mut self) -> anyhow::Result<()> {
        let Some(pid) = self.server.pid() else { bail!("the server is gone") };
        self.guard = Some(Guard::over(pid, self.directory.path())?);
        Ok(())
    }
}

fn credentials_file(directory: &Path) -> PathBuf {
    directory.join("credentials")
}

/// The address of the database with its messages.
fn database(directory: &Path) -> String {
    format!("jdbc:h2:{}/messages;{OPENED}", directory.display())
}

fn configure(port: u16, durable: bool, directory: &Path) -> String {
    let shown = directory.display();
    format!(
        "include classpath(\"application.conf\")\n\
         node-address {{ protocol = http, host = \"127.0.0.1\", port = {port}, context-path = \"\" }}\n\
         rest-sqs {{ enabled = true, bind-port = {port}, bind-hostname = \"127.0.0.1\", sqs-limits = strict }}\n\
         rest-stats {{ enabled = false, bind-port = 0, bind-hostname = \"127.0.0.1\" }}\n\
         queues-storage {{ enabled = {durable}, path = \"{shown}/queues.conf\" }}\n\
         messages-storage {{ enabled = {durable}, driver-class = \"org.h2.Driver\", username = \"\", password = \"\", \
         prune-data-on-init = false, uri = \"{}\" }}\n\
         aws {{ region = \"eu-central-1\", accountId = \"000000000000\" }}\n\
         pekko.loglevel = WARNING\n",
        database(directory),
    )
}

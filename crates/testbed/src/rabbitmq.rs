//! A RabbitMQ node of its own: Debian's server, on free loopback ports, with a directory and an epmd that nobody else uses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::process::{Server, free_port};

const BIN: &str = "/usr/lib/rabbitmq/bin";

/// A running node. It ends with its value, and at the latest with this process.
pub struct RabbitMq {
    // In this order: the node goes before the epmd that knows it, and both before their directory.
    server: Server,
    _epmd: Server,
    place: Place,
    _directory: tempfile::TempDir,
}

/// Where a node has what it needs; what its programs are told by their environment.
#[derive(Clone)]
struct Place {
    directory: PathBuf,
    port: u16,
    distribution_port: u16,
    epmd_port: u16,
}

impl RabbitMq {
    /// Starts a node with nothing in it. The user is `guest`, with the password `guest`.
    ///
    /// # Errors
    /// When the server is not installed (Debian: rabbitmq-server) or doesn't start.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(|_| Ok(String::new()))
    }

    /// Starts a node with more lines in its configuration file; they may name files in its directory.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(more: impl FnOnce(&Path) -> anyhow::Result<String>) -> anyhow::Result<Self> {
        if !Path::new(BIN).join("rabbitmq-server").exists() {
            bail!("there is no RabbitMQ (Debian: rabbitmq-server)");
        }
        let directory = tempfile::Builder::new().prefix("ronda-rabbitmq-").tempdir()?;
        let place = Place {
            directory: directory.path().to_owned(),
            port: free_port()?,
            distribution_port: free_port()?,
            epmd_port: free_port()?,
        };
        place.prepare(&more(directory.path())?)?;
        let epmd = {
            let port = place.epmd_port;
            // An epmd that Erlang starts by itself would outlive the node.
            Server::start("epmd", port, directory.path().join("epmd.log"), move || {
                let mut command = Command::new("epmd");
                command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
                command
            })?
        };
        let node = place.clone();
        let server = Server::start("RabbitMQ", place.port, directory.path().join("server.log"), move || {
            node.program("rabbitmq-server")
        })?;
        let node = Self { server, _epmd: epmd, place, _directory: directory };
        node.guard()?;
        Ok(node)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The address for a client, through a link or straight.
    #[must_use]
    pub fn url(via: SocketAddr) -> String {
        format!("amqp://guest:guest@{via}/%2f")
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again on what is on its disk.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.server.restart()?;
        self.guard()
    }

    /// Stops it where it is (SIGSTOP).
    pub fn stall(&self) {
        self.server.stall();
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.server.resume();
    }

    /// Raises or ends a memory alarm: while there is one the node blocks every connection that publishes.
    ///
    /// # Errors
    /// When the node doesn't take it.
    pub fn memory_alarm(&self, raised: bool) -> anyhow::Result<()> {
        // A megabyte is always used up, sixteen gigabytes never.
        self.control(&["set_vm_memory_high_watermark", "absolute", if raised { "1MB" } else { "16GB" }]).map(drop)
    }

    /// Has the node do something by `rabbitmqctl`, and answers what it said.
    ///
    /// # Errors
    /// What it said instead.
    pub fn control(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.place.program("rabbitmqctl").args(arguments).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("rabbitmqctl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends node and epmd when this process is gone without having done so: a test process that keeps a node for all its tests never
    /// drops it, and one that is killed drops nothing.
    fn guard(&self) -> anyhow::Result<()> {
        let pids = [self.server.pid(), self._epmd.pid()].map(|pid| pid.map_or_else(String::new, |pid| pid.to_string()));
        // In the background of a shell that ends at once, so that it is nobody's child here.
        let script = "(while [ -d /proc/$0 ] && [ -d /proc/$1 ]; do sleep 1; done; \
                      [ -d /proc/$0 ] || { kill -9 $1 $2; rm -rf \"$3\"; }) &";
        Command::new("sh")
            .args(["-c", script, &std::process::id().to_string()])
            .args(pids)
            .arg(&self.place.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("sh could not be started")?;
        Ok(())
    }
}

impl Place {
    fn prepare(&self, more: &str) -> anyhow::Result<()> {
        for folder in ["home", "data", "log"] {
            std::fs::create_dir(self.directory.join(folder))?;
        }
        std::fs::write(self.directory.join("plugins"), "[].\n")?;
        let configuration = format!(
            "listeners.tcp.local = 127.0.0.1:{}\nlog.console.level = warning\ndisk_free_limit.absolute = 50MB\n\
             vm_memory_high_watermark.absolute = 16GB\n{more}\n",
            self.port
        );
        std::fs::write(self.directory.join("rabbitmq.conf"), configuration)?;
        Ok(())
    }

    /// One of the server's programs, for this node.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(Path::new(BIN).join(name));
        command
            .current_dir(&self.directory)
            .env("HOME", self.directory.join("home"))
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("RABBITMQ_NODENAME", format!("ronda-{}@localhost", self.port))
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", self.directory.join("data"))
            .env("RABBITMQ_LOG_BASE", self.directory.join("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", self.directory.join("pid"))
            .env("RABBITMQ_CONFIG_FILE", self.directory.join("rabbitmq"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.directory.join("plugins"))
            // So the script becomes the virtual machine, and can be stalled and killed.
            .env("RUNNING_UNDER_SYSTEMD", "true");
        command
    }
}

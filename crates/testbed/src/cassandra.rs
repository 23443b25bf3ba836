//! Apache Cassandra, which speaks the protocol of ScyllaDB.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use ronda_tools::from_maven;

use crate::guard::Guard;
use crate::process::{Server, free_port};

const COORDINATES: &str = "org.apache.cassandra:cassandra-all:5.0.4";
/// Another process may take a free port before the server does.
const ATTEMPTS: usize = 3;
/// What the server's own `jvm17-server.options` lists; the jars come without it.
const EXPORTS: [&str; 8] = [
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
];
/// The same of what is opened to reflection.
const OPENS: [&str; 17] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
];

/// A running server of one node. It ends with its value, and at the latest with this process.
pub struct Cassandra {
    // In this order: a guard that is left alone ends what has the server's number.
    guard: Option<Guard>,
    server: Server,
    jars: PathBuf,
    jmx_port: u16,
    directory: tempfile::TempDir,
}

impl Cassandra {
    /// Starts a server with nothing in it, with limits as they come. What a `durable` one has confirmed outlives a kill; the other makes tables
    /// faster, and forgets them.
    ///
    /// # Errors
    /// When it can't be fetched (Debian: maven), or run (Debian: openjdk-17-jre-headless).
    pub fn start(durable: bool) -> anyhow::Result<Self> {
        let jars = from_maven(COORDINATES)?.join("*");
        let mut attempt = 1;
        loop {
            let directory = tempfile::Builder::new().prefix("ronda-cassandra-").tempdir()?;
            let (port, storage_port, jmx_port) = (free_port()?, free_port()?, free_port()?);
            write_configuration(directory.path(), port, storage_port)?;
            let (class_path, home) = (jars.clone(), directory.path().to_owned());
            let started = Server::start("Cassandra", port, directory.path().join("log"), move || {
                command(&class_path, &home, jmx_port, durable)
            });
            match started {
                Ok(server) => {
                    let mut cassandra = Self { guard: None, server, jars, jmx_port, directory };
                    cassandra.watch()?;
                    return Ok(cassandra);
                }
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => attempt += 1,
            }
        }
    }

    /// Where it listens for clients.
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

    /// Stops it where it is (SIGSTOP).
    pub fn stall(&self) {
        self.server.stall();
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.server.resume();
    }

    /// Asks it as an operator does, by `nodetool` and its arguments; answers what that said.
    ///
    /// # Errors
    /// What `nodetool` said when it failed.
    pub fn node_tool(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("java");
        command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        open_to_all(&mut command);
        command.arg(format!("-Dcassandra.config=file://{}", self.directory.path().join("cassandra.yaml").display()));
        // It keeps a history of what it was asked in the user's home.
        command.arg(format!("-Duser.home={}", self.directory.path().display()));
        command.arg("-cp").arg(&self.jars).arg("org.apache.cassandra.tools.NodeTool");
        let output = command.args(["-p", &self.jmx_port.to_string()]).args(arguments).output()?;
        if !output.status.success() {
            let said =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            bail!("nodetool {arguments:?} ended with {}: {said}", output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The folder in which a table's files are.
    ///
    /// # Errors
    /// When there is not exactly one: a table that was dropped and made anew leaves another.
    pub fn table_folder(&self, keyspace: &str, table: &str) -> anyhow::Result<PathBuf> {
        let keyspace = self.directory.path().join("data").join(keyspace);
        let of_table = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            name.as_deref().and_then(|name| name.rsplit_once('-')).is_some_and(|(name, _)| name == table)
        };
        let folders = std::fs::read_dir(&keyspace).with_context(|| keyspace.display().to_string())?;
        let folders = folders.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
        let mut folders = folders.into_iter().filter(of_table);
        let (Some(folder), None) = (folders.next(), folders.next()) else {
            bail!("there is not one folder of table {table} in {}", keyspace.display());
        };
        Ok(folder)
    }

    fn watch(&mut self) -> anyhow::Result<()> {
        let Some(pid) = self.server.pid() else { bail!("the server is gone") };
        self.guard = Some(Guard::over(pid, self.directory.path())?);
        Ok(())
    }
}

/// What the server's classes need that Java keeps to itself.
fn open_to_all(command: &mut Command) {
    command.arg("-Djdk.attach.allowAttachSelf=true");
    for (option, names) in [("--add-exports", EXPORTS.as_slice()), ("--add-opens", OPENS.as_slice())] {
        for name in names {
            command.arg(option).arg(format!("{name}=ALL-UNNAMED"));
        }
    }
}

fn command(class_path: &Path, home: &Path, jmx_port: u16, durable: bool) -> Command {
    let mut command = Command::new("java");
    // It lives for minutes: what pays off later is left out.
    command.args(["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    open_to_all(&mut command);
    let file = |name: &str| home.join(name).display().to_string();
    command
        .arg(format!("-Dcassandra.config=file://{}", file("cassandra.yaml")))
        .arg(format!("-Dcassandra.storagedir={}", home.display()))
        .arg(format!("-Dlogback.configurationFile={}", file("logback.xml")))
        .args(["-Dcassandra-foreground=yes", "-Dcassandra.skip_wait_for_gossip_to_settle=0"])
        .arg("-Dcassandra.ring_delay_ms=1")
        // Whether a change of the schema is left in the commit log, which is replayed after the schema was read.
        .arg(format!("-Dcassandra.unsafesystem={}", !durable))
        .arg(format!("-Dcassandra.jmx.local.port={jmx_port}"))
        .arg("-cp")
        .arg(class_path)
        .arg("org.apache.cassandra.service.CassandraDaemon");
    command
}

fn write_configuration(directory: &Path, port: u16, storage_port: u16) -> anyhow::Result<()> {
    let folder = |name: &str| -> PathBuf { directory.join(name) };
    // With the commit log in batches it answers once a write is on the disk.
    let configuration = format!(
        "cluster_name: ronda\nnum_tokens: 1\npartitioner: org.apache.cassandra.dht.Murmur3Partitioner\n\
         endpoint_snitch: SimpleSnitch\nlisten_address: 127.0.0.1\nrpc_address: 127.0.0.1\n\
         storage_port: {storage_port}\nnative_transport_port: {port}\n\
         seed_provider:\n  - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n    \
         parameters:\n      - seeds: \"127.0.0.1:{storage_port}\"\n\
         data_file_directories: [{}]\ncommitlog_directory: {}\nsaved_caches_directory: {}\nhints_directory: {}\n\
         cdc_raw_directory: {}\ncommitlog_sync: batch\nauto_snapshot: false\n",
        folder("data").display(),
        folder("commitlog").display(),
        folder("caches").display(),
        folder("hints").display(),
        folder("cdc").display(),
    );
    std::fs::write(directory.join("cassandra.yaml"), configuration)?;
    let logging = "<configuration><appender name=\"out\" class=\"ch.qos.logback.core.ConsoleAppender\"><encoder>\
                   <pattern>%level %date{HH:mm:ss} %logger{20} %msg%n%ex</pattern></encoder></appender>\
                   <root level=\"WARN\"><appender-ref ref=\"out\"/></root></configuration>\n";
    std::fs::write(directory.join("logback.xml"), logging)?;
    Ok(())
}

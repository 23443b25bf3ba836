//! A Ronda of its own, or the bare server, as a child process on free loopback ports.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::connection::Connection;
use crate::request::Target;

/// How long a start may take.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A free loopback port. Somebody else may take it before it is bound; then the start fails and says so.
///
/// # Errors
/// When none is free.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A child process that is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// `host:port` of the HTTP interface.
    pub address: String,
}

impl Server {
    /// The bare server: this very program with `bare`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn bare() -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let program = std::env::current_exe().context("this program's own path")?;
        let child = Command::new(program).args(["bare", "--listen", &address]).stdin(Stdio::null()).spawn()?;
        let mut server = Self { child, address };
        server.wait_for("/", |_| true)?;
        Ok(server)
    }

    /// A gateway by itself, on the broker that the environment names; ready when it is returned.
    ///
    /// # Errors
    /// When it does not start.
    pub fn gateway(program: &Path, partitions: u32, key: &str, environment: &[(String, String)]) -> Result<Self> {
        let (address, admin) = (format!("127.0.0.1:{}", free_port()?), format!("127.0.0.1:{}", free_port()?));
        let child = Command::new(program)
            .args(["--listen", &address, "--admin", &admin, "--partitions", &partitions.to_string()])
            .env("RONDA_HARNESS_KEY", key)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut server = Self { child, address: admin };
        server.wait_for("/health/ready", |status| status == 200)?;
        server.address = address;
        Ok(server)
    }

    fn wait_for(&mut self, path: &str, good: impl Fn(u16) -> bool) -> Result<()> {
        let began = Instant::now();
        let address = self.address.clone();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended by itself: {status}");
            }
            let last = match blocking_get(&address, path) {
                Ok((status, _)) if good(status) => return Ok(()),
                Ok((_, answer)) => answer,
                Err(error) => error.to_string(),
            };
            if began.elapsed() > START_WITHIN {
                bail!("the server at {address} did not get ready within {START_WITHIN:?}: {last}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it at once, as a power cut would.
    ///
    /// # Errors
    /// When the process can't be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer's status, and all of it.
fn blocking_get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|code| code.parse().ok());
    Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, answer))
}

/// `ronda up` with a data directory that outlives it.
#[derive(Debug)]
pub struct Ronda {
    /// The process.
    pub server: Server,
    /// `host:port` of the admin listener.
    pub admin: String,
    /// How long it took from the start to ready.
    pub start_up: Duration,
    data: PathBuf,
    binary: PathBuf,
}

impl Ronda {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(binary: &Path, data: &Path, environment: &[(String, String)]) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let admin = format!("127.0.0.1:{}", free_port()?);
        let began = Instant::now();
        let child = Command::new(binary)
            .args(["up", "--listen", &address, "--admin-listen", &admin, "--data"])
            .arg(data)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let mut waiting = Server { child, address: admin.clone() };
        waiting.wait_for("/health/ready", |status| status == 200)?;
        waiting.address = address;
        let start_up = began.elapsed();
        Ok(Self { server: waiting, admin, start_up, data: data.to_owned(), binary: binary.to_owned() })
    }

    /// Makes a key that is not limited, through the command line as an operator would.
    ///
    /// # Errors
    /// When the command fails.
    pub fn key(&self) -> Result<String> {
        let output = Command::new(&self.binary)
            .args(["keys", "create", "--name", "load", "--rate-limit-per-minute", "0", "--json", "--data"])
            .arg(&self.data)
            .output()?;
        if !output.status.success() {
            bail!("keys create: {}", String::from_utf8_lossy(&output.stderr));
        }
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).context("keys create --json")?;
        answer["key"].as_str().map(str::to_owned).context("keys create --json has no key")
    }

    /// Where load goes.
    #[must_use]
    pub fn target(&self, key: &str) -> Target {
        Target { address: self.server.address.clone(), key: key.to_owned() }
    }

    /// One page of the API as JSON.
    ///
    /// # Errors
    /// When the answer isn't 200 with JSON.
    pub async fn get(&self, key: &str, path: &str) -> Result<serde_json::Value> {
        let mut connection = Connection::open(&self.server.address).await?;
        let host = &self.server.address;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nx-api-key: {key}\r\n\r\n");
        let answer = connection.exchange(request.as_bytes()).await?;
        if answer.status != 200 {
            bail!("GET {path}: {} {}", answer.status, String::from_utf8_lossy(answer.body));
        }
        serde_json::from_slice(answer.body).with_context(|| format!("GET {path}"))
    }

    /// The value of a metric on the admin listener: every series of that name, in the order given.
    ///
    /// # Errors
    /// When the page can't be read.
    pub async fn metric(&self, name: &str) -> Result<Vec<f64>> {
        let mut connection = Connection::open(&self.admin).await?;
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", self.admin);
        let answer = connection.exchange(request.as_bytes()).await?;
        let page = std::str::from_utf8(answer.body)?;
        let values =
            page.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect())
    }

    /// Resident memory of the process, in bytes.
    ///
    /// # Errors
    /// When the kernel doesn't say.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes * 1_024)
    }
}

//! A server as a process: started, stalled, killed, started again on the same data and ports, stopped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// How long a server may take to listen.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to end in order.
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// And to stand still.
const STALL_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A loopback port that is free now.
///
/// # Errors
/// When the system gives none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// How a server is started: the same way each time.
type Start = Box<dyn Fn() -> Command + Send + Sync>;

/// A server process that ends with its value.
pub struct Server {
    name: &'static str,
    start: Start,
    port: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// Starts it and waits until it listens on the port. What it says goes to the log.
    ///
    /// # Errors
    /// When it can't be started, ends at once, or doesn't listen in time: with the end of its log.
    pub fn start(
        name: &'static str,
        port: u16,
        log: impl Into<PathBuf>,
        start: impl Fn() -> Command + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let mut server = Self { name, start: Box::new(start), port, log: log.into(), child: None };
        server.restart()?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Starts it again after it was killed, and waits until it listens.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = (self.start)();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut child = command.spawn().with_context(|| format!("{} could not be started", self.name))?;
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect_timeout(&self.address(), POLL).is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, tail(&self.log));
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                bail!("{} did not listen within {START_WITHIN:?}: {}", self.name, tail(&self.log));
            }
            std::thread::sleep(POLL);
        }
        self.child = Some(child);
        Ok(())
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time, or not well.
    pub fn stop_in_order(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM);
        if self.child.is_none() {
            return Ok(());
        }
        let status = self.ends()?;
        ensure!(status.success(), "{} ended with {status}: {}", self.name, tail(&self.log));
        Ok(())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When it does not run, or does not end in time.
    pub fn ends(&mut self) -> anyhow::Result<ExitStatus> {
        let mut child = self.child.take().context("it does not run")?;
        let deadline = Instant::now() + STOP_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        let _ = child.kill();
        let _ = child.wait();
        bail!("{} did not end within {STOP_WITHIN:?}: {}", self.name, tail(&self.log))
    }

    /// Stops it where it is (SIGSTOP), and waits until it stands: its threads go on for a moment after the signal was sent.
    pub fn stall(&self) {
        self.signal(Signal::STOP);
        let Some(child) = &self.child else { return };
        let deadline = Instant::now() + STALL_WITHIN;
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        while matches!(waitid(WaitId::Pid(Pid::from_child(child)), stopped), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            // A child that was not waited for keeps its number.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

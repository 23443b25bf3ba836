//! A Python program on the other side, which says in lines of JSON what it got.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends with the test.
pub(crate) struct Stranger {
    _child: Child,
    told: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) port: u16,
    /// What came while something else was waited for.
    seen: std::collections::VecDeque<Value>,
}

impl Stranger {
    /// Starts it with the package that it needs; `None`, said loudly: the package can't be had here.
    pub(crate) async fn start(script: &str, package: (&str, &str), arguments: &[&str]) -> Option<Self> {
        let folder = match ronda_tools::from_pypi(package.0, package.1) {
            Ok(folder) => folder,
            Err(error) => {
                eprintln!("!! SKIPPED {script}: {error:#}");
                return None;
            }
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/channels").join(script);
        let mut command = Command::new(folder.join("bin/python"));
        command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let told = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap().parse().unwrap();
        Some(Self { _child: child, told, lines, port, seen: std::collections::VecDeque::new() })
    }

    async fn line(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("it said nothing");
        serde_json::from_str(&line.unwrap().expect("it ended")).unwrap()
    }

    /// Says how the next one is to be met, and waits until that is taken in.
    pub(crate) async fn tell(&mut self, how: &str) {
        self.told.write_all(format!("{how}\n").as_bytes()).await.unwrap();
        loop {
            match self.line().await {
                Value::String(_) => return,
                seen => self.seen.push_back(seen),
            }
        }
    }

    /// Everything that it got up to now and was not asked about yet.
    pub(crate) async fn all(&mut self) -> Vec<Value> {
        self.tell("sync").await;
        self.seen.drain(..).collect()
    }

    /// The next thing that it got.
    pub(crate) async fn next(&mut self) -> Value {
        match self.seen.pop_front() {
            Some(seen) => seen,
            None => self.line().await,
        }
    }
}

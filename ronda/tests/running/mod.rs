//! `ronda up` as the examples of the documentation find it.
#![allow(unreachable_pub, reason = "each test program is a crate of its own")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

/// Past the harness, which keeps to itself what a passing test says.
pub fn loudly(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// All that a program said.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `ronda up` on free ports, with a key that may do everything.
pub struct Server {
    process: Child,
    url: String,
    key: String,
}

impl Server {
    /// Starts it; `also` adds to its settings.
    pub fn start(dir: &Path, also: impl Fn(&mut Command)) -> Self {
        let create = ["keys", "create", "--name", "docs", "--rate-limit-per-minute", "0", "--json"];
        let mut create_key = ronda(dir);
        also(create_key.args(create));
        let created = create_key.output().unwrap();
        let created: serde_json::Value =
            serde_json::from_slice(&created.stdout).unwrap_or_else(|_| panic!("{}", said(&created)));
        let mut up = ronda(dir);
        up.args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        also(&mut up);
        let mut process = up.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        let mut server = Self { process, url: String::new(), key: created["key"].as_str().unwrap().to_owned() };
        server.url = url_on_screen(output);
        server
    }

    /// Runs a command with the two variables that the examples ask for; an error when there is no such program.
    pub fn run(&self, mut command: Command) -> Result<Output, String> {
        command.env("RONDA_URL", &self.url).env("RONDA_API_KEY", &self.key).env("no_proxy", "127.0.0.1");
        // The examples call `ronda` by its name.
        let folders = Path::new(env!("CARGO_BIN_EXE_ronda")).parent().map(Path::to_owned).into_iter();
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env("PATH", std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap());
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).output().map_err(|error| format!("{name} does not run: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The binary without any setting of whoever runs the tests.
fn ronda(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ronda"));
    command.current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RONDA_") || name.starts_with("SLACK_")) {
        command.env_remove(name);
    }
    command
}

/// The API's address, as the screen of `ronda up` shows it once it is ready. The screen is read on, so that nothing waits for a reader.
fn url_on_screen(output: impl Read + Send + 'static) -> String {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // Once the address is known nobody listens; reading goes on.
            let _ = sender.send(line);
        }
    });
    let started = Instant::now();
    let mut url = None;
    loop {
        let left = DEADLINE.saturating_sub(started.elapsed());
        let line = lines.recv_timeout(left).expect("ronda up shows its screen");
        if let Some(api) = line.trim_start().strip_prefix("API") {
            url = Some(api.trim().trim_end_matches("/api/v1").to_owned());
        }
        if line.contains("Ctrl-C") {
            return url.expect("the screen names the API's address");
        }
    }
}

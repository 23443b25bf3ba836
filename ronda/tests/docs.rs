//! Every example of docs/api-usage.md that is marked `test`, run as a reader would run it against the real binary.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

const PAGE: &str = include_str!("../../docs/api-usage.md");
const DEADLINE: Duration = Duration::from_secs(60);
/// What turns TypeScript into JavaScript where Node does not do it by itself.
const ESBUILD: &str = "esbuild@0.28.2";

#[test]
fn the_examples_with_curl_work_as_they_stand() {
    run_all("sh", "sh", |script| Ok(program("bash", &["-euo", "pipefail"], script)));
}

#[test]
fn the_examples_in_python_work_as_they_stand() {
    run_all("python", "py", |script| Ok(program("python3", &[], script)));
}

#[test]
fn the_examples_in_typescript_work_as_they_stand() {
    run_all("ts", "mts", |script| Ok(program("node", &[], &javascript(script)?)));
}

fn program(name: &str, arguments: &[&str], script: &Path) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).arg(script);
    command
}

/// Runs the page's blocks of one language in their order against one server. `prepare` makes the command for a script, or says why it can't.
fn run_all(language: &str, ending: &str, prepare: impl Fn(&Path) -> Result<Command, String>) {
    let blocks = blocks(PAGE, &format!("{language} test"));
    assert!(!blocks.is_empty(), "docs/api-usage.md has no block marked '{language} test'");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for (line, text) in blocks {
        let script = dir.path().join(format!("line-{line}.{ending}"));
        std::fs::write(&script, text).unwrap();
        let place = format!("docs/api-usage.md:{line} ({language})");
        let outcome = prepare(&script).and_then(|command| server.run(command));
        match outcome {
            Ok(output) => assert!(output.status.success(), "{place}: {}\n{}", output.status, said(&output)),
            // Past the harness, which keeps to itself what a passing test says.
            Err(missing) => loudly(&format!("!! SKIPPED {place}: {missing}")),
        }
    }
}

fn loudly(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The blocks fenced as ```` ```mark ````, each with the line that it begins on.
fn blocks(page: &str, mark: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, Some(info)) if info == mark => open = Some((index + 2, String::new())),
            _ => {}
        }
    }
    found
}

/// The JavaScript of a TypeScript file: itself when Node strips types, or what esbuild, put into `.tools/`, makes of it.
fn javascript(script: &Path) -> Result<PathBuf, String> {
    let probe = "process.exit(process.features.typescript ? 0 : 1)";
    if done(Command::new("node").args(["--eval", probe])).is_ok() {
        return Ok(script.to_owned());
    }
    let compiled = script.with_extension("mjs");
    let out = format!("--outfile={}", compiled.display());
    let output = Command::new(esbuild()?).arg(script).args(["--log-level=warning", &out]).output();
    let output = output.map_err(|error| format!("esbuild does not run: {error}"))?;
    assert!(output.status.success(), "{} is not TypeScript:\n{}", script.display(), said(&output));
    Ok(compiled)
}

/// Installs esbuild from the npm registry into `.tools/` unless it is there.
fn esbuild() -> Result<PathBuf, String> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools");
    let home = tools.join(ESBUILD.replace('@', "-"));
    let program = home.join("node_modules/.bin/esbuild");
    if program.exists() {
        return Ok(program);
    }
    std::fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
    let mut install = Command::new("npm");
    install.args(["install", "--no-save", "--no-audit", "--no-fund", "--fetch-retries=0", "--fetch-timeout=60000"]);
    install.arg("--prefix").arg(&home).arg(ESBUILD);
    done(&mut install).map_err(|error| format!("Node strips no types, and {ESBUILD} is not to be had: {error}"))?;
    if program.exists() { Ok(program) } else { Err(format!("{ESBUILD} has no program of that name")) }
}

fn done(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(said(&output)) }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `ronda up` on free ports, with a key that may do everything.
struct Server {
    process: Child,
    url: String,
    key: String,
}

impl Server {
    fn start(dir: &Path) -> Self {
        let create = ["keys", "create", "--name", "docs", "--rate-limit-per-minute", "0", "--json"];
        let created = ronda(dir).args(create).output().unwrap();
        let created: serde_json::Value =
            serde_json::from_slice(&created.stdout).unwrap_or_else(|_| panic!("{}", said(&created)));
        let mut up = ronda(dir);
        up.args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        let mut process = up.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        let mut server = Self { process, url: String::new(), key: created["key"].as_str().unwrap().to_owned() };
        server.url = url_on_screen(output);
        server
    }

    /// Runs a command with the two variables that the page asks for; an error when there is no such program.
    fn run(&self, mut command: Command) -> Result<Output, String> {
        command.env("RONDA_URL", &self.url).env("RONDA_API_KEY", &self.key).env("no_proxy", "127.0.0.1");
        // The page calls `ronda` by its name.
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

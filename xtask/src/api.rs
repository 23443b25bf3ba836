//! The running API against its own description, by schemathesis.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::report::Outcome;
use crate::{rust, tools};

const SCHEMATHESIS: &str = "4.32.5";
/// Generated requests per operation.
const MAX_EXAMPLES: &str = "40";
/// One: CPython up to 3.12 may fail when two threads parse Python at once ("AST constructor recursion depth mismatch"), which hypothesis does.
const WORKERS: &str = "1";
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Ends the server however the step ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `ronda up` on a data directory of its own and lets schemathesis loose on it.
pub(crate) fn schemathesis(root: &Path) -> anyhow::Result<Outcome> {
    let program = match tools::from_pypi(root, "schemathesis", SCHEMATHESIS, "schemathesis") {
        Ok(program) => program,
        Err(error) => return Ok(Outcome::skipped(format!("schemathesis is not to be had: {error:#}"))),
    };
    anyhow::ensure!(
        rust::cargo(root).args(["build", "--quiet", "-p", "ronda"]).status()?.success(),
        "ronda does not build"
    );
    let ronda = rust::target_dir(root)?.join("debug").join("ronda");
    let data = root.join(".tools").join("schemathesis-data");
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(&data)?;
    let key = key(&ronda, &data)?;
    let (port, admin) = (free_port()?, free_port()?);
    let address = format!("127.0.0.1:{port}");
    let mut server = Command::new(&ronda);
    server.args(["up", "--listen", &address, "--admin-listen", &format!("127.0.0.1:{admin}"), "--data"]).arg(&data);
    server.env("RONDA_TELEMETRY_LOG_FILTER", "error").current_dir(&data).stdout(Stdio::null());
    let mut server = Running(server.spawn().context("ronda up could not be started")?);
    wait_until_listening(&mut server, port)?;
    let status = Command::new(program)
        .current_dir(&data)
        .env("SCHEMATHESIS_HOOKS", root.join("docs/api/schemathesis_hooks.py"))
        .env("RONDA_URL", format!("http://{address}"))
        .env("RONDA_API_KEY", &key)
        .arg("--config-file")
        .arg(root.join("docs/api/schemathesis.toml"))
        .args(["run", &format!("http://{address}/api/openapi.json"), "--header", &format!("X-API-Key: {key}")])
        .args(["--max-examples", MAX_EXAMPLES, "--workers", WORKERS, "--no-color"])
        .status()?;
    if let Some(ended) = server.0.try_wait()? {
        return Ok(Outcome::failed(format!("ronda ended during the requests: {ended}")));
    }
    Ok(if status.success() { Outcome::passed() } else { Outcome::failed("schemathesis found something, see above") })
}

/// A key without a rate limit, made before the server owns the directory.
fn key(ronda: &Path, data: &Path) -> anyhow::Result<String> {
    let output = Command::new(ronda)
        .args(["keys", "create", "--name", "schemathesis", "--rate-limit-per-minute", "0", "--json", "--data"])
        .arg(data)
        .current_dir(data)
        .output()?;
    let made: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("ronda keys create: {}", String::from_utf8_lossy(&output.stderr)))?;
    made["key"].as_str().map(str::to_owned).context("ronda keys create --json names the key")
}

fn wait_until_listening(server: &mut Running, port: u16) -> anyhow::Result<()> {
    let started = Instant::now();
    while started.elapsed() < START_DEADLINE {
        if let Some(ended) = server.0.try_wait()? {
            bail!("ronda up ended at its start: {ended}");
        }
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("ronda up did not listen within {START_DEADLINE:?}")
}

fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

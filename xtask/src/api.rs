//! The running API against its own description, by schemathesis; and the description of direct publishing, by AsyncAPI's own parser.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::report::Outcome;
use crate::rust;
use crate::server::{free_port, unlimited_key};

const SCHEMATHESIS: &str = "4.32.5";
const ASYNCAPI_PARSER: &str = "3.6.6";
/// Generated requests per operation.
const MAX_EXAMPLES: &str = "40";
/// One: CPython up to 3.12 may fail when two threads parse Python at once ("AST constructor recursion depth mismatch"), which hypothesis does.
const WORKERS: &str = "1";
/// The requests are the same in every run, so that a change is judged by itself; another number in `RONDA_API_SEED` explores.
const SEED: &str = "20261125";
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
    let program = match ronda_tools::from_pypi("schemathesis", SCHEMATHESIS) {
        Ok(folder) => folder.join("bin/schemathesis"),
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
    // Made before the server owns the directory.
    let key = unlimited_key(&ronda, &data, &data, "schemathesis")?;
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
        .args(["--seed", &std::env::var("RONDA_API_SEED").unwrap_or_else(|_| SEED.to_owned())])
        .status()?;
    if let Some(ended) = server.0.try_wait()? {
        return Ok(Outcome::failed(format!("ronda ended during the requests: {ended}")));
    }
    Ok(if status.success() { Outcome::passed() } else { Outcome::failed("schemathesis found something, see above") })
}

/// Reads docs/api/asyncapi.json with AsyncAPI's own parser. (That it is what the code says is a test of `ronda-schemas`.)
pub(crate) fn asyncapi(root: &Path) -> anyhow::Result<Outcome> {
    let modules = match ronda_tools::from_npm("@asyncapi/parser", ASYNCAPI_PARSER) {
        Ok(folder) => folder.join("node_modules"),
        Err(error) => return Ok(Outcome::skipped(format!("@asyncapi/parser is not to be had: {error:#}"))),
    };
    let status = Command::new("node")
        .current_dir(root)
        .env("NODE_PATH", modules)
        .args(["docs/api/check_asyncapi.cjs", "docs/api/asyncapi.json"])
        .status()
        .context("node could not be started")?;
    Ok(if status.success() {
        Outcome::passed()
    } else {
        Outcome::failed("the AsyncAPI document is not valid, see above")
    })
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

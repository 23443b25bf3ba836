//! Every example of docs/api-usage.md that is marked `test`, run as a reader would run it against the real binary.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod running;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use running::{Server, loudly, said};

const PAGE: &str = include_str!("../../docs/api-usage.md");
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
    let server = Server::start(dir.path(), |_| {});
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

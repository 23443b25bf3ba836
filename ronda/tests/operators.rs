//! What an operator does with `ronda dead-letters` and `ronda queue`, through the real binary on real brokers.
#![cfg(any(feature = "nats", feature = "sqs", feature = "rabbitmq"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod site;

use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use site::{At, Publisher, Site, TENANT, loudly, until};

/// Where messages name no tenant, they are this one's.
const WITH_TENANT: (&str, &str) = ("RONDA_QUEUE_DIRECT_TENANT", TENANT);
const EVERYTHING: &str = "ingest,read,admin";

/// Held while a broker has its stories: all brokers at a time are more than a small machine carries.
static ONE_BROKER: Mutex<()> = Mutex::new(());

/// All on one broker, at the same time: what they do is mostly to wait.
fn stories(at: &At) {
    let _alone = ONE_BROKER.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        scope.spawn(|| letters_are_listed_shown_put_back_and_thrown_away(at));
        scope.spawn(|| where_keys_are_asked_for_one_goes_with_what_is_put_back(at));
        scope.spawn(|| the_number_of_partitions_changes_with_messages_in_the_queues(at));
        scope.spawn(|| two_with_stores_of_their_own_do_not_work_side_by_side_in_silence(at));
    });
}

#[cfg(feature = "nats")]
#[test]
fn on_nats() {
    match ronda_testbed::Nats::start(&ronda_testbed::NatsOptions::default()) {
        Ok(broker) => stories(&At::quick(broker.url())),
        Err(missing) => loudly(&format!("!! SKIPPED an operator's commands on NATS: {missing:#}")),
    }
}

#[cfg(feature = "rabbitmq")]
#[test]
fn on_rabbitmq() {
    match ronda_testbed::RabbitMq::start() {
        Ok(broker) => stories(&At::quick(ronda_testbed::RabbitMq::url(broker.address()))),
        Err(missing) => loudly(&format!("!! SKIPPED an operator's commands on RabbitMQ: {missing:#}")),
    }
}

#[cfg(feature = "sqs")]
#[test]
fn on_sqs() {
    match ronda_testbed::ElasticMq::start(false) {
        Ok(mut broker) => {
            let url = format!("sqs://eu-central-1?endpoint=http://{}", broker.address());
            // More pulses of so many at a time are more than it carries.
            let credentials_file = Some(broker.credentials_file());
            let at = At { url, credentials_file, pulse_period_ms: 1_000 };
            stories(&at);
            queues_that_are_gone_are_told_and_no_partition_is_up(&at, &mut broker);
        }
        Err(missing) => loudly(&format!("!! SKIPPED an operator's commands on SQS: {missing:#}")),
    }
}

fn report(scheduler: &str, run: &str, status: &str) -> String {
    format!(r#"{{"type":"status","scheduler_id":"{scheduler}","run_id":"{run}","status":"{status}"}}"#)
}

/// The same as MessagePack, which SQS carries as base64.
fn packed_report(scheduler: &str, run: &str, status: &str) -> Vec<u8> {
    let fields = [("type", "status"), ("scheduler_id", scheduler), ("run_id", run), ("status", status)];
    let text = |text: &str| [&[0xa0 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let pairs = fields.iter().flat_map(|(name, value)| [text(name), text(value)].concat());
    std::iter::once(0x84).chain(pairs).collect()
}

fn register(publisher: &Publisher, scheduler: &str) {
    publisher.command(scheduler, &format!(r#"{{"type":"register","id":"{scheduler}"}}"#));
}

fn has_ended(runs: &[Value], run: &str) -> bool {
    runs.iter().any(|found| found["run_id"] == run && found["status"] == "succeeded")
}

/// The one letter with this reason.
fn with_reason<'a>(letters: &'a [Value], reason: &str) -> &'a Value {
    let found: Vec<_> = letters.iter().filter(|letter| letter["reason"] == reason).collect();
    assert_eq!(found.len(), 1, "{reason}: {letters:#?}");
    found[0]
}

fn id(letter: &Value) -> &str {
    letter["id"].as_str().unwrap()
}

/// Two schedulers in different partitions.
fn apart(publisher: &Publisher) -> (String, String) {
    let first = String::from("nightly");
    let is_apart = |other: &String| publisher.partition(other) != publisher.partition(&first);
    let other = (0..).map(|number| format!("other-{number}")).find(is_apart).unwrap();
    (first, other)
}

fn letters_are_listed_shown_put_back_and_thrown_away(at: &At) {
    let site = Site::new(at, "letters", &[WITH_TENANT]);
    site.refused(&["queue", "check"], 9, "ronda queue init");
    assert!(site.done(&["queue", "init"]).contains("made "));
    assert!(site.done(&["queue", "init"]).contains("nothing was made"));
    assert!(site.done(&["queue", "check"]).contains("as they shall be"));
    let key = site.key(TENANT, EVERYTHING);
    let mut up = site.up(&[]);
    let publisher = site.publisher(4);
    let (nightly, other) = apart(&publisher);
    let (own, wrong) = (publisher.partition(&nightly), publisher.partition(&other));
    register(&publisher, &nightly);
    register(&publisher, &other);
    publisher.command(&nightly, &report(&nightly, "good", "success"));
    publisher.onto(own, packed_report(&nightly, "packed", "success"), &[]);
    publisher.command(&nightly, r#"{"type":"heartbeat","scheduler_id":"nightly","progres":{"done":1}}"#);
    publisher.onto(own, "rubbish \u{1b}[2J", &[("x-api-key", "s3cret"), ("trace", "t-1")]);
    publisher.onto(wrong, report(&nightly, "misled", "success"), &[]);
    let listed = site.until_letters(3);
    let what: Vec<_> = listed.iter().map(|letter| letter["reason"].as_str().unwrap()).collect();
    assert!(what.contains(&"invalid_body") && what.contains(&"not_a_command"), "{what:?}");
    let table = site.done(&["dead-letters", "list"]);
    assert!(table.contains("letters") && table.contains("wrong_partition") && !table.contains("rubbish"), "{table}");

    let poison = with_reason(&listed, "invalid_body");
    assert_eq!((&poison["tenant"], &poison["partition"]), (&TENANT.into(), &own.into()), "{poison}");
    let shown = site.done(&["dead-letters", "show", &id(poison)[..10]]);
    assert!(shown.contains("did you mean 'progress'?") && shown.contains(r#""progres":{"done":1}"#), "{shown}");
    let shown = site.json(&["dead-letters", "show", id(with_reason(&listed, "not_a_command"))]);
    assert!(shown["message_id"].as_str().is_some_and(|id| !id.is_empty()), "{shown}");
    let shown = shown.to_string();
    assert!(shown.contains("t-1") && !shown.contains("s3cret") && !shown.contains("x-api-key"), "{shown}");
    let told = until("the error feed has both", || {
        let errors = site.asked(&key, &["errors"])?.to_string();
        (errors.contains("invalid_body") && errors.contains("wrong_partition")).then_some(errors)
    });
    assert!(told.contains(&format!("belongs to partition {own}")), "{told}");

    // What was only misled goes where it belongs; what is wrong comes again as another letter.
    assert!(
        site.done(&["dead-letters", "redrive", id(with_reason(&listed, "wrong_partition"))])
            .contains("1 dead letter was put back")
    );
    site.until_runs(&key, &nightly, |runs| {
        has_ended(runs, "misled") && has_ended(runs, "good") && has_ended(runs, "packed")
    });
    assert_eq!(site.until_letters(2).len(), 2);
    site.done(&["dead-letters", "redrive", id(poison)]);
    let again = until("the poison comes again", || {
        let letters = site.until_letters(2);
        let again = with_reason(&letters, "invalid_body").clone();
        (again["id"] != poison["id"]).then_some(again)
    });
    let shown = site.done(&["dead-letters", "show", id(&again)]);
    assert!(shown.contains("ronda-redriven: 1"), "{shown}");
    site.refused(&["dead-letters", "show", id(poison)], 7, "no dead letter");
    other_queues_are_refused_while_it_runs(&site, at);
    assert!(site.done(&["dead-letters", "discard", id(&again)]).contains("1 dead letter was thrown away"));

    // Of a batch, only what was refused is put back, and only that is applied by it.
    let batch = format!("[{},{}]", report(&nightly, "kept", "success"), report(&other, "strayed", "success"));
    publisher.onto(own, batch, &[]);
    let letters = site.until_letters(2);
    let of_batch = with_reason(&letters, "wrong_partition");
    assert_eq!(of_batch["commands"], serde_json::json!([1]), "{of_batch}");
    up.stop_in_order().unwrap();
    // Nothing runs: the queues themselves are asked.
    assert_eq!(site.json(&["dead-letters", "list"])["items"].as_array().unwrap().len(), 2);
    site.done(&["dead-letters", "redrive", id(of_batch)]);
    assert_eq!(site.until_letters(1).len(), 1);
    let _up = site.up(&[]);
    site.until_runs(&key, &other, |runs| has_ended(runs, "strayed"));
    let runs = site.until_runs(&key, &nightly, |runs| has_ended(runs, "kept"));
    assert_eq!(runs.len(), 4, "{runs:#?}");
    let errors = site.asked(&key, &["errors"]).unwrap().to_string();
    assert!(!errors.contains("run_already"), "{errors}");
    assert!(
        site.done(&["dead-letters", "redrive", "--all", "--tenant", "nobody"]).contains("No dead letter was put back")
    );
    assert!(site.done(&["dead-letters", "discard", "--all"]).contains("1 dead letter was thrown away"));
    assert!(site.done(&["dead-letters", "list"]).contains("There are no dead letters"));
}

/// A server that comes back without what was on it. On SQS nothing is asked when a partition is opened, so with each attempt they looked
/// as if they were up.
#[cfg(feature = "sqs")]
fn queues_that_are_gone_are_told_and_no_partition_is_up(at: &At, broker: &mut ronda_testbed::ElasticMq) {
    const UP: &str = "all partitions are up";
    let site = Site::new(at, "gone", &[WITH_TENANT]);
    let _up = site.up(&[]);
    until("all are up, and it has said where its health is", || {
        (site.log().contains(UP) && site.log().contains("/health/")).then_some(())
    });
    broker.kill();
    until("it knows that the broker is away", || site.health().contains("is away").then_some(()));
    site.refused(&["dead-letters", "list"], 9, "can't be reached");
    broker.restart().unwrap();
    // Four partitions, and one of them once more.
    until("one is taken up again", || (site.log().matches("a partition stopped").count() > 4).then_some(()));
    assert_eq!(site.log().matches(UP).count(), 1, "{}", site.log());
    until("it knows that the queues are gone", || site.health().contains("does not exist").then_some(()));
    for command in [["queue", "lag"], ["dead-letters", "list"]] {
        site.refused_in_the_end(&command, 9, "ronda queue init");
    }
}

/// What is named by a flag is not what the running process has: it does nothing to its own queues for that.
fn other_queues_are_refused_while_it_runs(site: &Site, at: &At) {
    let elsewhere = match at.url.split_once(':').unwrap().0 {
        "sqs" => "sqs://eu-central-1?endpoint=http://k:s3cret@127.0.0.1:9",
        "nats" => "nats://guest:s3cret@127.0.0.1:9",
        _ => "amqp://guest:s3cret@127.0.0.1:9",
    };
    let elsewhere = ["--queue", elsewhere];
    for command in [&["queue", "lag"][..], &["dead-letters", "list"], &["dead-letters", "discard", "--all"]] {
        let output = site.refused(&[command, &elsewhere].concat(), 7, "leave out --queue");
        assert!(output.contains("//127.0.0.1:9/") && !output.contains("s3cret"), "{output}");
        site.refused(&[command, &["--queue", "embedded:"]].concat(), 7, "its embedded queues");
    }
    assert!(site.json(&["queue", "lag"])["queues"][2]["partitions"][0]["messages"].as_u64() >= Some(1));
}

fn where_keys_are_asked_for_one_goes_with_what_is_put_back(at: &At) {
    let site = Site::new(at, "keys", &[("RONDA_QUEUE_DIRECT_ACCESS", "api_key")]);
    let key = site.key(TENANT, EVERYTHING);
    let reporter = site.key(TENANT, "ingest");
    let mut up = site.up(&[]);
    let publisher = site.publisher(4);
    let job = "nightly";
    let partition = publisher.partition(job);
    let by_reporter = [("x-api-key", reporter.as_str())];
    publisher.onto(partition, format!(r#"{{"type":"register","id":"{job}"}}"#), &by_reporter);
    publisher.onto(partition, report(job, "keyless", "success"), &[]);
    let letters = site.until_letters(1);
    let keyless = with_reason(&letters, "unauthorized");
    site.refused(&["dead-letters", "redrive", id(keyless)], 7, "--api-key-file");
    site.refused(&["dead-letters", "redrive", "--all"], 7, "--api-key-file");
    let (good, empty) = (site.file("key", &format!("{key}\n")), site.file("empty", "\n"));
    let (good, empty) = (good.to_str().unwrap(), empty.to_str().unwrap());
    site.refused(&["dead-letters", "redrive", id(keyless), "--api-key-file", empty], 2, "it is empty");
    site.refused(&["dead-letters", "redrive", "--all", "--api-key-file", good], 2, "--tenant");
    site.done(&["dead-letters", "redrive", id(keyless), "--api-key-file", good]);
    site.until_runs(&key, job, |runs| has_ended(runs, "keyless"));

    // A batch of which the key's scopes allow the first command only.
    let batch = format!(r#"[{},{{"type":"pause","scheduler_id":"{job}"}}]"#, report(job, "allowed", "success"));
    publisher.onto(partition, batch, &by_reporter);
    let letters = site.until_letters(1);
    assert_eq!(with_reason(&letters, "forbidden")["commands"], serde_json::json!([1]), "{letters:#?}");
    site.until_runs(&key, job, |runs| has_ended(runs, "allowed"));
    up.stop_in_order().unwrap();
    site.refused(&["dead-letters", "redrive", "--all", "--tenant", TENANT], 7, "--api-key-file");
    let told = site.done(&["dead-letters", "redrive", "--all", "--tenant", TENANT, "--api-key-file", good]);
    assert!(told.contains("1 dead letter was put back"), "{told}");
    let _up = site.up(&[]);
    until("it is paused", || {
        let scheduler = site.asked(&key, &["schedulers", "show", job])?.to_string();
        scheduler.contains(r#""paused":true"#).then_some(())
    });
    assert!(site.until_letters(0).is_empty());
    assert_eq!(site.until_runs(&key, job, |runs| runs.len() >= 2).len(), 2);
}

fn the_number_of_partitions_changes_with_messages_in_the_queues(at: &At) {
    const STEPS: u64 = 5;
    let site = Site::new(at, "partitions", &[WITH_TENANT]);
    let key = site.key(TENANT, EVERYTHING);
    let mut up = site.up(&[]);
    let publisher = site.publisher(4);
    let jobs: Vec<String> = (0..8).map(|number| format!("job-{number}")).collect();
    for job in &jobs {
        register(&publisher, job);
        publisher.command(job, &report(job, "before", "success"));
    }
    for job in &jobs {
        site.until_runs(&key, job, |runs| has_ended(runs, "before"));
    }
    site.refused(&["queue", "repartition", "--partitions", "8"], 7, "stop it first");
    up.stop_in_order().unwrap();
    // Nobody reads these. The last progress tells whether their order was kept.
    for step in 1..=STEPS {
        for job in &jobs {
            publisher.command(
                job,
                &format!(
                    r#"{{"type":"heartbeat","scheduler_id":"{job}","run_id":"waits","progress":{{"done":{step},"total":{STEPS}}}}}"#
                ),
            );
        }
    }
    for job in &jobs {
        publisher.command(job, &report(job, "waits", "success"));
    }
    drop(publisher);
    let lag = site.json(&["queue", "lag"]);
    let waiting: u64 = lag["queues"][0]["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|partition| partition["messages"].as_u64().unwrap())
        .sum();
    assert!(waiting >= (STEPS + 1) * 8, "{lag:#}");
    let told = site.done(&["queue", "repartition", "--partitions", "8"]);
    assert!(told.contains("8 partitions now, and had 4") && told.contains("storage.partitions = 8"), "{told}");
    assert!(site.done(&["queue", "repartition", "--partitions", "8"]).contains("already"));
    let start = ["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    site.refused(&start, 9, "8 partitions");
    site.refused(&start, 9, "ronda queue repartition");
    site.refused(&["queue", "check"], 9, "8 partitions");

    let _up = site.up(&["--partitions", "8"]);
    for job in &jobs {
        let runs = site.until_runs(&key, job, |runs| has_ended(runs, "waits") && has_ended(runs, "before"));
        let waited = runs.iter().find(|run| run["run_id"] == "waits").unwrap();
        assert_eq!(waited["progress"]["done"], STEPS, "{waited:#}");
    }
    // One that goes by the new number, and one that still goes by the old one.
    let publisher = site.publisher(8);
    let moved = jobs.iter().find(|job| publisher.partition(job) >= 4).unwrap();
    publisher.command(moved, &report(moved, "after", "success"));
    publisher.onto(publisher.partition(moved) % 4, report(moved, "late", "success"), &[]);
    site.until_runs(&key, moved, |runs| has_ended(runs, "after"));
    let letters = site.until_letters(1);
    assert_eq!(letters[0]["reason"], "wrong_partition", "{letters:#?}");
    assert!(site.done(&["dead-letters", "redrive", "--all"]).contains("1 dead letter was put back"));
    site.until_runs(&key, moved, |runs| has_ended(runs, "late"));
}

fn two_with_stores_of_their_own_do_not_work_side_by_side_in_silence(at: &At) {
    const SAID: &str = "another Ronda uses the same queues";
    let (one, other) = (Site::new(at, "shared", &[WITH_TENANT]), Site::new(at, "shared", &[WITH_TENANT]));
    let _one = one.up(&[]);
    if at.url.starts_with("nats:") {
        // On a log it shows that somebody has worked something off: the other one does not start.
        let publisher = one.publisher(4);
        until("something is worked off", || publisher.is_worked_off().then_some(()));
        let start = ["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        other.refused(&start, 4, "worked off by another Ronda");
        return;
    }
    let mut up_other = other.up(&[]);
    until("one of the two says so", || (one.log().contains(SAID) || other.log().contains(SAID)).then_some(()));
    if at.url.starts_with("amqp:") {
        // It gets nothing at all: nobody shall think that it works.
        until("the second one says so", || other.log().contains("takes all that this one publishes").then_some(()));
        let ready = other.health();
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains(SAID), "{ready}");
        assert!(one.health().starts_with("HTTP/1.1 200"), "{}", one.health());
        // Nor does it take the queues away from under the first one.
        up_other.stop_in_order().unwrap();
        let repartition = ["queue", "repartition", "--partitions", "8", "--drain-seconds", "2"];
        other.refused(&repartition, 7, "nothing was changed");
    }
}

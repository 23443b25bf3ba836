//! What docs/direct-publishing.md says of the broker's own permissions, as it stands there: each fleet publishes for its own tenant and
//! for no other. And that whoever handles dead letters on RabbitMQ needs no more than docs/queues-rabbitmq.md says.
#![cfg(any(feature = "nats", feature = "rabbitmq"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod site;

use site::{At, Site, loudly};

const PAGE: &str = include_str!("../../docs/direct-publishing.md");
const TENANTS: [&str; 2] = ["acme", "globex"];
/// Both fleets have a scheduler of this name.
const JOB: &str = "nightly";

fn register() -> String {
    format!(r#"{{"type":"register","id":"{JOB}"}}"#)
}

fn report(run: &str) -> String {
    format!(r#"{{"type":"status","scheduler_id":"{JOB}","run_id":"{run}","status":"success"}}"#)
}

/// Each tenant's scheduler has the run that its own fleet reported, and nobody else's.
fn each_has_its_own(site: &Site) {
    for tenant in TENANTS {
        let key = site.key(tenant, "read");
        let runs = site.until_runs(&key, JOB, |runs| !runs.is_empty());
        let names: Vec<_> = runs.iter().map(|run| run["run_id"].as_str().unwrap()).collect();
        assert_eq!(names, [format!("of-{tenant}")], "{tenant}");
        let errors = site.asked(&key, &["errors"]).unwrap();
        assert_eq!(errors["items"], serde_json::json!([]), "{tenant}");
    }
}

#[cfg(feature = "nats")]
mod on_nats {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{SocketAddr, TcpStream};

    use ronda_testbed::{Nats, NatsOptions};

    use super::*;

    /// Publishes as any client does, and answers the server's answer: the confirmation, or its refusal.
    fn publish(address: SocketAddr, user: &str, subject: &str, message: &str) -> String {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        let inbox = format!("_INBOX_{user}.1");
        let connect = format!(r#"{{"verbose":false,"pedantic":false,"user":"{user}","pass":"change-me"}}"#);
        let length = message.len();
        write!(&stream, "CONNECT {connect}\r\nSUB {inbox} 1\r\nPUB {subject} {inbox} {length}\r\n{message}\r\n")
            .unwrap();
        let mut lines = BufReader::new(&stream).lines();
        let mut next = || lines.next().expect("the connection stays").unwrap();
        loop {
            match next() {
                line if line.starts_with("-ERR") => return line,
                line if line.starts_with("MSG") => return next(),
                _ => {}
            }
        }
    }

    #[test]
    fn a_fleet_publishes_for_its_own_tenant_only() {
        let configuration =
            PAGE.split("```conf").nth(1).and_then(|rest| rest.split("```").next()).expect("the example");
        let options = NatsOptions { more: configuration.to_owned(), ..NatsOptions::default() };
        let nats = match Nats::start(&options) {
            Ok(nats) => nats,
            Err(missing) => return loudly(&format!("!! SKIPPED permissions on NATS: {missing:#}")),
        };
        let address = nats.address();
        let at = At::quick(format!("nats://ronda:change-me@{address}"));
        let site = Site::new(&at, "ronda", &[]);
        let _up = site.up(&[]);
        for (user, other) in TENANTS.into_iter().zip(TENANTS.into_iter().rev()) {
            let own = format!("ronda.in.{user}.{JOB}");
            for message in [register(), report(&format!("of-{user}"))] {
                let answer = publish(address, user, &own, &message);
                assert!(answer.contains(r#""stream":"RONDA_COMMANDS""#), "{answer}");
            }
            let foreign =
                [format!("ronda.in.{other}.{JOB}"), format!("ronda.p.0.{other}"), String::from("ronda.f.0.1")];
            for subject in foreign {
                let answer = publish(address, user, &subject, &report("forged"));
                assert!(answer.contains("Permissions Violation"), "{subject}: {answer}");
            }
        }
        each_has_its_own(&site);
    }
}

#[cfg(feature = "rabbitmq")]
mod on_rabbitmq {
    use ronda_queue::QueueErrorKind;
    use ronda_testbed::RabbitMq;
    use site::Publisher;

    use super::*;

    const PARTITIONS: u32 = 4;

    /// Runs what a page has as lines of a shell.
    fn run_all(node: &RabbitMq, page: &str) {
        let lines = page.lines().filter_map(|line| line.strip_prefix("    rabbitmqctl "));
        let mut count = 0;
        for line in lines {
            let arguments: Vec<_> = line.split_whitespace().map(|word| word.trim_matches('\'')).collect();
            node.control(&arguments).unwrap();
            count += 1;
        }
        assert!(count >= 6, "two users, each with its permissions");
    }

    #[test]
    fn a_fleet_publishes_for_its_own_tenant_only_and_letters_are_handled_with_little() {
        let node = match RabbitMq::start() {
            Ok(node) => node,
            Err(missing) => return loudly(&format!("!! SKIPPED permissions on RabbitMQ: {missing:#}")),
        };
        let at = At::quick(RabbitMq::url(node.address()));
        let site = Site::new(&at, "ronda", &[]);
        let mut up = site.up(&[]);
        run_all(&node, PAGE);
        let fleets = TENANTS.map(|tenant| {
            let url = format!("amqp://fleet-{tenant}:change-me@{}/%2f", node.address());
            Publisher::connect(&At::quick(url), "ronda", PARTITIONS).unwrap()
        });
        let partition = |tenant| ronda_domain::id::partition_of(tenant, JOB, PARTITIONS);
        for ((fleet, tenant), other) in fleets.iter().zip(TENANTS).zip(TENANTS.into_iter().rev()) {
            for message in [register(), report(&format!("of-{tenant}"))] {
                fleet.try_onto(partition(tenant), tenant, message, &[]).unwrap();
            }
            let refused = fleet.try_onto(partition(other), other, report("forged"), &[]).unwrap_err();
            assert_eq!(refused.kind, QueueErrorKind::Denied, "{refused}");
        }
        each_has_its_own(&site);
        for (fleet, tenant) in fleets.iter().zip(TENANTS) {
            fleet.try_onto(partition(tenant), tenant, "rubbish", &[]).unwrap();
        }
        let letters = site.until_letters(2);
        up.stop_in_order().unwrap();
        let user = user_for_letters(&node);
        let by_user = |arguments: &[&str]| site.done(&[&["dead-letters"], arguments, &["--queue", &user]].concat());
        // The newer one: those before it are written anew.
        let newer = letters[1]["id"].as_str().unwrap();
        assert!(by_user(&["show", newer]).contains("rubbish"));
        assert!(by_user(&["redrive", newer]).contains("1 dead letter was put back"));
        assert!(by_user(&["discard", "--all"]).contains("1 dead letter was thrown away"));
    }

    /// The address of a user with the permissions that the table has for `ronda dead-letters`.
    fn user_for_letters(node: &RabbitMq) -> String {
        let page = include_str!("../../docs/queues-rabbitmq.md").replace("\\|", "\0");
        let row = page.lines().find(|line| line.starts_with("| `ronda dead-letters` |")).expect("the row");
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`').replace('\0', "|")).collect();
        let [_, _, configure, write, read, _] = cells.as_slice() else { panic!("{row}") };
        node.control(&["add_user", "letters", "change-me"]).unwrap();
        node.control(&["set_permissions", "letters", configure, write, read]).unwrap();
        format!("amqp://letters:change-me@{}/%2f", node.address())
    }
}

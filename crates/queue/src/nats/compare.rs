//! How a stream differs from what it shall be.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, PersistenceMode};

use crate::broker::{BrokerOptions, Role};

use super::topology::{Names, PARTITIONS_KEY, config};

/// Something that is not as it shall be.
pub(super) struct Problem {
    /// Goes on after the stream's name.
    pub(super) detail: String,
    /// The queue can't be used like this.
    pub(super) fatal: bool,
}

/// How a stream differs from what it shall be.
pub(super) fn compare(names: &Names, role: Role, options: &BrokerOptions, actual: &Config) -> Vec<Problem> {
    let wanted = config(names, role, options);
    let mut problems = Vec::new();
    let mut add = |fatal: bool, detail: String| problems.push(Problem { detail, fatal });
    let partitions = options.partitions_of(role);
    match actual.metadata.get(PARTITIONS_KEY) {
        Some(made_with) if *made_with == partitions.to_string() => {
            if actual.subject_transform != wanted.subject_transform {
                let what = "has another subject transform than its number of partitions asks for, so that direct messages would go \
                            astray: drain it, delete it, and make it anew with 'ronda queue init'";
                add(true, what.to_owned());
            }
        }
        Some(made_with) => {
            let way_out = if role == Role::Commands {
                format!(
                    "change the setting back to {made_with}, or drain the queue and change it with 'ronda queue repartition'"
                )
            } else {
                format!(
                    "change the setting back to {made_with}, or drain the stream, delete it, and run 'ronda queue init'"
                )
            };
            add(true, format!("was made for {made_with} partitions, and {partitions} are asked for: {way_out}"));
        }
        None => {
            let what = format!("was not made by Ronda (it lacks the metadata {PARTITIONS_KEY}): choose another prefix");
            add(true, what);
        }
    }
    if let Some(missing) = wanted.subjects.iter().find(|subject| !actual.subjects.contains(subject)) {
        add(true, format!("does not take the subject {missing}: add it to the stream"));
    }
    if actual.retention != wanted.retention {
        add(true, String::from("does not keep messages until they are purged: its retention must be 'limits'"));
    }
    problems.extend(losses(role, actual));
    problems.extend(weaknesses(role, &wanted, actual));
    problems.extend(few_consumers(partitions, actual));
    problems
}

/// What makes a stream lose messages that nobody has processed, or keep what is done with, while server and disk are well.
fn losses(role: Role, actual: &Config) -> Vec<Problem> {
    let keeps = role != Role::DeadLetters;
    let drops_oldest = actual.discard != DiscardPolicy::New;
    let drops_per_subject = actual.max_messages_per_subject > 0 && !actual.discard_new_per_subject;
    let found = [
        (keeps && drops_oldest, "drops the oldest messages when it is full, processed or not: set discard to 'new'"),
        (keeps && actual.max_age > Duration::ZERO, "drops messages by their age, processed or not: set max_age to 0"),
        (
            keeps && drops_per_subject,
            "drops messages by their number, processed or not: set max_msgs_per_subject to -1",
        ),
        (keeps && actual.allow_rollup, "lets any message take away those before it: switch allow_rollup_hdrs off"),
        (
            keeps && actual.deny_purge,
            "lets nothing be purged (deny_purge), so it only fills up: make it anew without that",
        ),
        (actual.sealed, "is sealed, and takes nothing any more: make it anew"),
        (actual.no_ack, "confirms nothing, so nobody knows what it has: switch no_ack off"),
        (actual.mirror.is_some(), "is a mirror of another stream, and takes nothing of its own: make it anew"),
    ];
    let found = found.into_iter().filter(|(is_so, _)| *is_so);
    found.map(|(_, detail)| Problem { detail: detail.to_owned(), fatal: true }).collect()
}

/// What an operator may want so, and is told.
fn weaknesses(role: Role, wanted: &Config, actual: &Config) -> Vec<Problem> {
    let is_ring = role == Role::DeadLetters;
    let has_number = actual.max_messages > 0 || actual.max_messages_per_subject > 0;
    let has_limit = has_number || actual.max_age > Duration::ZERO;
    let is_slow_to_write = actual.persist_mode == Some(PersistenceMode::Async);
    let remembers_long = role == Role::Commands && actual.duplicate_window > wanted.duplicate_window;
    let found = [
        (is_ring && has_limit, "has a limit of age or messages: it can drop dead letters before it is full"),
        (is_ring && actual.discard != wanted.discard, "refuses when it is full: set discard to 'old'"),
        (!is_ring && has_number, "has a limit of messages: it can be full before its bytes are used up"),
        (actual.storage != wanted.storage, "is in memory: it loses everything when the server ends"),
        (is_slow_to_write, "confirms what is not written yet (persist_mode): a server that is killed loses it"),
        (actual.max_bytes <= 0, "has no limit of bytes: it can fill the server's disk"),
        (
            remembers_long,
            "drops a message whose id another one had, whoever sent either, for longer than need be: set duplicate_window to 100ms",
        ),
    ];
    let found = found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, detail)| detail.to_owned());
    let copies = (actual.num_replicas < wanted.num_replicas)
        .then(|| format!("has {} copies, and {} are asked for", actual.num_replicas, wanted.num_replicas));
    found.chain(copies).map(|detail| Problem { detail, fatal: false }).collect()
}

/// Whether it takes the consumers that reading needs: one a partition and one for all, and as many that are left over of a lost connection.
fn few_consumers(partitions: u32, actual: &Config) -> Option<Problem> {
    let needed = 2 * (i64::from(partitions) + 1);
    let most = i64::from(actual.max_consumers);
    let detail = format!(
        "takes {most} consumers, and its readers can need {needed} (one a partition and one for all, twice after a lost connection): set \
         max_consumers to -1"
    );
    (1..needed).contains(&most).then_some(Problem { detail, fatal: false })
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::{RetentionPolicy, StorageType};

    use super::*;

    fn details(role: Role, change: impl FnOnce(&mut Config)) -> Vec<(bool, String)> {
        let (names, options) = (Names::new("ronda"), BrokerOptions::new("nats://localhost"));
        let mut actual = config(&names, role, &options);
        change(&mut actual);
        compare(&names, role, &options, &actual).into_iter().map(|problem| (problem.fatal, problem.detail)).collect()
    }

    #[test]
    fn what_was_tuned_is_left_alone() {
        for role in Role::ALL {
            assert_eq!(details(role, |_| {}), []);
            let tuned = |config: &mut Config| {
                (config.max_bytes, config.num_replicas, config.max_consumers) = (123, 3, 34);
            };
            assert_eq!(details(role, tuned), []);
        }
    }

    #[test]
    fn a_stream_that_can_lose_what_nobody_processed_is_not_used() {
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 8] = [
            ("discard", |config| config.discard = DiscardPolicy::Old),
            ("max_age", |config| config.max_age = Duration::from_secs(60)),
            ("max_msgs_per_subject", |config| config.max_messages_per_subject = 5),
            ("allow_rollup_hdrs", |config| config.allow_rollup = true),
            ("deny_purge", |config| config.deny_purge = true),
            ("sealed", |config| config.sealed = true),
            ("no_ack", |config| config.no_ack = true),
            ("retention", |config| config.retention = RetentionPolicy::Interest),
        ];
        for (word, change) in changes {
            for role in [Role::Commands, Role::Events] {
                let found = details(role, change);
                assert!(found.iter().any(|(fatal, detail)| *fatal && detail.contains(word)), "{word}: {found:?}");
            }
        }
    }

    #[test]
    fn what_an_operator_may_want_is_told_and_used() {
        type Change = fn(&mut Config);
        let changes: [(&str, Change); 7] = [
            ("in memory", |config| config.storage = StorageType::Memory),
            ("persist_mode", |config| config.persist_mode = Some(PersistenceMode::Async)),
            ("limit of messages", |config| config.max_messages = 5),
            ("limit of bytes", |config| config.max_bytes = -1),
            ("duplicate_window", |config| config.duplicate_window = Duration::from_secs(120)),
            ("0 copies", |config| config.num_replicas = 0),
            ("max_consumers", |config| config.max_consumers = 33),
        ];
        for (word, change) in changes {
            let found = details(Role::Commands, change);
            assert!(matches!(&found[..], [(false, detail)] if detail.contains(word)), "{word}: {found:?}");
        }
        let ring =
            |config: &mut Config| (config.max_age, config.discard) = (Duration::from_secs(9), DiscardPolicy::New);
        assert!(matches!(&details(Role::DeadLetters, ring)[..], [(false, _), (false, _)]));
    }

    #[test]
    fn another_number_of_partitions_says_the_way_out() {
        let names = Names::new("ronda");
        let options = BrokerOptions::new("nats://localhost");
        let other = BrokerOptions { partitions: 8, ..options.clone() };
        let made = config(&names, Role::Commands, &other);
        let problems = compare(&names, Role::Commands, &options, &made);
        let fatal = problems.iter().find(|problem| problem.fatal).unwrap();
        assert!(fatal.detail.contains("for 8 partitions") && fatal.detail.contains("ronda queue repartition"));
    }
}

//! Names on the server, what the streams shall be like, and how they differ from it.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, SubjectTransform};

use crate::broker::{BrokerOptions, Role};
use crate::error::{QueueError, QueueErrorKind};
use crate::port::Partition;

/// Where a stream keeps the number of its partitions.
const PARTITIONS_KEY: &str = "ronda-partitions";
/// How long the server remembers the ids of direct messages: the least that it takes. It knows ids of the stream, not of a tenant, so it would
/// drop one tenant's message for another's id; the processor, which keeps tenants apart, counts an id once itself.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);
/// The tenant's place in the subject of a message that names none. No tenant can have this name.
const NO_TENANT: &str = "~";
const LEAST_BYTES: u64 = 1 << 20;

/// The names of streams and subjects.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    /// Names that begin with a prefix.
    pub(super) fn new(prefix: &str) -> Result<Self, QueueError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if prefix.is_empty() || prefix.len() > 64 || !prefix.chars().all(allowed) {
            let what = format!("the queues' prefix has 1 to 64 of a-z, 0-9, '-' and '_': {prefix:?} can't be used");
            return Err(QueueError::permanent(QueueErrorKind::InvalidOptions, what));
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// The stream of a queue.
    pub(super) fn stream(&self, role: Role) -> String {
        format!("{}_{}", self.prefix, role.name()).to_uppercase().replace('-', "_")
    }

    /// All that the stream of a queue takes.
    fn subjects(&self, role: Role) -> Vec<String> {
        let prefix = &self.prefix;
        match role {
            Role::Commands => ["in.*.*", "f.*.*", "p.*.*"].into_iter().map(|rest| format!("{prefix}.{rest}")).collect(),
            Role::Events | Role::DeadLetters => vec![format!("{prefix}.{}.*", role.name())],
        }
    }

    /// Where our own messages to a partition go.
    pub(super) fn own(&self, role: Role, partition: Partition) -> String {
        let prefix = &self.prefix;
        match role {
            // As many tokens as the direct ones have: one filter takes in both, which costs the server much less than two.
            Role::Commands => format!("{prefix}.f.{partition}.1"),
            Role::Events | Role::DeadLetters => format!("{prefix}.{}.{partition}", role.name()),
        }
    }

    /// Where direct messages of a partition lie, and may be published to by whoever knows the partition.
    pub(super) fn direct(&self, partition: Partition, tenant: Option<&str>) -> Result<String, QueueError> {
        let tenant = tenant.unwrap_or(NO_TENANT);
        if tenant.is_empty() || tenant.contains(['.', '*', '>']) || tenant.contains(char::is_whitespace) {
            let what = format!("a tenant of the name {tenant:?} can't be part of a subject");
            return Err(QueueError::permanent(QueueErrorKind::InvalidOptions, what));
        }
        Ok(format!("{}.p.{partition}.{tenant}", self.prefix))
    }

    /// Takes in all messages of a partition, and no others of its stream.
    pub(super) fn filter(&self, role: Role, partition: Partition) -> String {
        match role {
            Role::Commands => format!("{}.*.{partition}.*", self.prefix),
            Role::Events | Role::DeadLetters => self.own(role, partition),
        }
    }

    /// The partition of a message that lies in a stream.
    pub(super) fn partition_of(&self, subject: &str) -> Option<Partition> {
        let rest = subject.strip_prefix(self.prefix.as_str())?.strip_prefix('.')?;
        rest.split('.').nth(1)?.parse().ok()
    }

    /// Of a message that came directly: the tenant that its subject names. Else `None`.
    pub(super) fn direct_tenant<'a>(&self, subject: &'a str) -> Option<Option<&'a str>> {
        let rest = subject.strip_prefix(self.prefix.as_str())?.strip_prefix(".p.")?;
        let (_, tenant) = rest.split_once('.')?;
        Some((tenant != NO_TENANT).then_some(tenant))
    }

    /// Where the server puts what is published to `in`: FNV-1a 32 of tenant and scheduler, modulo the number of partitions.
    fn transform(&self, partitions: u32) -> SubjectTransform {
        let prefix = &self.prefix;
        SubjectTransform {
            source: format!("{prefix}.in.*.*"),
            destination: format!("{prefix}.p.{{{{partition({partitions},1,2)}}}}.{{{{wildcard(1)}}}}"),
        }
    }
}

/// Something that is not as it shall be.
pub(super) struct Problem {
    /// Goes on after the stream's name.
    pub(super) detail: String,
    /// The queue can't be used like this.
    pub(super) fatal: bool,
}

/// What the stream of a queue shall be like.
pub(super) fn config(names: &Names, role: Role, options: &BrokerOptions) -> Config {
    let mut config = Config {
        name: names.stream(role),
        description: Some(format!("Ronda: {}", role.name())),
        subjects: names.subjects(role),
        retention: RetentionPolicy::Limits,
        // Full means unprocessed, and is told to the publisher; only the dead letters are a ring.
        discard: if role == Role::DeadLetters { DiscardPolicy::Old } else { DiscardPolicy::New },
        max_bytes: i64::try_from(max_bytes(role, options)).unwrap_or(i64::MAX),
        storage: StorageType::File,
        num_replicas: options.replicas.max(1) as usize,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    };
    set_partitions_of(names, role, &mut config, options.partitions_of(role));
    config
}

/// The events get a quarter of the room of the commands, the dead letters a sixteenth.
fn max_bytes(role: Role, options: &BrokerOptions) -> u64 {
    let bytes = match role {
        Role::Commands => options.max_bytes,
        Role::Events => options.max_bytes / 4,
        Role::DeadLetters => options.max_bytes / 16,
    };
    bytes.max(LEAST_BYTES)
}

/// Changes the number of partitions of the commands.
pub(super) fn set_partitions(names: &Names, config: &mut Config, partitions: u32) {
    set_partitions_of(names, Role::Commands, config, partitions);
}

fn set_partitions_of(names: &Names, role: Role, config: &mut Config, partitions: u32) {
    config.metadata.insert(PARTITIONS_KEY.to_owned(), partitions.to_string());
    if role == Role::Commands {
        config.subject_transform = Some(names.transform(partitions));
    }
}

/// What was made, for people.
pub(super) fn description(role: Role, options: &BrokerOptions) -> String {
    let (partitions, bytes) = (options.partitions_of(role), max_bytes(role, options));
    let copies = options.replicas.max(1);
    let when_full = if role == Role::DeadLetters { "then drops the oldest" } else { "then refuses" };
    format!("made with {partitions} partitions, {copies} copies; holds {bytes} bytes and {when_full}")
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
    if actual.max_age > Duration::ZERO || actual.max_messages > 0 || actual.max_messages_per_subject > 0 {
        add(false, String::from("has a limit of age or messages: it can drop what is not processed"));
    }
    if actual.discard != wanted.discard {
        let what = if role == Role::DeadLetters {
            "refuses when it is full: set discard to 'old'"
        } else {
            "drops the oldest messages when it is full, processed or not: set discard to 'new'"
        };
        add(false, what.to_owned());
    }
    if actual.storage != wanted.storage {
        add(false, String::from("is in memory: it loses everything when the server ends"));
    }
    if actual.num_replicas < wanted.num_replicas {
        add(false, format!("has {} copies, and {} are asked for", actual.num_replicas, wanted.num_replicas));
    }
    if actual.max_bytes <= 0 {
        add(false, String::from("has no limit of bytes: it can fill the server's disk"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_tell_our_own_messages_from_direct_ones() {
        let names = Names::new("ronda").unwrap();
        assert_eq!(names.stream(Role::DeadLetters), "RONDA_DEAD_LETTERS");
        assert_eq!(names.direct_tenant(&names.own(Role::Commands, 3)), None);
        assert_eq!(names.direct_tenant(&names.direct(3, Some("acme")).unwrap()), Some(Some("acme")));
        assert_eq!(names.direct_tenant(&names.direct(3, None).unwrap()), Some(None));
        for role in Role::ALL {
            assert_eq!(names.partition_of(&names.own(role, 7)), Some(7));
        }
        assert_eq!(names.partition_of(&names.direct(7, Some("8")).unwrap()), Some(7));
        assert_eq!(names.direct_tenant("ronda-two.p.3.acme"), None);
        for tenant in ["", "a.b", "*", ">", "a b"] {
            assert!(names.direct(0, Some(tenant)).is_err(), "{tenant:?}");
        }
        for prefix in ["", "Ronda", "a.b", "a*"] {
            assert!(Names::new(prefix).is_err(), "{prefix:?}");
        }
    }

    #[test]
    fn what_differs_is_said_and_what_was_tuned_is_left_alone() {
        let names = Names::new("ronda").unwrap();
        let options = BrokerOptions::new("nats://localhost");
        for role in Role::ALL {
            let made = config(&names, role, &options);
            assert!(compare(&names, role, &options, &made).is_empty());
            let tuned = Config { max_bytes: 123, num_replicas: 3, max_consumers: 9, ..made.clone() };
            assert!(compare(&names, role, &options, &tuned).is_empty());
            let lossy = Config { max_age: Duration::from_secs(60), storage: StorageType::Memory, ..made };
            let problems = compare(&names, role, &options, &lossy);
            assert_eq!((problems.len(), problems.iter().any(|problem| problem.fatal)), (2, false));
        }
        let other = BrokerOptions { partitions: 8, ..options.clone() };
        let made = config(&names, Role::Commands, &other);
        let problems = compare(&names, Role::Commands, &options, &made);
        let fatal = problems.iter().find(|problem| problem.fatal).unwrap();
        assert!(fatal.detail.contains("for 8 partitions") && fatal.detail.contains("ronda queue repartition"));
    }
}

//! Names on the server, and what the streams shall be like.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, SubjectTransform};

use crate::broker::{BrokerOptions, Role};
use crate::error::{QueueError, QueueErrorKind};
use crate::port::Partition;

/// Where a stream keeps the number of its partitions.
pub(super) const PARTITIONS_KEY: &str = "ronda-partitions";
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
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The stream of a queue.
    pub(super) fn stream(&self, role: Role) -> String {
        format!("{}_{}", self.prefix, role.name()).to_uppercase().replace('-', "_")
    }

    /// All that the stream of a queue takes.
    pub(super) fn subjects(&self, role: Role) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_tell_our_own_messages_from_direct_ones() {
        let names = Names::new("ronda");
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
    }
}

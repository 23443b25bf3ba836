//! What is on the broker: names, kinds and arguments.

use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable, LongString};

use crate::broker::{BrokerOptions, Role};

/// A quorum queue drops or dead-letters what was given back this often, and a client that dies gives back all that it had in hand. The
/// processor deals with what can't be read, so this is never to be reached; "never" itself can't be said before 4.0.
const DELIVERY_LIMIT: i64 = 1_000_000;
/// Most bytes of dead letters; the oldest go.
const DEAD_LETTER_BYTES: u64 = 256 << 20;

/// An exchange.
pub(super) struct Exchange {
    pub(super) name: String,
    pub(super) kind: ExchangeKind,
    /// Only the broker itself publishes to it.
    pub(super) internal: bool,
    pub(super) arguments: FieldTable,
}

/// A queue, and what is routed to it.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) arguments: FieldTable,
    /// Exchange and routing key.
    pub(super) bindings: Vec<(String, String)>,
}

/// How everything is named and made.
#[derive(Clone)]
pub(super) struct Layout {
    prefix: String,
    partitions: u32,
    event_partitions: u32,
    max_bytes: u64,
    replicas: u32,
}

impl Layout {
    pub(super) fn new(options: &BrokerOptions) -> Self {
        Self {
            prefix: options.prefix.clone(),
            partitions: options.partitions,
            event_partitions: options.event_partitions,
            max_bytes: options.max_bytes,
            replicas: options.replicas,
        }
    }

    /// The same with another number of partitions of the commands.
    pub(super) fn with_partitions(&self, partitions: u32) -> Self {
        Self { partitions, ..self.clone() }
    }

    pub(super) const fn partitions_of(&self, role: Role) -> u32 {
        match role {
            Role::Commands => self.partitions,
            Role::Events => self.event_partitions,
            Role::DeadLetters => 1,
        }
    }

    /// The exchange that Ronda's own messages go through.
    pub(super) fn own_exchange(&self, role: Role) -> String {
        match role {
            Role::Commands => format!("{}.frames", self.prefix),
            Role::Events | Role::DeadLetters => format!("{}.{}", self.prefix, role.name()),
        }
    }

    /// The exchange for others, with the routing key `PARTITION.TENANT`.
    pub(super) fn direct_exchange(&self) -> String {
        format!("{}.in", self.prefix)
    }

    /// Where the broker itself puts what it would drop.
    fn dropped_exchange(&self) -> String {
        format!("{}.dropped", self.prefix)
    }

    pub(super) fn queue(&self, role: Role, partition: u32) -> String {
        match role {
            Role::DeadLetters => format!("{}.{}", self.prefix, role.name()),
            Role::Commands | Role::Events => format!("{}.{}.{partition}", self.prefix, role.name()),
        }
    }

    /// An exchange that nothing goes through: its alternate exchange, which the broker compares with what is declared and can't be
    /// changed, names the number of partitions.
    pub(super) fn marker(&self, role: Role) -> Option<Exchange> {
        if role == Role::DeadLetters {
            return None;
        }
        let made = self.mark(&self.partitions_of(role).to_string());
        let mut arguments = FieldTable::default();
        arguments.insert("alternate-exchange".into(), AMQPValue::LongString(made.into()));
        let name = format!("{}.{}.partitions", self.prefix, role.name());
        Some(Exchange { name, kind: ExchangeKind::Fanout, internal: true, arguments })
    }

    fn mark(&self, partitions: &str) -> String {
        format!("{}.partitions.{partitions}", self.prefix)
    }

    /// The number that a marker names.
    pub(super) fn marked(&self, alternate_exchange: &str) -> Option<u32> {
        alternate_exchange.strip_prefix(&self.mark(""))?.parse().ok()
    }

    pub(super) fn exchanges(&self, role: Role) -> Vec<Exchange> {
        let exchange = |name, kind, internal| Exchange { name, kind, internal, arguments: FieldTable::default() };
        let own = exchange(self.own_exchange(role), ExchangeKind::Direct, false);
        match role {
            Role::Commands => vec![own, exchange(self.direct_exchange(), ExchangeKind::Topic, false)],
            Role::Events => vec![own],
            Role::DeadLetters => vec![own, exchange(self.dropped_exchange(), ExchangeKind::Fanout, true)],
        }
    }

    pub(super) fn places(&self, role: Role) -> impl Iterator<Item = Place> + Send {
        (0..self.partitions_of(role)).map(move |partition| self.place(role, partition))
    }

    fn place(&self, role: Role, partition: u32) -> Place {
        let mut bindings = vec![(self.own_exchange(role), partition.to_string())];
        match role {
            Role::Commands => bindings.push((self.direct_exchange(), format!("{partition}.#"))),
            Role::Events => {}
            Role::DeadLetters => bindings.push((self.dropped_exchange(), String::new())),
        }
        Place { name: self.queue(role, partition), arguments: self.arguments(role), bindings }
    }

    fn arguments(&self, role: Role) -> FieldTable {
        let text = |text: &str| AMQPValue::LongString(LongString::from(text));
        let number = |number: u64| AMQPValue::LongLongInt(i64::try_from(number).unwrap_or(i64::MAX));
        let (overflow, bytes) = match role {
            Role::DeadLetters => ("drop-head", self.max_bytes.min(DEAD_LETTER_BYTES)),
            Role::Commands | Role::Events => {
                ("reject-publish", self.max_bytes / u64::from(self.partitions_of(role).max(1)))
            }
        };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        arguments.insert("x-overflow".into(), text(overflow));
        arguments.insert("x-max-length-bytes".into(), number(bytes.max(1)));
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
        arguments.insert("x-quorum-initial-group-size".into(), number(u64::from(self.replicas.max(1))));
        arguments.insert("x-queue-leader-locator".into(), text("balanced"));
        if role != Role::DeadLetters {
            arguments.insert("x-dead-letter-exchange".into(), text(&self.dropped_exchange()));
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_documentation_says() {
        let layout = Layout::new(&BrokerOptions { partitions: 2, ..BrokerOptions::new("amqp://localhost") });
        let places: Vec<_> = layout.places(Role::Commands).collect();
        assert_eq!(places[1].name, "ronda.commands.1");
        let key = |exchange: &str, key: &str| (exchange.to_owned(), key.to_owned());
        assert_eq!(places[1].bindings, [key("ronda.frames", "1"), key("ronda.in", "1.#")]);
        assert_eq!(
            layout.places(Role::DeadLetters).map(|place| place.name).collect::<Vec<_>>(),
            ["ronda.dead-letters"]
        );
        let marker = layout.marker(Role::Commands).unwrap();
        assert_eq!(marker.name, "ronda.commands.partitions");
        assert_eq!(layout.marked("ronda.partitions.16"), Some(16));
        assert_eq!(layout.marked("other.partitions.16"), None);
    }
}

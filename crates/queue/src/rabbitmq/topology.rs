//! Making and checking what is on the broker.
//!
//! Whether something exists is asked by a passive declaration, which needs no permission. Whether it is as it shall be is asked by
//! declaring it: the broker compares, and names the first difference. That needs the permission to configure; without it what is there is
//! taken as it is.

use std::time::Duration;

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind};
use tokio::time::timeout;

use super::connection::{failure, unavailable};
use super::layout::{Exchange, Layout, Place};
use crate::broker::{Finding, Role};
use crate::error::{QueueError, QueueErrorKind};

/// Making a replicated queue takes longer than other answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Arguments that may differ: what is there works, if not quite as the settings say.
const TOLERATED: [&str; 5] = [
    "x-max-length-bytes",
    "x-delivery-limit",
    "x-quorum-initial-group-size",
    "x-queue-leader-locator",
    "x-dead-letter-exchange",
];

/// What it means that another argument differs: the queue's type, or what it does when it is full, or a time after which messages go.
const UNUSABLE: &str = "is not as Ronda makes it, and may lose or reorder what nobody has processed: work it off with what made it, delete it, \
                        and run 'ronda queue init'";

/// What it means that one of the tolerated differs.
fn meaning(argument: &str) -> &'static str {
    match argument {
        "x-delivery-limit" => {
            "puts a message aside that was given back so often, as it is by each processor that dies, processed or not: it goes to the dead \
             letters, out of its order"
        }
        "x-dead-letter-exchange" => "does not keep among Ronda's dead letters what RabbitMQ drops",
        "x-max-length-bytes" => "holds another number of bytes than the settings say",
        "x-quorum-initial-group-size" => "was made with another number of replicas than the settings say",
        _ => "has its leader placed otherwise",
    }
}

/// A finding, and whether it keeps a queue from being used.
pub(super) struct Difference {
    pub(super) finding: Finding,
    pub(super) unusable: bool,
}

enum Answer<T> {
    Yes(T),
    Missing,
    Differs(String),
    Refused,
}

/// A connection to make and to check things by.
pub(super) struct Admin {
    connection: Connection,
    channel: Option<Channel>,
    uncompared: u64,
}

impl Admin {
    pub(super) const fn new(connection: Connection) -> Self {
        Self { connection, channel: None, uncompared: 0 }
    }

    pub(super) async fn close(self) {
        let _ = timeout(Duration::from_secs(1), self.connection.close(200, "done".into())).await;
    }

    /// How many places that are there could not be compared, without the permission to configure.
    pub(super) const fn uncompared(&self) -> u64 {
        self.uncompared
    }

    /// What is missing or different of a role.
    pub(super) async fn survey(&mut self, layout: &Layout, role: Role) -> Result<Vec<Difference>, QueueError> {
        let mut differences = Vec::new();
        if let Some(marker) = layout.marker(role) {
            if self.exchange_exists(&marker.name).await? {
                match self.declare_exchange(&marker).await? {
                    Answer::Differs(said) => return Ok(vec![other_partitions(layout, role, marker.name, &said)]),
                    Answer::Refused => {
                        self.uncompared += 1;
                        differences.extend(self.one_too_many(layout, role).await?);
                    }
                    Answer::Yes(()) | Answer::Missing => {}
                }
            } else {
                differences.push(missing(marker.name, "the exchange that keeps the number of partitions"));
            }
        }
        for exchange in layout.exchanges(role) {
            if !self.exchange_exists(&exchange.name).await? {
                differences.push(missing(exchange.name, "the exchange"));
                continue;
            }
            match self.declare_exchange(&exchange).await? {
                Answer::Differs(said) => differences.push(different(exchange.name, said, true)),
                Answer::Refused => self.uncompared += 1,
                Answer::Yes(()) | Answer::Missing => {}
            }
        }
        for place in layout.places(role) {
            if self.stand(&place.name).await?.is_none() {
                differences.push(missing(place.name, "the queue"));
            } else {
                differences.extend(self.compare(&place).await?);
            }
        }
        Ok(differences)
    }

    /// Makes what is missing of a role; answers what that was.
    pub(super) async fn make(&mut self, layout: &Layout, role: Role) -> Result<Vec<Finding>, QueueError> {
        let mut made = Vec::new();
        // The marker first: of two that make different numbers at once, one is refused before it made anything.
        for exchange in layout.marker(role).into_iter().chain(layout.exchanges(role)) {
            let was_there = self.exchange_exists(&exchange.name).await?;
            match self.declare_exchange(&exchange).await? {
                Answer::Yes(()) if !was_there => made.push(new(exchange.name, "an exchange")),
                Answer::Yes(()) => {}
                Answer::Differs(said) => {
                    let is_marker = layout.marker(role).is_some_and(|marker| marker.name == exchange.name);
                    let found = if is_marker {
                        other_partitions(layout, role, exchange.name, &said)
                    } else {
                        different(exchange.name, said, true)
                    };
                    return Err(mismatch(&found.finding));
                }
                Answer::Refused | Answer::Missing => return Err(denied(&exchange.name)),
            }
        }
        for place in layout.places(role) {
            if self.stand(&place.name).await?.is_none() {
                match self.declare_queue(&place.name, place.arguments.clone()).await? {
                    Answer::Yes(()) => made.push(new(place.name.clone(), "a quorum queue")),
                    Answer::Differs(said) => return Err(mismatch(&different(place.name, said, true).finding)),
                    Answer::Refused | Answer::Missing => return Err(denied(&place.name)),
                }
            } else if let Some(found) = self.compare(&place).await?.iter().find(|found| found.unusable) {
                return Err(mismatch(&found.finding));
            }
            // Bindings can't be asked for; making one again changes nothing.
            self.bind(&place, true).await?;
        }
        Ok(made)
    }

    /// Makes the commands anew with another number of partitions, if there is nothing in them and nobody reads them.
    pub(super) async fn repartition(&mut self, layout: &Layout, partitions: u32) -> Result<(), QueueError> {
        let old = layout.with_partitions(self.made_with(layout, Role::Commands).await?);
        if old.partitions_of(Role::Commands) == partitions {
            return Ok(());
        }
        let mut places = Vec::new();
        for place in old.places(Role::Commands) {
            if self.stand(&place.name).await?.is_some() {
                places.push(place);
            }
        }
        // Quorum queues know no "delete only if empty". So nothing is let in any more, publishers are told that their messages were returned,
        // and only then it is looked whether anything is left.
        for place in &places {
            self.bind(place, false).await?;
        }
        if let Some(error) = self.in_use(&places).await? {
            for place in &places {
                self.bind(place, true).await?;
            }
            return Err(error);
        }
        for place in &places {
            let name = ShortString::from(place.name.as_str());
            let deleting =
                move |channel: Channel| async move { channel.queue_delete(name, QueueDeleteOptions::default()).await };
            if let Answer::Refused = self.ask("deleting a queue", deleting).await? {
                return Err(denied(&place.name));
            }
        }
        if let Some(marker) = old.marker(Role::Commands) {
            let name = ShortString::from(marker.name.as_str());
            let deleting = move |channel: Channel| async move {
                channel.exchange_delete(name, ExchangeDeleteOptions::default()).await
            };
            self.ask("deleting an exchange", deleting).await?;
        }
        self.make(&layout.with_partitions(partitions), Role::Commands).await.map(drop)
    }

    async fn in_use(&mut self, places: &[Place]) -> Result<Option<QueueError>, QueueError> {
        for place in places {
            let Some((messages, consumers)) = self.stand(&place.name).await? else { continue };
            if messages > 0 || consumers > 0 {
                let detail = format!(
                    "{} has {messages} messages and {consumers} consumers: let the processors work off what is in it, stop them, and try again",
                    place.name
                );
                return Ok(Some(QueueError::permanent(QueueErrorKind::Mismatch, detail)));
            }
        }
        Ok(None)
    }

    /// The number of partitions that a role was made with.
    async fn made_with(&mut self, layout: &Layout, role: Role) -> Result<u32, QueueError> {
        let here = layout.partitions_of(role);
        let Some(marker) = layout.marker(role) else { return Ok(here) };
        if !self.exchange_exists(&marker.name).await? {
            return Ok(here);
        }
        match self.declare_exchange(&marker).await? {
            Answer::Yes(()) => Ok(here),
            Answer::Differs(said) => {
                Difference::current(&said).and_then(|current| layout.marked(&current)).ok_or_else(|| {
                    QueueError::permanent(QueueErrorKind::Mismatch, format!("{} is not Ronda's: {said}", marker.name))
                })
            }
            Answer::Refused | Answer::Missing => Err(denied(&marker.name)),
        }
    }

    /// Without the permission to compare, the queues themselves tell that there are more partitions than asked for.
    async fn one_too_many(&mut self, layout: &Layout, role: Role) -> Result<Option<Difference>, QueueError> {
        let here = layout.partitions_of(role);
        let beyond = layout.queue(role, here);
        let more = self.stand(&beyond).await?.is_some();
        Ok(more
            .then(|| different(beyond, format!("it was made with more partitions than {here}; {}", way_out()), true)))
    }

    /// Whether a queue is as it shall be.
    async fn compare(&mut self, place: &Place) -> Result<Vec<Difference>, QueueError> {
        let mut arguments = place.arguments.clone();
        let mut differences = Vec::new();
        // The broker names one difference at a time, so what is there is taken over until nothing differs.
        for _ in 0..=TOLERATED.len() {
            let said = match self.declare_queue(&place.name, arguments.clone()).await? {
                Answer::Differs(said) => said,
                Answer::Refused => {
                    self.uncompared += 1;
                    break;
                }
                Answer::Yes(()) | Answer::Missing => break,
            };
            let argument = TOLERATED.into_iter().find(|argument| said.contains(&format!("'{argument}'")));
            let meaning = argument.map_or(UNUSABLE, meaning);
            differences.push(different(place.name.clone(), format!("{meaning} ({said})"), argument.is_none()));
            let Some(argument) = argument else { break };
            arguments = without(&arguments, argument);
            if let Some(current) = Difference::current(&said) {
                let value =
                    current.parse().map_or_else(|_| AMQPValue::LongString(current.into()), AMQPValue::LongLongInt);
                arguments.insert(argument.into(), value);
            }
        }
        Ok(differences)
    }

    async fn exchange_exists(&mut self, name: &str) -> Result<bool, QueueError> {
        let name = ShortString::from(name);
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let declaring = move |channel: Channel| async move {
            // A passive declaration compares nothing, the kind included.
            channel.exchange_declare(name, lapin::ExchangeKind::Direct, options, FieldTable::default()).await
        };
        Ok(matches!(self.ask("asking for an exchange", declaring).await?, Answer::Yes(())))
    }

    /// How many messages wait in a queue, and for how many consumers; `None`: it is not there.
    pub(super) async fn stand(&mut self, name: &str) -> Result<Option<(u32, u32)>, QueueError> {
        let name = ShortString::from(name);
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declaring =
            move |channel: Channel| async move { channel.queue_declare(name, options, FieldTable::default()).await };
        Ok(match self.ask("asking for a queue", declaring).await? {
            Answer::Yes(queue) => Some((queue.message_count(), queue.consumer_count())),
            _ => None,
        })
    }

    async fn declare_exchange(&mut self, exchange: &Exchange) -> Result<Answer<()>, QueueError> {
        let (name, kind) = (ShortString::from(exchange.name.as_str()), exchange.kind.clone());
        let arguments = exchange.arguments.clone();
        let options =
            ExchangeDeclareOptions { durable: true, internal: exchange.internal, ..ExchangeDeclareOptions::default() };
        self.ask("declaring an exchange", move |channel: Channel| async move {
            channel.exchange_declare(name, kind, options, arguments).await
        })
        .await
    }

    async fn declare_queue(&mut self, name: &str, arguments: FieldTable) -> Result<Answer<()>, QueueError> {
        let name = ShortString::from(name);
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.ask("declaring a queue", move |channel: Channel| async move {
            channel.queue_declare(name, options, arguments).await.map(drop)
        })
        .await
    }

    async fn bind(&mut self, place: &Place, bound: bool) -> Result<(), QueueError> {
        for (exchange, key) in &place.bindings {
            let queue = ShortString::from(place.name.as_str());
            let (exchange, key) = (ShortString::from(exchange.as_str()), ShortString::from(key.as_str()));
            let answer = self.ask("binding a queue", move |channel: Channel| async move {
                if bound {
                    channel.queue_bind(queue, exchange, key, QueueBindOptions::default(), FieldTable::default()).await
                } else {
                    channel.queue_unbind(queue, exchange, key, FieldTable::default()).await
                }
            });
            if !matches!(answer.await?, Answer::Yes(())) {
                return Err(denied(&place.name));
            }
        }
        Ok(())
    }

    /// Asks for something on a channel; a refusal ends the channel, and the next question has another.
    async fn ask<T, F>(&mut self, doing: &str, call: impl FnOnce(Channel) -> F + Send) -> Result<Answer<T>, QueueError>
    where
        F: Future<Output = lapin::Result<T>> + Send,
    {
        let usable = self.channel.take().filter(|channel| channel.status().connected());
        let asking = async {
            let channel = match usable {
                Some(channel) => channel,
                None => self.connection.create_channel().await?,
            };
            let answer = call(channel.clone()).await?;
            Ok::<_, lapin::Error>((channel, answer))
        };
        let asked = timeout(ANSWER_WITHIN, asking).await;
        let error = match asked {
            Ok(Ok((channel, answer))) => {
                self.channel = Some(channel);
                return Ok(Answer::Yes(answer));
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(unavailable(format!("{doing}: RabbitMQ did not answer within {ANSWER_WITHIN:?}"))),
        };
        let ErrorKind::ProtocolError(said) = error.kind() else { return Err(failure(doing, error)) };
        let text = said.get_message().to_string();
        match said.get_id() {
            // A queue whose replicas are down is not found either, but it is there.
            404 if text.contains("no queue") || text.contains("no exchange") => Ok(Answer::Missing),
            404 => Err(unavailable(format!("{doing}: RabbitMQ says {text}"))),
            406 => Ok(Answer::Differs(text)),
            403 => Ok(Answer::Refused),
            _ => Err(failure(doing, error)),
        }
    }
}

impl Difference {
    /// What the broker says that is there: `… but current is the value '4' of type 'long'`, or in other places `… but current is '4'`.
    fn current(said: &str) -> Option<String> {
        let (_, current) = said.split_once("but current is")?;
        let (_, value) = current.split_once('\'')?;
        value.split_once('\'').map(|(value, _)| value.to_owned())
    }
}

fn without(arguments: &FieldTable, name: &str) -> FieldTable {
    let mut rest = FieldTable::default();
    for (key, value) in arguments.inner().iter().filter(|(key, _)| key.as_str() != name) {
        rest.insert(key.clone(), value.clone());
    }
    rest
}

fn missing(place: String, what: &str) -> Difference {
    let detail = format!("{what} is not there: 'ronda queue init' makes it");
    Difference { finding: Finding { place, detail, mendable: true, stops: false }, unusable: true }
}

/// What was made.
fn new(place: String, what: &str) -> Finding {
    Finding { place, detail: format!("{what} that was not there"), mendable: true, stops: false }
}

fn different(place: String, said: String, unusable: bool) -> Difference {
    Difference { finding: Finding { place, detail: said, mendable: false, stops: unusable }, unusable }
}

fn other_partitions(layout: &Layout, role: Role, place: String, said: &str) -> Difference {
    let made = Difference::current(said).and_then(|current| layout.marked(&current));
    let made = made.map_or_else(|| String::from("another number of"), |made| made.to_string());
    let here = layout.partitions_of(role);
    let detail =
        format!("the {} were made with {made} partitions, and the settings say {here}; {}", role.name(), way_out());
    different(place, detail, true)
}

fn way_out() -> &'static str {
    "set that number, or let everything be worked off and run 'ronda queue repartition'"
}

fn mismatch(finding: &Finding) -> QueueError {
    QueueError::permanent(QueueErrorKind::Mismatch, format!("{}: {}", finding.place, finding.detail))
}

fn denied(place: &str) -> QueueError {
    QueueError::permanent(
        QueueErrorKind::Denied,
        format!(
            "{place} can't be made or changed: the user needs the permissions to configure, to write and to read it"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_has_is_read_from_its_words() {
        let said = "PRECONDITION_FAILED - inequivalent arg 'x-max-length-bytes' for queue 'q' in vhost '/': received the value '1' of type \
                    'long' but current is the value '20' of type 'long'";
        assert_eq!(Difference::current(said).as_deref(), Some("20"));
        assert_eq!(
            Difference::current("… received '1' but current is 'ronda.partitions.4'").as_deref(),
            Some("ronda.partitions.4")
        );
        assert_eq!(Difference::current("… received the value '1' of type 'long' but current is none"), None);
    }
}

//! The queues on Amazon SQS: their names and attributes; how they are found, made, checked and repartitioned.
//!
//! Each partition is a FIFO queue with one message group. The number of partitions is remembered in a tag of every queue; that of
//! partition 0 decides.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::address::Address;
use super::client::{Clients, Waits};
use super::errors;
use crate::broker::{BrokerOptions, Finding, Role};
use crate::error::{QueueError, QueueErrorKind};

/// The tag with the number of partitions.
const PARTITIONS_TAG: &str = "ronda-partitions";
const RETENTION_SECONDS: u32 = 14 * 24 * 3_600;
/// How long it may take until a queue that was made is found; one second, says Amazon.
const FOUND_WITHIN: Duration = Duration::from_secs(10);
/// Calls about queues at one time.
const AT_ONCE: usize = 8;

/// The queues of one prefix.
#[derive(Clone)]
pub(super) struct Topology {
    pub(super) clients: Clients,
    prefix: String,
    max_message_bytes: usize,
    visibility_seconds: u32,
}

impl Topology {
    pub(super) fn new(clients: Clients, options: &BrokerOptions, address: &Address) -> Self {
        Self {
            clients,
            prefix: options.prefix.clone(),
            max_message_bytes: address.max_message_bytes,
            visibility_seconds: address.visibility_seconds,
        }
    }

    /// The name of a partition's queue.
    pub(super) fn name(&self, role: Role, partition: u32) -> String {
        format!("{}-{}-{partition}.fifo", self.prefix, role.name())
    }

    /// The URLs of all partitions' queues, which can be used as they are.
    pub(super) async fn find(&self, role: Role, partitions: u32) -> Result<Vec<String>, QueueError> {
        self.known_partitions(role, partitions).await?;
        let urls = self.urls(role, partitions).await?;
        let usable = (0..partitions).zip(urls).map(|(partition, url)| self.usable(role, partition, url));
        stream::iter(usable).buffered(AT_ONCE).try_collect().await
    }

    /// The URL of a queue that takes nothing away; what else is to be said of it is logged.
    async fn usable(&self, role: Role, partition: u32, url: Option<String>) -> Result<String, QueueError> {
        let name = self.name(role, partition);
        let url =
            url.ok_or_else(|| mismatch(format!("the queue {name} does not exist: make it with 'ronda queue init'")))?;
        for Difference { detail, .. } in self.tolerated(role, partition, &url).await? {
            tracing::warn!(queue = name, "this queue {detail}");
        }
        Ok(url)
    }

    /// How a queue differs without being unusable.
    async fn tolerated(&self, role: Role, partition: u32, url: &str) -> Result<Vec<Difference>, QueueError> {
        let differences = self.differences(role, url).await?;
        match differences.iter().find(|difference| difference.unusable) {
            Some(found) => Err(mismatch(format!("the queue {} {}", self.name(role, partition), found.detail))),
            None => Ok(differences),
        }
    }

    /// Makes what is missing.
    pub(super) async fn init(&self, role: Role, partitions: u32) -> Result<Vec<Finding>, QueueError> {
        let known = self.known_partitions(role, partitions).await?;
        let mut missing = Vec::new();
        for (partition, url) in (0..partitions).zip(self.urls(role, partitions).await?) {
            match url {
                Some(url) => drop(self.tolerated(role, partition, &url).await?),
                None => missing.push(partition),
            }
        }
        // Partition 0 last: as long as it is not there, nobody takes the others for whole.
        missing.sort_by_key(|partition| (*partition == 0, *partition));
        let mut made = Vec::new();
        for partition in missing {
            self.make(role, partition, partitions).await?;
            made.push(self.mendable(role, partition, "made"));
        }
        if !made.is_empty() {
            self.wait_for(role, partitions).await?;
        }
        if known.is_none() && !made.iter().any(|finding| finding.place == self.name(role, 0)) {
            self.tag(&self.name(role, 0), partitions).await?;
            made.push(self.mendable(role, 0, "noted how many partitions there are"));
        }
        Ok(made)
    }

    /// What is missing or not as it shall be.
    pub(super) async fn check(&self, role: Role, partitions: u32) -> Result<Vec<Finding>, QueueError> {
        let known = match self.known_partitions(role, partitions).await {
            Ok(known) => known,
            Err(error) if error.kind == QueueErrorKind::Mismatch => {
                return Ok(vec![self.finding(role, 0, &error.message, true)]);
            }
            Err(error) => return Err(error),
        };
        let mut findings = Vec::new();
        let urls = self.urls(role, partitions).await?;
        for (partition, url) in (0..partitions).zip(urls) {
            let Some(url) = url else {
                findings.push(self.mendable(role, partition, "does not exist: 'ronda queue init' makes it"));
                continue;
            };
            for difference in self.differences(role, &url).await? {
                findings.push(self.finding(role, partition, &difference.detail, difference.unusable));
            }
            if partition == 0 && known.is_none() {
                let detail = "does not say how many partitions there are: 'ronda queue init' notes it";
                findings.push(self.mendable(role, 0, detail));
            }
        }
        if self.url(&self.name(role, partitions)).await?.is_some() {
            let detail =
                "is beyond the last partition, so nobody reads it: repeat 'ronda queue repartition', or delete it";
            findings.push(self.finding(role, partitions, detail, false));
        }
        Ok(findings)
    }

    /// Changes the number of partitions while everything is settled. Queues that both numbers have are kept.
    pub(super) async fn repartition(&self, role: Role, partitions: u32) -> Result<(), QueueError> {
        if !partitions.is_power_of_two() {
            let message = format!("{partitions} is no power of two, as the number of partitions must be");
            return Err(QueueError::permanent(QueueErrorKind::InvalidOptions, message));
        }
        let zero = self.name(role, 0);
        let before = match self.url(&zero).await? {
            Some(url) => self.tagged_partitions(&url).await?.unwrap_or(partitions),
            None => 0,
        };
        for (partition, url) in (0..before).zip(self.urls(role, before).await?) {
            let Some(url) = url else { continue };
            if self.count(&url).await?.total() > 0 || self.has_message(&url).await? {
                let name = self.name(role, partition);
                return Err(QueueError::permanent(
                    QueueErrorKind::Mismatch,
                    format!(
                        "{name} has messages that are not settled: stop gateways and publishers, let the processors work everything off, and repeat it"
                    ),
                ));
            }
        }
        for (partition, url) in (0..partitions).zip(self.urls(role, partitions).await?).rev() {
            match url {
                None => self.make(role, partition, partitions).await?,
                // Partition 0 comes last: until then the old number holds, and this can be repeated.
                Some(_) => self.tag(&self.name(role, partition), partitions).await?,
            }
        }
        // From the end, so that a rest that an interruption leaves begins right behind the last partition, where it is looked for.
        let mut beyond = partitions;
        while beyond < before || self.url(&self.name(role, beyond)).await?.is_some() {
            beyond += 1;
        }
        for partition in (partitions..beyond).rev() {
            if let Some(url) = self.url(&self.name(role, partition)).await? {
                let call = self.clients.setup.delete_queue().queue_url(url);
                call.send().await.map_err(|error| errors::of_call("deleting a queue", &error))?;
            }
        }
        Ok(())
    }

    /// How much is in a queue, as far as SQS knows.
    pub(super) async fn count(&self, url: &str) -> Result<Count, QueueError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let attributes = self.attributes(url, &names).await?;
        let number = |name| attributes.get(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
        let [visible, in_flight, delayed] = names.each_ref().map(number);
        Ok(Count { visible, in_flight, delayed })
    }

    /// What 'ronda queue init' makes, or has made.
    fn mendable(&self, role: Role, partition: u32, detail: &str) -> Finding {
        Finding { place: self.name(role, partition), detail: detail.to_owned(), mendable: true, stops: false }
    }

    /// What somebody else has to put right.
    fn finding(&self, role: Role, partition: u32, detail: &str, stops: bool) -> Finding {
        Finding { place: self.name(role, partition), detail: detail.to_owned(), mendable: false, stops }
    }

    /// The number of partitions that was noted when the queues were made: the one that is wanted, or none.
    async fn known_partitions(&self, role: Role, wanted: u32) -> Result<Option<u32>, QueueError> {
        let Some(url) = self.url(&self.name(role, 0)).await? else { return Ok(None) };
        match self.tagged_partitions(&url).await? {
            Some(known) if known != wanted => Err(QueueError::permanent(
                QueueErrorKind::Mismatch,
                format!(
                    "the {} queue was made with {known} partitions and {wanted} are asked for: set the number to {known}, or change the queue with \
                     'ronda queue repartition' when it is drained",
                    role.name()
                ),
            )),
            known => Ok(known),
        }
    }

    async fn tagged_partitions(&self, url: &str) -> Result<Option<u32>, QueueError> {
        let call = self.clients.setup.list_queue_tags().queue_url(url);
        let output = call.send().await.map_err(|error| errors::of_call("reading a queue's tags", &error))?;
        Ok(output.tags().and_then(|tags| tags.get(PARTITIONS_TAG)).and_then(|value| value.parse().ok()))
    }

    async fn urls(&self, role: Role, partitions: u32) -> Result<Vec<Option<String>>, QueueError> {
        let names: Vec<_> = (0..partitions).map(|partition| self.name(role, partition)).collect();
        let urls = stream::iter(names).map(|name| async move { self.url(&name).await });
        urls.buffered(AT_ONCE).try_collect().await
    }

    async fn url(&self, name: &str) -> Result<Option<String>, QueueError> {
        match self.clients.setup.get_queue_url().queue_name(name).send().await {
            Ok(output) => Ok(output.queue_url),
            Err(error) if errors::is_missing(&error) => Ok(None),
            Err(error) => Err(errors::of_call("looking for a queue", &error)),
        }
    }

    /// A queue that was made can be found a moment later.
    async fn wait_for(&self, role: Role, partitions: u32) -> Result<(), QueueError> {
        let deadline = Instant::now() + FOUND_WITHIN;
        let mut waits = Waits::new();
        while self.urls(role, partitions).await?.contains(&None) {
            if Instant::now() > deadline {
                let message = "SQS does not find queues that it has made: look again with 'ronda queue check'";
                return Err(QueueError::transient(QueueErrorKind::Unavailable, FOUND_WITHIN, message));
            }
            tokio::time::sleep(waits.next_wait()).await;
        }
        Ok(())
    }

    async fn make(&self, role: Role, partition: u32, partitions: u32) -> Result<(), QueueError> {
        use QueueAttributeName as Name;
        let attributes = [
            (Name::FifoQueue, String::from("true")),
            (Name::ContentBasedDeduplication, String::from("false")),
            // High throughput: with one group a queue this is for the calls, not for the order.
            (Name::DeduplicationScope, String::from("messageGroup")),
            (Name::FifoThroughputLimit, String::from("perMessageGroupId")),
            (Name::MessageRetentionPeriod, RETENTION_SECONDS.to_string()),
            (Name::MaximumMessageSize, self.max_message_bytes.to_string()),
            (Name::VisibilityTimeout, self.visibility_seconds.to_string()),
        ];
        let call = self.clients.setup.create_queue().queue_name(self.name(role, partition));
        let call = call.set_attributes(Some(HashMap::from(attributes))).tags(PARTITIONS_TAG, partitions.to_string());
        call.send().await.map_err(|error| errors::of_call("making a queue", &error)).map(|_| ())
    }

    async fn tag(&self, name: &str, partitions: u32) -> Result<(), QueueError> {
        let Some(url) = self.url(name).await? else { return Ok(()) };
        let call = self.clients.setup.tag_queue().queue_url(url).tags(PARTITIONS_TAG, partitions.to_string());
        call.send().await.map_err(|error| errors::of_call("tagging a queue", &error)).map(|_| ())
    }

    async fn attributes(
        &self,
        url: &str,
        names: &[QueueAttributeName],
    ) -> Result<HashMap<QueueAttributeName, String>, QueueError> {
        let call = self.clients.setup.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
        let output = call.send().await.map_err(|error| errors::of_call("reading a queue's attributes", &error))?;
        Ok(output.attributes.unwrap_or_default())
    }

    /// How a queue differs from what Ronda promises on it. Attributes that a server does not tell are not judged.
    async fn differences(&self, role: Role, url: &str) -> Result<Vec<Difference>, QueueError> {
        let attributes = self.attributes(url, &[QueueAttributeName::All]).await?;
        Ok(differences(role, &attributes, self.max_message_bytes))
    }

    /// Looks for a message without keeping it: what SQS counts may be a minute old.
    async fn has_message(&self, url: &str) -> Result<bool, QueueError> {
        let call = self.clients.setup.receive_message().queue_url(url).max_number_of_messages(1).visibility_timeout(0);
        let call = call.message_system_attribute_names(MessageSystemAttributeName::SentTimestamp).wait_time_seconds(0);
        let output = call.send().await.map_err(|error| errors::of_call("looking for messages", &error))?;
        Ok(!output.messages().is_empty())
    }
}

/// One way in which a queue differs.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    /// Goes on after the queue's name.
    detail: String,
    /// It takes away, or keeps out, what nobody has processed.
    unusable: bool,
}

fn mismatch(what: String) -> QueueError {
    QueueError::permanent(QueueErrorKind::Mismatch, what)
}

fn differences(
    role: Role,
    attributes: &HashMap<QueueAttributeName, String>,
    max_message_bytes: usize,
) -> Vec<Difference> {
    let number = |name| attributes.get(&name).and_then(|value| value.parse::<usize>().ok());
    let mut found = Vec::new();
    let mut add = |unusable: bool, detail: String| found.push(Difference { detail, unusable });
    if attributes.get(&QueueAttributeName::RedrivePolicy).is_some_and(|policy| !policy.is_empty()) {
        let what = "has a redrive policy: it takes messages away that came again so often, processed or not, and out of their order. Take it \
                    away; Ronda has dead letters of its own";
        add(role != Role::DeadLetters, what.to_owned());
    }
    if attributes.get(&QueueAttributeName::ContentBasedDeduplication).is_some_and(|on| on == "true") {
        let what = "drops direct messages of equal content: switch its ContentBasedDeduplication off";
        add(role == Role::Commands, what.to_owned());
    }
    if number(QueueAttributeName::MaximumMessageSize).is_some_and(|size| size < max_message_bytes) {
        let what = format!(
            "takes no messages of {max_message_bytes} bytes: raise its MaximumMessageSize, or lower max_message_bytes in the address"
        );
        add(true, what);
    }
    if number(QueueAttributeName::MessageRetentionPeriod).is_some_and(|kept| kept < RETENTION_SECONDS as usize) {
        let what =
            format!("drops messages sooner than it could: set its MessageRetentionPeriod to {RETENTION_SECONDS}");
        add(false, what);
    }
    if number(QueueAttributeName::DelaySeconds).is_some_and(|delay| delay > 0) {
        add(false, String::from("delays messages: set its DelaySeconds to 0"));
    }
    found
}

/// Messages of a queue.
pub(super) struct Count {
    visible: u64,
    in_flight: u64,
    delayed: u64,
}

impl Count {
    pub(super) const fn total(&self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_messages_away_is_refused_and_the_rest_told() {
        use QueueAttributeName as Name;
        let found = |role, name: Name, value: &str| {
            differences(role, &HashMap::from([(name, value.to_owned())]), 262_144)
                .into_iter()
                .map(|difference| (difference.unusable, difference.detail))
                .collect::<Vec<_>>()
        };
        let redrive = r#"{"deadLetterTargetArn":"arn:x","maxReceiveCount":5}"#;
        for (role, name, value, unusable, word) in [
            (Role::Commands, Name::RedrivePolicy, redrive, true, "redrive policy"),
            (Role::DeadLetters, Name::RedrivePolicy, redrive, false, "redrive policy"),
            (Role::Commands, Name::ContentBasedDeduplication, "true", true, "ContentBasedDeduplication"),
            (Role::Events, Name::ContentBasedDeduplication, "true", false, "ContentBasedDeduplication"),
            (Role::Commands, Name::MaximumMessageSize, "1024", true, "MaximumMessageSize"),
            (Role::Commands, Name::MessageRetentionPeriod, "345600", false, "MessageRetentionPeriod"),
            (Role::Commands, Name::DelaySeconds, "3", false, "DelaySeconds"),
        ] {
            let found = found(role, name, value);
            assert!(matches!(&found[..], [(was, detail)] if *was == unusable && detail.contains(word)), "{found:?}");
        }
        // What a receive asks for is up to the receive.
        assert_eq!(found(Role::Commands, Name::VisibilityTimeout, "1"), []);
        assert_eq!(found(Role::Commands, Name::RedrivePolicy, ""), []);
    }
}

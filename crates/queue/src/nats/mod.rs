//! NATS JetStream, used as a log.
//!
//! One stream holds all partitions of a queue; a message's place in the stream is its position. Nothing is ever acknowledged: a receiver
//! is a consumer that begins at a position, made anew whenever it is lost, and settling purges what everybody is done with. Why, and with
//! which figures: docs/adr/0008-nats-jetstream.md.

mod api;
mod compare;
mod connection;
mod depth;
mod events;
mod feed;
mod lasting;
mod past;
mod queue;
mod reader;
mod receiver;
mod shared;
mod topology;
mod trim;

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;

use crate::broker::{Broker, BrokerOptions, Checked, Finding, Role};
use crate::error::{QueueError, QueueErrorKind};
use crate::port::Queue;

use api::{ApiError, StreamInfo};
use compare::Problem;
use connection::Connection;
use queue::NatsQueue;
use topology::Names;

/// Says why an address can't be used.
pub(crate) fn check_address(url: &str) -> Result<(), QueueError> {
    connection::addresses(url).map(drop)
}

/// A NATS server or cluster with JetStream.
pub(crate) struct NatsBroker {
    options: BrokerOptions,
    names: Names,
    admin: Connection,
    /// What was handed out: to be closed with this, and purged before a change, also when nobody else has it any more.
    queues: Mutex<Vec<Arc<NatsQueue>>>,
}

/// Connects to a server, and makes sure that it can do what is needed.
pub(crate) async fn connect(options: BrokerOptions) -> Result<Arc<dyn Broker>, QueueError> {
    let names = Names::new(&options.prefix);
    let admin = Connection::open(&options, "admin").await?;
    admin.check_server()?;
    Ok(Arc::new(NatsBroker { options, names, admin, queues: Mutex::new(Vec::new()) }))
}

impl NatsBroker {
    /// What there is of a queue: its stream, if it is there, and what is wrong with it.
    async fn look(&self, role: Role) -> Result<(Option<StreamInfo>, Vec<Problem>), QueueError> {
        let stream = self.names.stream(role);
        let Some(info) = self.admin.stream_info(&stream).await? else { return Ok((None, Vec::new())) };
        let problems = compare::compare(&self.names, role, &self.options, &info.config);
        Ok((Some(info), problems))
    }

    /// The stream of a queue that can be used as it is, and what is to be said about it all the same.
    async fn usable(&self, role: Role) -> Result<(StreamInfo, Vec<Problem>), QueueError> {
        let stream = self.names.stream(role);
        let (info, problems) = self.look(role).await?;
        let Some(info) = info else {
            let what = format!("there is no stream {stream}: make it with 'ronda queue init'");
            return Err(QueueError::permanent(QueueErrorKind::Mismatch, what));
        };
        let fatal: Vec<_> = problems.iter().filter(|problem| problem.fatal).map(|problem| &*problem.detail).collect();
        if fatal.is_empty() {
            return Ok((info, problems));
        }
        Err(QueueError::permanent(QueueErrorKind::Mismatch, format!("stream {stream} {}", fatal.join("; and "))))
    }

    async fn create(&self, role: Role) -> Result<(), QueueError> {
        let stream = self.names.stream(role);
        let config = topology::config(&self.names, role, &self.options);
        match self.admin.call::<StreamInfo>(format!("STREAM.CREATE.{stream}"), &json!(config)).await {
            Ok(_) => Ok(()),
            // Somebody else made it in the meantime, perhaps otherwise.
            Err(ApiError::Said(error)) if error.error_code() == api::STREAM_NAME_IN_USE => {
                self.usable(role).await.map(|_| ())
            }
            Err(error) => Err(error.into_queue_error(&format!("stream {stream} could not be made"))),
        }
    }
}

#[async_trait]
impl Broker for NatsBroker {
    async fn check(&self) -> Result<Checked, QueueError> {
        let mut findings = Vec::new();
        for role in Role::ALL {
            let place = format!("stream {}", self.names.stream(role));
            let (info, problems) = self.look(role).await?;
            if info.is_none() {
                let detail = String::from("is missing: make it with 'ronda queue init'");
                findings.push(Finding { place: place.clone(), detail, mendable: true, stops: false });
            }
            findings.extend(problems.into_iter().map(|Problem { detail, fatal }| Finding {
                place: place.clone(),
                detail,
                mendable: false,
                stops: fatal,
            }));
        }
        Ok(Checked { findings, uncompared: 0 })
    }

    async fn init(&self) -> Result<Vec<Finding>, QueueError> {
        let mut missing = Vec::new();
        // Nothing is made beside something that can't be used.
        for role in Role::ALL {
            if self.look(role).await?.0.is_some() {
                self.usable(role).await?;
            } else {
                missing.push(role);
            }
        }
        let mut made = Vec::new();
        for role in missing {
            self.create(role).await?;
            let place = format!("stream {}", self.names.stream(role));
            let detail = topology::description(role, &self.options);
            made.push(Finding { place, detail, mendable: true, stops: false });
        }
        Ok(made)
    }

    async fn queue(&self, role: Role) -> Result<Arc<dyn Queue>, QueueError> {
        let (info, problems) = self.usable(role).await?;
        for Problem { detail, .. } in problems {
            tracing::warn!(stream = info.config.name, "this stream {detail}");
        }
        let queue = Arc::new(NatsQueue::open(&self.options, &self.names, role, &info).await?);
        self.queues.lock().push(Arc::clone(&queue));
        Ok(queue)
    }

    async fn repartition(&self, partitions: u32) -> Result<(), QueueError> {
        let role = Role::Commands;
        let stream = self.names.stream(role);
        // What this process has settled may still be there.
        let queues = self.queues.lock().clone();
        for queue in queues {
            queue.trim().await?;
        }
        let Some(info) = self.admin.stream_info(&stream).await? else {
            let what = format!("there is no stream {stream}: make it with 'ronda queue init'");
            return Err(QueueError::permanent(QueueErrorKind::Mismatch, what));
        };
        refuse_unless_empty(&stream, &info)?;
        // The stream stays, so that positions go on: no cursor can point at a message of another life.
        let mut config = info.config.clone();
        topology::set_partitions(&self.names, &mut config, partitions);
        self.update(&stream, &config).await?;
        // What came in between may lie in a partition that is not its own.
        let after = self.usable_info(&stream).await?;
        if let Err(error) = refuse_unless_empty(&stream, &after) {
            self.update(&stream, &info.config).await?;
            return Err(error);
        }
        Ok(())
    }

    async fn close(&self) {
        let queues = std::mem::take(&mut *self.queues.lock());
        for queue in queues {
            queue.close().await;
        }
        self.admin.close().await;
    }
}

impl NatsBroker {
    async fn usable_info(&self, stream: &str) -> Result<StreamInfo, QueueError> {
        self.admin.stream_info(stream).await?.ok_or_else(|| {
            QueueError::permanent(QueueErrorKind::Mismatch, format!("stream {stream} was deleted in the meantime"))
        })
    }

    async fn update(&self, stream: &str, config: &async_nats::jetstream::stream::Config) -> Result<(), QueueError> {
        let updated = self.admin.call::<StreamInfo>(format!("STREAM.UPDATE.{stream}"), &json!(config)).await;
        updated.map(|_| ()).map_err(|error| error.into_queue_error(&format!("stream {stream} could not be changed")))
    }
}

fn refuse_unless_empty(stream: &str, info: &StreamInfo) -> Result<(), QueueError> {
    let messages = info.state.messages;
    if messages == 0 {
        return Ok(());
    }
    let what = format!(
        "stream {stream} still holds {messages} messages: stop the gateways and direct publishers, let the processors finish, stop \
         them as well, and try again"
    );
    Err(QueueError::permanent(QueueErrorKind::Mismatch, what))
}

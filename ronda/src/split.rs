//! `ingest-gateway`, `processor` and `notifier` as processes of their own.

use crate::exit::{Code, Failure};

/// Why a service can't run alone, and what to do.
#[must_use]
pub fn refusal(service: &str) -> Failure {
    Failure::new(
        Code::Embedded,
        format!(
            "the {service} can't run in a process of its own yet: queues can be shared through a broker (--queue nats://…, sqs://…, \
             amqp://…), but the store can't: it is files in one directory, and one process owns it.\nRun 'ronda up': it runs \
             ingest-gateway, processor and notifier together in one process."
        ),
    )
}

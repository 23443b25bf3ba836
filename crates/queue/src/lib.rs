//! The queue port, its conformance suite, and the embedded adapter.
//!
//! A queue moves bytes: it knows nothing of commands or frames. [`Queue`] and [`Receiver`] are the port;
//! `conformance` (behind the feature of that name) says what every adapter promises; [`embedded`] keeps these promises
//! with files of its own.

mod broker;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod embedded;
#[cfg(any(feature = "rabbitmq", feature = "sqs"))]
mod entrance;
mod error;
#[cfg(feature = "nats")]
mod nats;
mod port;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "sqs")]
mod sqs;

pub use broker::{Broker, BrokerOptions, Checked, Finding, Role, connect, mistakes};
pub use embedded::{EmbeddedBroker, EmbeddedOptions, EmbeddedQueue};
pub use error::{QueueError, QueueErrorKind};
pub use port::{
    Capabilities, Delivery, Depth, MAX_HEADER_BYTES, MAX_HEADERS, Origin, Partition, Position, Published, Queue,
    ReceiveLimit, Receiver, Token,
};

//! The processor: frames and direct messages in, commits, derived events out.
//!
//! [`core`] is pure: a [`PartitionCore`] turns deliveries into a [`Step`](core::Step) (what to make durable, what to publish)
//! and reads no clock; the same log gives the same steps, byte for byte. [`Processor`] is the thin loop around it.

pub mod config;
pub mod core;
pub mod dead_letter;
mod runner;

pub use config::{Config, ConfigError, DirectAccess};
pub use core::{Access, Denied, Direct, Incoming, PartitionCore, Step};
pub use dead_letter::{DeadLetter, LetterOrigin};
pub use runner::{Processor, ProcessorError};

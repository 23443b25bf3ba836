//! The notifier: derived events in, *surfaces* kept, Slack, webhooks, mail or the terminal brought to what they say.
//!
//! A surface is a row that says what one visible message should look like now, and what is there. Events change what
//! is desired ([`intake`](crate)); a worker converges the channel to it, one claimed call at a time. The row is
//! committed before each call and after each answer, so a message whose fate is unknown is looked up before it could
//! be posted twice.
//!
//! Layers, each knowing only those above it: [`channel`] (the port), [`route`] (where an alert goes and when, pure) and `surface` (the
//! pure state machine); `render`
//! (facts to content, pure); `intake` and `board` (events to facts, pure); `core` (all of it together, no I/O); `worker`
//! (queue, store, clock and calls around the core).

pub mod channel;
pub mod config;
pub mod mail;
pub mod preview;
pub mod route;
pub mod slack;
pub mod status;
pub mod switchboard;
pub mod terminal;
pub mod webhook;

mod agenda;
mod board;
mod core;
mod hash;
mod hours;
mod intake;
mod language;
mod manners;
mod pace;
mod pattern;
mod render;
mod shard;
mod storm;
mod surface;
mod worker;

pub use channel::Channel;
pub use config::{Board, BoardFilter, Config, ConfigError};
pub use hours::Hours;
pub use language::{Language, NotALanguage};
pub use mail::{MailChannel, MailConfig};
pub use preview::{Preview, previews};
pub use slack::{SlackChannel, SlackConfig};
pub use status::NotifierStatus;
pub use surface::Form;
pub use switchboard::Switchboard;
pub use terminal::TerminalChannel;
pub use webhook::{WebhookChannel, WebhookConfig};
pub use worker::{Notifier, NotifierError};

//! What crosses a process border: commands, frames, derived events and rows, with their versions and codecs.

pub mod api;
pub mod codec;
pub mod command;
#[cfg(feature = "openapi")]
pub mod describe;
pub mod direct;
pub mod event;
pub mod frame;
pub mod lease;
pub mod row;

//! What crosses a process border: commands, frames, derived events and rows, with their versions and codecs.

pub mod api;
pub mod codec;
pub mod command;
pub mod direct;
pub mod event;
pub mod frame;
pub mod row;

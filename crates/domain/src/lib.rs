//! What a scheduler, a run and an occurrence are, and how they change.
//!
//! Pure and total: no I/O, no clock, no async, no panics. Time arrives with the inputs; deadlines are data.

pub mod event;
pub mod id;
pub mod input;
pub mod limits;
pub mod record;
pub mod spec;
pub mod time;

//! What a scheduler, a run and an occurrence are, and how they change.
//!
//! Pure and total: no I/O, no clock, no async, no panics. Time arrives with the inputs; deadlines are data.
//!
//! Messages are facts, ticks are judgements: [`apply`] of a status or a heartbeat only joins what was said into the
//! state, so that order and repetition don't matter; [`Input::Tick`](input::Input::Tick) draws the conclusions, once
//! the partition's clock says that everything earlier has been applied.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod attention;
pub mod draft;
pub mod effects;
pub mod event;
pub mod id;
pub mod input;
pub mod limits;
pub mod record;
pub mod schedule;
pub mod spec;
pub mod time;
pub mod view;

mod apply;
mod conclude;
mod deadline;
mod facts;
mod forget;
mod judge;
mod lifecycle;
mod matching;
mod occurrence;
mod past;
mod run;
mod scheduler;

pub use apply::apply;
pub use deadline::next_deadline;
pub use draft::{FieldError, ScheduleDraft, SpecDraft};
pub use effects::{Effects, Refusal};
pub use past::Past;
pub use scheduler::Scheduler;
pub use view::{AlertView, OccurrenceView, RunView, SchedulerStatus, SchedulerView};

#[cfg(test)]
mod properties;

//! The HTTP API's JSON: what clients send, checked to the last field, and what they get to read.
//!
//! Every body has two parsers that must agree. The fast one borrows its texts and gives up at the first thing that is not right; the
//! slow one then reads the body again and collects *everything* that is wrong, each with a JSON pointer. What the fast one takes, the slow
//! one takes too, with an equal result (a property test holds them to it).
//!
//! The command JSON of [`event`] is also what direct publishers put on a queue.

pub mod attention;
pub mod event;
pub mod invalid;
pub mod key;
pub mod problem;
pub mod register;
pub mod report;
#[cfg(feature = "openapi")]
pub mod request;
pub mod resource;
pub mod time;
#[cfg(feature = "openapi")]
pub mod words;

mod convert;
pub(crate) mod fields;
pub(crate) mod node;
mod report_slow;
pub(crate) mod text;

pub use attention::{
    AcknowledgeBody, ByBody, MuteBody, MuteEnd, check_mute_end, parse_acknowledge, parse_by, parse_mute,
};
pub use event::{BulkEvent, BulkEvents, EventBody, parse_event};
pub use invalid::{FieldError, Invalid};
pub use key::{NewKeyBody, parse_new_key};
pub use register::{Registration, parse_register};
pub use report::{HeartbeatBody, ProgressBody, StatusBody, parse_heartbeat, parse_status};
pub use text::check_query_text;

/// Greatest `duration_ms`: 366 days, in milliseconds.
pub const MAX_DURATION_MS: u64 = 366 * 86_400 * 1_000;
/// Greatest `done` and `total` of a progress: 2^53 − 1, the greatest integer that every JSON reader keeps exactly.
pub const MAX_PROGRESS_UNITS: u64 = 9_007_199_254_740_991;
/// Most wrong fields that one answer lists.
pub const MAX_LISTED_ERRORS: usize = 100;
/// Deepest nesting of a body's arrays and objects.
pub const MAX_DEPTH: usize = 16;

//! Commands that talk to a server over HTTP.

mod errors;
mod health;
mod http;
mod refusal;
mod register;
mod report;
mod schedulers;

pub use errors::errors;
pub use health::health;
pub use http::{Client, Lookup, Request, Sent, WRITES_RETRY_SECONDS};
pub use register::register;
pub use report::{heartbeat, status};
pub use reqwest::Method;
pub use schedulers::schedulers;

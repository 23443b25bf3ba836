//! Commands that talk to a server over HTTP.

mod http;
mod report;
mod schedulers;

pub use http::{Client, Sent};
pub use report::{heartbeat, register, status};
pub use reqwest::Method;
pub use schedulers::schedulers;

//! Slack's entrance: slash commands and clicks, over HTTPS with signatures (`web`) or over Socket Mode (`socket`). Both are thin edges of
//! one core (`desk`), which answers within the three seconds that Slack gives, and puts what is to change into the command queue.

mod all_jobs;
mod answer;
mod asked;
mod command;
mod config;
mod conversation;
mod deeds;
mod desk;
mod escape;
mod fleet;
mod http;
mod metrics;
mod misread;
mod places;
mod recent;
mod signature;
mod socket;
mod web;
mod when;

pub use self::config::SlackConfig;
pub(crate) use self::desk::Desk;
pub use self::http::SlackError;
pub use self::socket::SocketStatus;
pub(crate) use self::socket::{Teller, run as run_socket};
pub(crate) use self::web::router;

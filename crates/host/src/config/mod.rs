//! Configuration: defaults, then `ronda.toml`, then the environment, then flags; every mistake told at once, before a
//! port is bound.

pub mod boards;
mod channels;
mod check;
pub mod elsewhere;
mod load;
mod mistake;
mod render;
pub mod routes;
mod rows;
mod table;
mod value;

#[cfg(test)]
mod tests;

pub use boards::Board;
pub use channels::NamedChannel;
pub use elsewhere::Webhook;
pub use load::{Check, Draft, Flaw, Loaded, Sources, draft, load};
pub use mistake::{Mistake, Mistakes, Origin, nearest};
pub use render::{documentation, example_file, shown};
pub use routes::{Maintenance, Route};
pub use rows::RowKey;
pub use table::{SECTIONS, SETTINGS, Setting, Settings};
pub use value::{DirectAccess, MailSecurity, QueueUrl, StoreUrl};

/// File that is read when none is named and it is there.
pub const DEFAULT_FILE: &str = "ronda.toml";

//! Ronda's one binary: the command line, the configuration, and the assembly of the three services.
//!
//! It holds no logic of its own: what the services do is theirs, what the API answers is the gateway's.

pub mod config;

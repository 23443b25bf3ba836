//! Several notifiers over one store, one event queue and one stand-in for Slack.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod alone;
mod handover;
mod rig;
mod stalls;

//! What a person sees in Slack, scenario by scenario, through the whole notifier: by one replica and by two that share the partitions through
//! real leases, over real HTTP, on the embedded store and on Cassandra.
//!
//! | module | subject |
//! |---|---|
//! | `scene` | a scenario's surroundings, and what a person sees in them |
//! | `replica`, `gate` | notifiers, what they post held back, and their end |
//! | `bed`, `cassandra` | stores |
//! | `clock` | time, faster than the machine's |
//! | `jobs`, `told` | what happens: judged by the domain, or made up |
//! | `road`, `ops` | the way to Slack, and where an operator is told outside of it |
//! | `table` | the evidence |
//! | `alerts`, `answers`, `storms`, `nights`, `destination`, `people` | the scenarios |
//!
//! With `RONDA_SCENARIOS_TABLE=<file>` a Markdown table of what was seen is written there.
#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

/// Each scenario as a test on each store.
macro_rules! on_each_store {
    ($($scenario:ident)*) => {
        mod embedded {
            $(
                #[tokio::test]
                async fn $scenario() {
                    super::$scenario(crate::bed::On::Embedded).await;
                }
            )*
        }

        #[cfg(feature = "cassandra")]
        mod cassandra {
            $(
                #[tokio::test]
                async fn $scenario() {
                    super::$scenario(crate::bed::On::Cassandra).await;
                }
            )*
        }
    };
}

mod alerts;
mod answers;
mod bed;
#[cfg(feature = "cassandra")]
mod cassandra;
mod clock;
mod destination;
mod gate;
mod jobs;
mod nights;
mod ops;
mod people;
mod replica;
mod road;
mod scene;
mod storms;
mod table;
mod told;

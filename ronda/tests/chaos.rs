//! What is promised while parts of the pipeline are killed: the checker of `cargo xtask chaos`, on the embedded queue; and that it finds
//! what is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use ronda_load::chaos::{Deed, Kind, Outcome, Part, Settings, run};

async fn one_kill(lose: bool) -> Outcome {
    let settings = Settings {
        ronda: env!("CARGO_BIN_EXE_ronda").into(),
        gateway: None,
        kind: Kind::Embedded,
        rounds: 1,
        only: vec![Part::Up],
        deeds: vec![Deed::Kill],
        around: Duration::from_secs(2),
        rate: 500,
        direct_rate: 0,
        lose,
        folder: None,
    };
    run(&settings).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_doubles_nothing_and_alarms_nobody() {
    let outcome = one_kill(false).await;
    assert!(outcome.holds(), "{:#?}\n{}", outcome.wrong(), outcome.markdown());
    assert!(outcome.rounds[0].http.confirmed > 500, "{}", outcome.markdown());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_lost_on_purpose_are_found() {
    // Of what is cut off, some may have been applied already: Ronda then refuses to start with the rest, and it is put back.
    for _ in 0..3 {
        let outcome = one_kill(true).await;
        if outcome.rounds[0].http.lost > 0 {
            assert!(!outcome.holds());
            assert!(outcome.wrong().iter().any(|wrong| wrong.contains("lost")), "{:#?}", outcome.wrong());
            return;
        }
    }
    panic!("nothing was found missing");
}

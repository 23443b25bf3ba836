//! Many alerts: scenarios 15 and 18.

use ronda_slack_standin::{Fault, FaultRule, message_as_text};

use crate::bed::On;
use crate::scene::{CHANNEL, MINUTE_MS, Scenario, Scene, text_of};

on_each_store! {
    s15_after_half_an_hours_outage_there_is_one_digest_and_nothing_is_lost
    s15_after_half_an_hour_of_errors_nothing_is_lost_or_told_twice
    s18_three_hundred_failures_are_one_digest
}

/// Which of these no message names.
fn named_nowhere(scene: &Scene, jobs: &[String]) -> Vec<String> {
    let all: Vec<String> = scene.slack().messages(CHANNEL).iter().map(message_as_text).collect();
    let is_named = |job: &String| all.iter().any(|text| text.contains(&format!("*{job}*")));
    jobs.iter().filter(|job| !is_named(job)).cloned().collect()
}

/// Two hundred jobs fail within half an hour, in which nobody can be told. Their names.
async fn two_hundred_fail(scene: &Scene) -> Vec<String> {
    let begin_ms = scene.clock.now_ms();
    let jobs: Vec<String> = (0..200).map(|number| format!("job-{number:03}")).collect();
    for (number, job) in (1..).zip(&jobs) {
        scene.fails(job).await;
        scene.pass_until(begin_ms + number * 9_000).await;
    }
    assert!(scene.clock.now_ms() >= begin_ms + 30 * MINUTE_MS && scene.messages().0.is_empty());
    jobs
}

async fn s15_after_half_an_hours_outage_there_is_one_digest_and_nothing_is_lost(on: On) {
    let scenario = Scenario::new(15, "200 failures in 30 minutes in which Slack is out of reach").at_speed(100);
    scenario
        .play(on, async |scene| {
            scene.road.close().await;
            let jobs = two_hundred_fail(scene).await;
            scene.road.open().await;
            scene.until("nothing is lost", |scene| named_nowhere(scene, &jobs).is_empty()).await;
            scene.pass(3 * MINUTE_MS).await;
            let (parents, replies) = scene.messages();
            assert!(parents.len() == 1 && parents[0].text.contains("*200 alerts*"), "{}", scene.timeline(CHANNEL));
            assert!(replies.iter().all(|reply| reply.text.starts_with("Also among")), "{}", scene.timeline(CHANNEL));
            scene.recovers("job-007").await;
            scene.until("it says what is over", |scene| scene.messages().0[0].text.contains("1 of them over")).await;
        })
        .await;
}

async fn s15_after_half_an_hour_of_errors_nothing_is_lost_or_told_twice(on: On) {
    let scenario = Scenario::new(15, "200 failures in 30 minutes in which Slack answers 500").at_speed(100);
    scenario
        .play(on, async |scene| {
            let down = Fault::ServerError { effective: false };
            scene.slack().fail(FaultRule { method: None, ..FaultRule::always("", down) });
            let jobs = two_hundred_fail(scene).await;
            scene.slack().fail_no_more();
            scene.until("nothing is lost", |scene| named_nowhere(scene, &jobs).is_empty()).await;
            scene.pass(10 * MINUTE_MS).await;
            let (parents, _) = scene.messages();
            assert!(parents.len() <= 12, "what was tried by itself may stand by itself: {}", scene.timeline(CHANNEL));
            let all: Vec<String> = scene.slack().messages(CHANNEL).iter().map(text_of).collect();
            for job in &jobs {
                let telling = all.iter().filter(|text| text.contains(job)).count();
                assert_eq!(telling, 1, "{job}: {}", scene.timeline(CHANNEL));
            }
        })
        .await;
}

async fn s18_three_hundred_failures_are_one_digest(on: On) {
    let scenario = Scenario::new(18, "300 failures in 10 s").at_speed(5);
    scenario
        .play(on, async |scene| {
            let begin_ms = scene.clock.now_ms();
            let jobs: Vec<String> = (0..300).map(|number| format!("job-{number:03}")).collect();
            for (number, some) in (1..).zip(jobs.chunks(10)) {
                scene.tell(some.iter().map(|job| scene.failure(job)).collect()).await;
                scene.pass_until(begin_ms + number * 333).await;
            }
            scene.until("all are named", |scene| named_nowhere(scene, &jobs).is_empty()).await;
            scene.pass(20_000).await;
            let (parents, replies) = scene.messages();
            assert!(parents.len() == 1 && parents[0].text.contains("*300 alerts"), "{}", scene.timeline(CHANNEL));
            assert!(replies.iter().all(|reply| reply.text.starts_with("Also among")), "{}", scene.timeline(CHANNEL));
            assert_eq!(scene.slack().notifications(CHANNEL).len(), 1, "a phone rang once");
        })
        .await;
}

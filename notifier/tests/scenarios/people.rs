//! What people do: scenario 23. A click comes here as the command that the gateway makes of it; that it takes none whose signature is forged or
//! old is shown with the whole of Ronda in `ronda/tests/people.rs`.

use ronda_domain::input::ReportedStatus::{Failed, Running};

use crate::bed::On;
use crate::scene::{CHANNEL, MINUTE_MS, Scenario, Scene};

on_each_store! {
    s23_acknowledged_twice_is_noted_once
}

/// Whether the alert can be acknowledged by a click.
fn has_button(scene: &Scene) -> bool {
    let alert = &scene.messages().0[0];
    serde_json::to_string(&(&alert.blocks, &alert.attachments)).unwrap().contains("\"acknowledge\"")
}

async fn s23_acknowledged_twice_is_noted_once(on: On) {
    let scenario = Scenario::new(23, "acknowledged twice").with(|config| config.interactive = true);
    scenario
        .play(on, async |scene| {
            scene.schedule(&["billing".to_owned()], "4 1 * * *").await;
            scene.report(&[("billing", Running)]).await;
            scene.report(&[("billing", Failed)]).await;
            scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
            assert!(has_button(scene), "{}", scene.timeline(CHANNEL));
            let clicked = scene.jobs.acknowledge("billing", "Siti", scene.at()).await;
            let again = scene.jobs.acknowledge("billing", "Siti", scene.at()).await;
            let late = scene.jobs.acknowledge("billing", "Bayu", scene.at()).await;
            // What is in the queue may come twice by itself, too.
            for events in [clicked.clone(), again, late, clicked] {
                scene.tell(events).await;
            }
            scene.until("it says who", |scene| scene.messages().0[0].text.contains("Acked by Siti")).await;
            scene.until("the thread notes it", |scene| !scene.messages().1.is_empty()).await;
            scene.pass(MINUTE_MS).await;
            let (parents, replies) = scene.messages();
            assert_eq!((parents.len(), replies.len()), (1, 1), "{}", scene.timeline(CHANNEL));
            assert!(replies[0].text.contains("Acked by Siti") && scene.shows("Bayu") == 0);
            assert!(!has_button(scene), "nothing is left to acknowledge");
        })
        .await;
}

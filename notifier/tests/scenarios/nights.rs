//! The night's table and its end: scenarios 1, 2, 19, 24 and 25.

use ronda_domain::input::ReportedStatus::{self, Failed, Running, Success};
use ronda_notifier::{Board, BoardFilter};
use ronda_slack_standin::SeenKind;

use crate::bed::On;
use crate::clock::MIDNIGHT_MS;
use crate::scene::{CHANNEL, MINUTE_MS, Scenario, Scene, text_of};

on_each_store! {
    s01_as_the_window_opens_there_is_one_table
    s02_five_hundred_events_in_a_minute_are_few_edits_and_exact
    s19_two_thousand_schedulers_are_one_message_with_exact_counts
    s24_a_night_ends_once_and_is_clear_only_if_it_was
    s25_after_a_restart_the_same_table_goes_on_and_yesterdays_is_finalised
}

impl Scene {
    /// Jobs are registered, and expected from now on.
    pub(crate) async fn schedule(&mut self, jobs: &[String], cron: &str) {
        let events = self.jobs.register(jobs, cron, self.at()).await;
        self.tell(events).await;
    }

    /// Jobs report, and everybody is told what that means.
    pub(crate) async fn report(&mut self, reports: &[(&str, ReportedStatus)]) {
        let events = self.jobs.report(reports, self.at()).await;
        self.tell(events).await;
    }

    /// Everything before now is judged.
    async fn judge(&mut self) {
        let events = self.jobs.judge(self.at()).await;
        self.tell(events).await;
    }

    /// Lets time pass, and judges what it brings.
    async fn go_on(&mut self, millis: u64) {
        let end_ms = self.clock.now_ms() + millis;
        while self.clock.now_ms() < end_ms {
            self.pass(5_000).await;
            self.judge().await;
        }
    }
}

/// How often the channel's messages were edited.
fn edits(scene: &Scene) -> usize {
    scene.slack().seen().iter().filter(|seen| seen.kind == SeenKind::Edited && seen.channel == CHANNEL).count()
}

async fn s01_as_the_window_opens_there_is_one_table(on: On) {
    let scenario = Scenario::new(1, "the window opens").at_speed(10).at_night(-60);
    scenario
        .play(on, async |scene| {
            scene.schedule(&["billing", "payroll", "stock"].map(str::to_owned), "30 1 * * *").await;
            scene.pass_until(MIDNIGHT_MS - 2_000).await;
            assert!(scene.slack().seen().is_empty(), "{}", scene.timeline(CHANNEL));
            scene.until("the table", |scene| scene.messages().0.len() == 1).await;
            let at_ms = scene.slack().seen()[0].at_ms;
            assert!((MIDNIGHT_MS..MIDNIGHT_MS + 30_000).contains(&at_ms), "{at_ms}");
            scene.go_on(MINUTE_MS).await;
            let (parents, replies) = scene.messages();
            assert_eq!((parents.len(), replies.len()), (1, 0), "{}", scene.timeline(CHANNEL));
            let text = text_of(&parents[0]);
            assert!(text.contains("3 waiting") && text.contains("stock"), "{text}");
        })
        .await;
}

async fn s02_five_hundred_events_in_a_minute_are_few_edits_and_exact(on: On) {
    // Slow enough for all to be taken in within the minute.
    let scenario = Scenario::new(2, "500 events in 60 s").at_speed(8).at_night(60 * 60 - 5);
    scenario
        .play(on, async |scene| {
            let jobs: Vec<String> = (0..250).map(|number| format!("job-{number:03}")).collect();
            scene.schedule(&jobs, "0 1 * * *").await;
            scene.until("the table", |scene| scene.parents("Night watch").len() == 1).await;
            let table = scene.messages().0[0].ts.clone();
            scene.pass_until(MIDNIGHT_MS + 60 * MINUTE_MS).await;
            let (begin_ms, before) = (scene.clock.now_ms(), edits(scene));
            let running = jobs.iter().map(|job| (job.as_str(), Running));
            let ended = jobs.iter().enumerate().map(|(n, job)| (job.as_str(), if n == 77 { Failed } else { Success }));
            let events: Vec<(&str, ReportedStatus)> = running.chain(ended).collect();
            for (number, some) in (1..).zip(events.chunks(10)) {
                scene.report(some).await;
                scene.pass_until(begin_ms + number * 1_200).await;
            }
            let within = edits(scene) - before;
            assert!((1..=6).contains(&within), "{within} edits in a minute");
            let exact = |text: &str| text.contains("1 failed · 249 succeeded");
            scene.until("the end is exact", |scene| exact(&scene.table())).await;
            let tables = scene.parents("Night watch");
            assert!(tables.len() == 1 && tables[0].ts == table, "{}", scene.timeline(CHANNEL));
            assert_eq!(scene.messages().0.len(), 2, "and one alert");
        })
        .await;
}

async fn s19_two_thousand_schedulers_are_one_message_with_exact_counts(on: On) {
    let scenario = Scenario::new(19, "2000 schedulers").at_night(-120);
    scenario
        .play(on, async |scene| {
            let jobs: Vec<String> = (0..2_000).map(|number| format!("job-{number:04}")).collect();
            scene.schedule(&jobs, "0 0 * * *").await;
            scene.until("the table", |scene| scene.parents("of 2,000 jobs").len() == 1).await;
            scene.report(&[("job-1999", Running)]).await;
            scene.report(&[("job-1999", Failed)]).await;
            let exact = |text: &str| text.contains("1 failed · 1,999 waiting · 2,000 in all, of 2,000 jobs");
            scene.until("the counts are exact", |scene| exact(&scene.table())).await;
            let tables = scene.parents("Night watch");
            assert_eq!((tables.len(), scene.messages().0.len()), (1, 2), "and one alert");
            // The stand-in has Slack's limits: what it took, Slack would have.
            let text = text_of(&tables[0]);
            assert!(text.find("job-1999").unwrap() < text.find("job-0000").unwrap(), "problems come first");
        })
        .await;
}

async fn s24_a_night_ends_once_and_is_clear_only_if_it_was(on: On) {
    let scenario =
        Scenario::new(24, "nights that end well and not, and what comes after").at_night(-120).with(|config| {
            let night = config.boards.remove(0);
            for (name, title, ids) in [("good", "Payments", "good-*"), ("bad", "Reports", "bad-*")] {
                config.boards.push(Board {
                    name: name.to_owned(),
                    title: title.to_owned(),
                    end: "00:04".to_owned(),
                    closing_grace_seconds: 60,
                    filter: BoardFilter { ids: vec![ids.to_owned()], ..BoardFilter::default() },
                    ..night.clone()
                });
            }
        });
    scenario
        .play(on, async |scene| {
            scene.schedule(&["good-1", "good-2", "bad-1", "bad-2", "bad-3"].map(str::to_owned), "1 0 * * *").await;
            scene.until("both tables", |scene| scene.messages().0.len() == 2).await;
            scene.pass_until(MIDNIGHT_MS + 61_000).await;
            scene.report(&[("good-1", Running), ("good-2", Running), ("bad-1", Running), ("bad-3", Running)]).await;
            scene.go_on(5_000).await;
            scene.report(&[("good-1", Success), ("bad-1", Failed), ("bad-3", Success)]).await;
            scene.go_on(10_000).await;
            let clear = "🟢 Payments, 2026-11-24: all clear";
            assert!(scene.parents(clear).is_empty(), "one is still running");
            scene.report(&[("good-2", Success)]).await;
            scene.until("the all-clear", |scene| scene.parents(clear).len() == 1).await;
            scene.go_on(4 * MINUTE_MS).await;
            let ended = "🔴 Reports, 2026-11-24: ended with 2 problems";
            scene.until("the other's end", |scene| scene.parents(ended).len() == 1).await;
            // It comes after all, long after its night.
            scene.report(&[("bad-2", Running)]).await;
            scene.report(&[("bad-2", Success)]).await;
            let is_late = |text: &str| text.starts_with("After the end: *bad-2*");
            scene.until("the reply", |scene| scene.messages().1.iter().any(|reply| is_late(&reply.text))).await;
            let edited = "Reports, 2026-11-24: ended with 1 problem\n";
            scene.until("the edit", |scene| !scene.parents(edited).is_empty()).await;
            scene.go_on(MINUTE_MS).await;
            // A table's headline has no mark before it.
            let summaries = |title: &str| {
                let of = |mark| scene.parents(&format!("{mark} {title}, 2026-11-24: ")).len();
                ["🟢", "🟡", "🔴"].map(of).iter().sum::<usize>()
            };
            assert_eq!((summaries("Payments"), summaries("Reports")), (1, 1), "{}", scene.timeline(CHANNEL));
            assert_eq!(scene.parents("all clear").len(), 2, "table and summary of one: {}", scene.timeline(CHANNEL));
        })
        .await;
}

async fn s25_after_a_restart_the_same_table_goes_on_and_yesterdays_is_finalised(on: On) {
    let scenario = Scenario::new(25, "restarts at 03:00 and at 06:30").at_night(-120);
    scenario
        .play(on, async |scene| {
            scene.schedule(&["billing".to_owned()], "1 0 * * *").await;
            scene.schedule(&["payroll".to_owned()], "1 3 * * *").await;
            scene.schedule(&["stock".to_owned()], "0 5 * * *").await;
            scene.until("the table", |scene| scene.messages().0.len() == 1).await;
            let table = scene.messages().0[0].ts.clone();
            scene.pass_until(MIDNIGHT_MS + 61_000).await;
            scene.report(&[("billing", Running)]).await;
            scene.report(&[("billing", Success)]).await;
            scene.until("the first", |scene| scene.table().contains("1 succeeded")).await;

            scene.kill_all().await;
            scene.clock.skip_to(MIDNIGHT_MS + 180 * MINUTE_MS);
            scene.start().await;
            scene.judge().await;
            scene.pass_until(MIDNIGHT_MS + 181 * MINUTE_MS).await;
            scene.report(&[("payroll", Running)]).await;
            scene.report(&[("payroll", Failed)]).await;
            scene.until("it goes on", |scene| scene.table().contains("1 failed · 1 waiting · 1 succeeded")).await;
            assert_eq!(scene.parents("Night watch").len(), 1, "{}", scene.timeline(CHANNEL));
            scene.until("the alert", |scene| scene.shows("payroll failed") == 1).await;

            scene.kill_all().await;
            scene.clock.skip_to(MIDNIGHT_MS + 390 * MINUTE_MS);
            scene.start().await;
            scene.judge().await;
            let ended = "🔴 Night watch, 2026-11-24: ended with 2 problems";
            scene.until("the summary", |scene| scene.parents(ended).len() == 1).await;
            scene.until("it is finalised", |scene| scene.table().contains(": ended with 2 problems")).await;
            scene.go_on(MINUTE_MS).await;
            let nights = scene.parents("Night watch");
            assert!(nights.len() == 2 && nights[0].ts == table, "table and summary: {}", scene.timeline(CHANNEL));
        })
        .await;
}

impl Scene {
    /// The night's table as a person reads it; empty: there is none.
    fn table(&self) -> String {
        self.parents("Night watch").first().map(text_of).unwrap_or_default()
    }
}

//! What is bounded, forgotten or refused, and what that must not cost.

use ronda_domain::Refusal;
use ronda_domain::input::ReportedStatus;
use ronda_domain::record::OccurrenceStatus::{Failed, Missed, Running, Succeeded, Unknown};
use ronda_domain::record::Subject;

use crate::statuses;
use crate::story::{Story, ad_hoc, nightly, plain, time};

#[test]
fn too_many_open_runs_give_up_the_oldest() {
    let mut story = Story::of(ad_hoc());
    for number in 0..200 {
        story.at_seconds(number + 1).running(&format!("run-{number}"));
    }
    assert!(story.view().open_runs.iter().filter(|run| run.status == Running).count() <= 32);
    assert_eq!(story.run("run-0").status, Unknown);
    assert!(story.memory() < 64 * 1_024);
}

#[test]
fn an_ordinary_scheduler_is_small() {
    let mut story = Story::of(nightly());
    for day in 0..20 {
        let id = format!("scheduled__2026-11-{day:02}T01:00:00");
        story.at_seconds(day * 86_400 + 3_600).running(&id).heartbeat(&id);
        assert!(story.memory() < 1_024 * 3 / 2, "{} with a run open", story.memory());
        story.success(&id);
        assert!(story.memory() < 1_024 * 3 / 2, "{}", story.memory());
    }
}

#[test]
fn as_many_runs_as_there_are_may_start_and_end_at_one_time() {
    let mut story = Story::of(ad_hoc());
    story.at("01:00");
    let names: Vec<_> = (0..100).map(|number| format!("run-{number}")).collect();
    let runs = || names.iter().map(|name| Some(name.as_str()));
    let reports: Vec<_> =
        runs().flat_map(|run| [(ReportedStatus::Running, run), (ReportedStatus::Failed, run)]).collect();
    story.at_once(&reports);
    assert!(names.iter().all(|name| story.run(name).status == Failed));
    assert_eq!(story.view().bad_streak, 100);
    // And copies of all of them, at that time and later, are copies.
    story.at_once(&reports);
    assert_eq!(story.view().bad_streak, 100);
    assert!(story.ids_are_unique());

    let mut story = Story::of(ad_hoc());
    story.at("01:00").at_once(&[(ReportedStatus::Failed, None); 100]);
    assert_eq!(story.view().bad_streak, 100, "without run ids, too");
}

#[test]
fn runs_are_heard_while_the_clock_stands() {
    let mut story = Story::of(ad_hoc());
    story.at("01:00");
    for number in 0..30 {
        let id = format!("run-{number}");
        story.running(&id).failed(&id, "no");
    }
    assert_eq!(story.view().bad_streak, 30);
    for number in 0..30 {
        story.failed(&format!("run-{number}"), "no");
    }
    assert_eq!(story.view().bad_streak, 30);
    assert!(story.memory() < 3 * 1_024, "{}", story.memory());
}

#[test]
fn a_report_sent_again_is_a_copy_for_an_hour_however_many_runs_came_since() {
    let mut story = Story::of(plain(60));
    for minute in 1..=50 {
        let id = format!("run-{minute}");
        story.at_seconds(minute * 60).running(&id).success(&id);
    }
    statuses(&mut story);
    story.at("00:50:30").success("run-2");
    assert!(story.changes().is_empty());
    let mut idle = Story::of(nightly());
    for day in 0..40 {
        let id = format!("run-{day}");
        idle.at_seconds(day * 86_400 + 3_600).running(&id).success(&id);
    }
    assert!(idle.memory() < 1_024, "a scheduler with few runs takes no memory for it: {}", idle.memory());
}

#[test]
fn a_second_attempt_before_the_tick_is_the_same_end() {
    for times in [["01:00:01", "01:00:04"], ["01:00:04", "01:00:01"]] {
        let mut story = Story::of(ad_hoc());
        story.at("01:00").running("a").running("b");
        story.now("01:00:05").attempts(7, ReportedStatus::Failed, &times.map(time));
        let ended = story.changes().into_iter().filter(|change| change.to == Failed).count();
        assert_eq!((ended, story.view().bad_streak), (1, 1));
        assert_eq!(story.view().open_runs.len(), 2);
    }
}

#[test]
fn a_run_id_that_is_used_again_is_told() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("nightly").success("nightly");
    assert_eq!(story.refusal_of(ReportedStatus::Running, "nightly"), None, "a copy");
    story.at_seconds(86_400 + 3_600);
    assert_eq!(story.refusal_of(ReportedStatus::Running, "nightly"), Some(Refusal::RunAlreadyEnded));
    story.at_seconds(86_400 + 2 * 3_600);
    assert_eq!(statuses(&mut story), [Running, Succeeded, Missed]);
    let mut story = Story::of(plain(3_600));
    story.at("01:00").running("a").success("a");
    story.at("02:00").running("b").success("b");
    story.at("03:00").running("c").success("c");
    story.at("04:00");
    assert_eq!(story.refusal_of(ReportedStatus::Running, "a"), Some(Refusal::RunAlreadyEnded), "also when forgotten");
}

#[test]
fn the_end_of_a_run_that_was_one_too_many_counts() {
    let mut story = Story::of(ad_hoc());
    for number in 0..60 {
        story.at_seconds(number + 1).running(&format!("run-{number}"));
    }
    assert_eq!(story.run("run-0").status, Unknown);
    for run in ["run-0", "run-59"] {
        story.at("01:00");
        assert_eq!(story.refusal_of(ReportedStatus::Failed, run), None);
        let last = story.changes().pop().unwrap();
        assert!(matches!(&last.subject, Subject::Run { run_id, .. } if run_id.as_str() == run));
        assert_eq!(last.to, Failed);
        assert_eq!(story.refusal_of(ReportedStatus::Failed, run), None);
        assert!(story.changes().is_empty(), "a copy");
    }
}

#[test]
fn all_runs_of_a_fan_out_may_start_before_the_first_ends() {
    let names: Vec<_> = (0..100).map(|number| format!("run-{number}")).collect();
    let all = |status| names.iter().map(move |name| (status, Some(name.as_str()))).collect::<Vec<_>>();
    let (started, failed) = (all(ReportedStatus::Running), all(ReportedStatus::Failed));
    let mut story = Story::of(ad_hoc());
    let both = [started.clone(), failed.clone()].concat();
    story.at("01:00").at_once(&both);
    assert_eq!(story.view().bad_streak, 100, "in one frame");
    story.at_once(&both);
    assert_eq!(story.view().bad_streak, 100, "copies");

    let mut story = Story::of(ad_hoc());
    story.at("01:00").at_once(&started);
    story.at("01:10").at_once(&failed);
    assert_eq!(story.view().bad_streak, 100, "ten minutes apart");
    assert!(names.iter().all(|name| story.run(name).status == Failed));
    story.at_once(&failed).at_once(&started);
    assert_eq!(story.view().bad_streak, 100, "copies");
    assert!(story.ids_are_unique());
}

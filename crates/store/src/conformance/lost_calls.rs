//! What whoever calls a store may rely on when calls and answers get lost, or arrive late: each case has a decorator before the store.

use std::sync::Arc;
use std::time::Duration;

use ronda_domain::id::SchedulerKey;
use ronda_domain::record::OccurrenceStatus;
use ronda_schemas::lease::{AssignmentRow, Group, MemberId, Slot};

use super::StoreHarness;
use super::faulty::{Fault, Faulty};
use super::fixture::{Owner, at, claim, due, error, everything, key, now, occurrence, refusal, row, run, tenant};
use crate::error::StoreErrorKind;
use crate::port::{
    Commit, HistoryQuery, IdempotencyClaim, IdempotencyStore as _, LabelStore as _, LeaseStore as _,
    PartitionStore as _, Retention as _, SchedulerReads as _, Store, SurfaceStore as _, SurfaceWrite,
};

async fn faulty(harness: &dyn StoreHarness) -> Faulty {
    Faulty::new(harness.open().await)
}

/// A commit of rows with a history entry, its run and an error each.
fn full(owner: &mut Owner, schedulers: &[SchedulerKey], position: u64) -> Arc<Commit> {
    let subject = due(3_600);
    let commit = Commit {
        rows: schedulers.iter().map(|scheduler| row(scheduler, position)).collect(),
        occurrences: schedulers
            .iter()
            .map(|scheduler| (scheduler.clone(), occurrence(&subject, OccurrenceStatus::Succeeded)))
            .collect(),
        runs: schedulers.iter().map(|scheduler| (scheduler.clone(), run(&subject, "run-1", 3_605))).collect(),
        errors: vec![error("acme", 3_610, 1)],
        ..owner.next_commit()
    };
    Arc::new(commit)
}

/// That such a commit is there, once.
async fn check_full(store: &dyn Store, schedulers: &[SchedulerKey], position: u64, cursor: u64) {
    for scheduler in schedulers {
        let stored = store.scheduler(scheduler.tenant.as_str(), scheduler.scheduler.as_str()).await.expect("scheduler");
        assert_eq!(stored.expect("it is there").position, position);
        let history = store.history(scheduler, &everything()).await.expect("history").entries;
        assert_eq!((history.len(), history[0].runs.len()), (1, 1));
    }
    assert_eq!(store.errors(&tenant("acme"), None, 10).await.expect("errors").len(), 1);
    assert_eq!(store.partition(0).await.expect("partition").expect("it is there").cursor, cursor);
}

fn three() -> Vec<SchedulerKey> {
    ["a", "b", "c"].map(|name| key("acme", name)).into()
}

/// The outcome is not known, so the same commit is made again; and once more, since its answer is lost again.
pub async fn a_commit_whose_answer_was_lost_is_made_again_and_counts_once(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let commit = full(&mut owner, &three(), 1);
    for _ in 0..2 {
        store.then("commit", Fault::AnswerLost);
        assert_eq!(refusal(store.commit(Arc::clone(&commit)).await), StoreErrorKind::Unavailable);
        check_full(&store, &three(), 1, 1).await;
    }
    store.commit(commit).await.expect("again");
    check_full(&store, &three(), 1, 1).await;
    let next = full(&mut owner, &three()[..1], 2);
    store.commit(next).await.expect("the next one");
    check_full(&store, &three()[..1], 2, 2).await;
    drop(store);
    check_full(&*harness.open().await, &three()[1..], 1, 2).await;
}

/// Lost on its way, then throttled, then made.
pub async fn a_commit_that_did_not_arrive_is_made_again_whole(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let commit = full(&mut owner, &three(), 1);
    store.then("commit", Fault::CallLost);
    store.then("commit", Fault::Throttled(Duration::from_millis(10)));
    for _ in 0..2 {
        let error = store.commit(Arc::clone(&commit)).await.expect_err("a fault");
        assert!(error.retryable);
        assert_eq!(store.scheduler("acme", "a").await.expect("scheduler"), None);
    }
    store.commit(commit).await.expect("again");
    assert!(store.is_through());
    check_full(&store, &three(), 1, 1).await;
}

/// Its owner has long given it up, and another one has come.
pub async fn a_commit_that_arrives_late_covers_nothing_of_the_next_owner(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    let mut stalled = Owner::acquire(&store, 0, 1).await;
    store.then("commit", Fault::Late);
    assert_eq!(refusal(store.commit(full(&mut stalled, &three(), 1)).await), StoreErrorKind::Unavailable);
    let mut owner = Owner::acquire(&store, 0, 1).await;
    owner.partition.cursor = 5;
    store.commit(full(&mut owner, &three(), 6)).await.expect("commit");
    let late = store.carry_out().await.pop().expect("it was delayed");
    assert_eq!(refusal(late), StoreErrorKind::Fenced);
    check_full(&store, &three(), 6, 6).await;
}

/// Whoever does not know whether it owns a partition acquires it again.
pub async fn an_acquisition_whose_answer_was_lost_costs_an_epoch_and_nothing_else(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    let mut before = Owner::acquire(&store, 0, 1).await;
    store.commit(full(&mut before, &three(), 1)).await.expect("commit");
    store.then("acquire", Fault::AnswerLost);
    assert_eq!(refusal(store.acquire(0, 1).await), StoreErrorKind::Unavailable);
    let owner = Owner::acquire(&store, 0, 1).await;
    assert!(
        owner.partition.epoch > before.partition.epoch + 1,
        "{} after {}",
        owner.partition.epoch,
        before.partition.epoch
    );
    assert_eq!(owner.partition.cursor, 1);
    assert_eq!(refusal(store.commit(full(&mut before, &three(), 2)).await), StoreErrorKind::Fenced);
}

/// It is for the new number already, and stays as it is.
pub async fn a_repartitioning_whose_answer_was_lost_is_made_again(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    store.commit(full(&mut owner, &three(), 1)).await.expect("commit");
    store.then("repartition", Fault::AnswerLost);
    assert_eq!(refusal(store.repartition(4).await), StoreErrorKind::Unavailable);
    store.repartition(4).await.expect("again");
    assert_eq!(refusal(store.commit(full(&mut owner, &three(), 2)).await), StoreErrorKind::Fenced);
    let rows = async |partition| {
        let owner = Owner::acquire(&store, partition, 4).await;
        assert_eq!(owner.partition.cursor, 1);
        store.load(partition, 4, None, 10).await.expect("rows").len()
    };
    assert_eq!(rows(0).await + rows(1).await + rows(2).await + rows(3).await, 3);
}

/// A page that was not heard is asked for again; none is left out, and none comes twice.
pub async fn pages_that_fail_are_read_again_from_where_they_begin(harness: &dyn StoreHarness) {
    const COUNT: u32 = 9;
    let store = faulty(harness).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let all: Vec<_> = (0..COUNT).map(|number| key("acme", &format!("job-{number}"))).collect();
    let entries = (1..=i64::from(COUNT)).map(|hour| due(hour * 3_600));
    let occurrences = entries.map(|due| (all[0].clone(), occurrence(&due, OccurrenceStatus::Succeeded))).collect();
    let rows = all.iter().map(|scheduler| row(scheduler, 1)).collect();
    store.commit(Arc::new(Commit { rows, occurrences, ..owner.next_commit() })).await.expect("commit");

    let mut loaded = Vec::new();
    loop {
        store.then("load", Fault::AnswerLost);
        let after = loaded.last().cloned();
        assert_eq!(refusal(store.load(0, 1, after.as_ref(), 2).await), StoreErrorKind::Unavailable);
        let page = store.load(0, 1, after.as_ref(), 2).await.expect("a page");
        if page.is_empty() {
            break;
        }
        loaded.extend(page.into_iter().map(|row| row.key));
    }
    loaded.sort();
    assert_eq!(loaded, all);

    let mut listed = Vec::new();
    loop {
        store.then("schedulers", Fault::CallLost);
        let after = listed.last().cloned();
        assert_eq!(refusal(store.schedulers(&tenant("acme"), after.as_ref(), 2).await), StoreErrorKind::Unavailable);
        let page = store.schedulers(&tenant("acme"), after.as_ref(), 2).await.expect("a page");
        let is_last = page.len() < 2;
        listed.extend(page.into_iter().map(|row| row.key.scheduler));
        if is_last {
            break;
        }
    }
    assert_eq!(listed, all.iter().map(|key| key.scheduler.clone()).collect::<Vec<_>>());

    let (mut seen, mut after) = (0, None);
    loop {
        store.then("history", Fault::AnswerLost);
        let query = HistoryQuery { after: after.clone(), limit: 2, ..everything() };
        assert_eq!(refusal(store.history(&all[0], &query).await), StoreErrorKind::Unavailable);
        let page = store.history(&all[0], &query).await.expect("a page");
        seen += page.entries.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, usize::try_from(COUNT).expect("a few"));
}

fn surface(number: usize, row: &str) -> SurfaceWrite {
    SurfaceWrite { key: format!("alert/{number:04}"), row: Some(row.as_bytes().to_vec()) }
}

/// More than a store without transactions of any size takes at once.
fn surfaces(row: &str) -> Vec<SurfaceWrite> {
    (0..150).map(|number| surface(number, row)).collect()
}

async fn check_surfaces(store: &dyn Store, wanted: &str) {
    let rows = store.surfaces(3, "alert/", None, 1_000).await.expect("surfaces");
    assert_eq!(rows.len(), 150);
    assert!(rows.iter().all(|(_, row)| row == wanted.as_bytes()), "all are {wanted}");
}

/// The outcome is not known; the same commit is made again.
pub async fn surfaces_whose_answer_was_lost_are_committed_again(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    let epoch = store.acquire_shard(3).await.expect("acquire");
    for (fault, row) in [(Fault::AnswerLost, "first"), (Fault::CallLost, "then")] {
        store.then("commit_surfaces", fault);
        assert_eq!(refusal(store.commit_surfaces(3, epoch, surfaces(row)).await), StoreErrorKind::Unavailable);
        store.commit_surfaces(3, epoch, surfaces(row)).await.expect("again");
        check_surfaces(&store, row).await;
    }
}

/// Its owner has given it up, and another one has come.
pub async fn surfaces_that_arrive_late_cover_nothing_of_the_next_owner(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    let stalled = store.acquire_shard(3).await.expect("acquire");
    store.then("commit_surfaces", Fault::Late);
    assert_eq!(refusal(store.commit_surfaces(3, stalled, surfaces("late")).await), StoreErrorKind::Unavailable);
    let epoch = store.acquire_shard(3).await.expect("acquire");
    store.commit_surfaces(3, epoch, surfaces("new")).await.expect("commit");
    let late = store.carry_out().await.pop().expect("it was delayed");
    assert_eq!(refusal(late), StoreErrorKind::Fenced);
    check_surfaces(&store, "new").await;
}

/// Whoever claims again finds its own claim, and knows it by what it wrote.
pub async fn a_claim_whose_answer_was_lost_is_found(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    let (acme, mine) = (tenant("acme"), claim(1, now()));
    store.then("claim", Fault::AnswerLost);
    assert_eq!(refusal(store.claim(&acme, "k", mine.clone()).await), StoreErrorKind::Unavailable);
    let again = store.claim(&acme, "k", mine.clone()).await.expect("claim");
    assert_eq!(again, IdempotencyClaim::Existing(mine));
    store.then("release", Fault::AnswerLost);
    assert_eq!(refusal(store.release(&acme, "k").await), StoreErrorKind::Unavailable);
    store.release(&acme, "k").await.expect("nobody holds it");
    let other = claim(2, now());
    assert_eq!(store.claim(&acme, "k", other).await.expect("claim"), IdempotencyClaim::Claimed);
}

/// What is there is read again.
pub async fn a_label_whose_answer_was_lost_is_found(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    store.then("put_label", Fault::AnswerLost);
    assert_eq!(refusal(store.put_label("identity", None, "nats").await), StoreErrorKind::Unavailable);
    assert!(!store.put_label("identity", None, "nats").await.expect("label"), "it is there already");
    assert_eq!(store.label("identity").await.expect("label").as_deref(), Some("nats"));
}

/// A swap that may or may not be there is told `false` when it is made again; what is there says which.
pub async fn a_swap_whose_answer_was_lost_is_found(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    let mine = AssignmentRow { version: 1, slots: vec![Slot::Held(MemberId(7)); 4] };
    store.then("swap_assignment", Fault::AnswerLost);
    assert_eq!(refusal(store.swap_assignment(Group::Processor, &mine).await), StoreErrorKind::Unavailable);
    assert!(!store.swap_assignment(Group::Processor, &mine).await.expect("swap"));
    assert_eq!(store.leases(Group::Processor).await.expect("leases").assignment, mine);
}

/// What was removed is gone, and the rest is found by going on from the same place.
pub async fn a_purge_whose_answer_was_lost_goes_on(harness: &dyn StoreHarness) {
    let store = faulty(harness).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let job = key("acme", "job");
    let dues = [3_600, 7_200, 90_000].map(due);
    let occurrences = dues.iter().map(|due| (job.clone(), occurrence(due, OccurrenceStatus::Succeeded))).collect();
    store
        .commit(Arc::new(Commit { rows: vec![row(&job, 1)], occurrences, ..owner.next_commit() }))
        .await
        .expect("commit");
    let mut resume = None;
    loop {
        store.then("purge", Fault::AnswerLost);
        assert_eq!(refusal(store.purge(at(86_400), resume.clone(), 1).await), StoreErrorKind::Unavailable);
        match store.purge(at(86_400), resume, 1).await.expect("purge").next {
            None => break,
            next => resume = next,
        }
    }
    let left = store.history(&job, &everything()).await.expect("history").entries.len();
    assert_eq!(left, if harness.expires_by_itself() { 3 } else { 1 });
}

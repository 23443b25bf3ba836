//! The bytes' order is the documented order, and no key stands for two things.

use std::cmp::{Ordering, Reverse};

use proptest::prelude::*;
use ronda_domain::id::RunId;

use super::*;

fn id() -> impl Strategy<Value = String> {
    // Few letters and short: equal and prefixing ids must come up often.
    "[Aab_-]{1,4}"
}

fn scheduler_key() -> impl Strategy<Value = SchedulerKey> {
    (id(), id()).prop_map(|(tenant, scheduler)| SchedulerKey {
        tenant: TenantId::new(&tenant).unwrap(),
        scheduler: SchedulerId::new(&scheduler).unwrap(),
    })
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![-3_i64..3, any::<i64>(), Just(i64::MIN), Just(i64::MAX)].prop_map(Timestamp::from_millis)
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        time().prop_map(|due| Subject::Occurrence { due }),
        (time(), "[a.:-]{1,3}").prop_map(|(started, run)| Subject::Run { started, run_id: RunId::new(&run).unwrap() }),
        time().prop_map(|since| Subject::Silence { since }),
    ]
}

fn kind(subject: &Subject) -> u8 {
    match subject {
        Subject::Occurrence { .. } => 0,
        Subject::Run { .. } => 1,
        Subject::Silence { .. } => 2,
    }
}

/// The documented order of a history: newest first, then by kind, then by run id.
fn documented(left: &Subject, right: &Subject) -> Ordering {
    let by_time = Reverse(left.time()).cmp(&Reverse(right.time()));
    by_time.then_with(|| kind(left).cmp(&kind(right))).then_with(|| left.cmp(right))
}

proptest! {
    #[test]
    fn schedulers_sort_by_tenant_and_id(left in scheduler_key(), right in scheduler_key()) {
        prop_assert_eq!(index(&left).cmp(&index(&right)), left.cmp(&right));
        prop_assert_eq!(read_index(&index(&left)), Some(left));
    }

    #[test]
    fn rows_sort_by_slot_first(left in scheduler_key(), right in scheduler_key()) {
        let bytes = |key: &SchedulerKey| row(key.tenant.as_str(), key.scheduler.as_str());
        let expected = (left.slot(), &left).cmp(&(right.slot(), &right));
        prop_assert_eq!(bytes(&left).cmp(&bytes(&right)), expected);
    }

    #[test]
    fn a_history_sorts_newest_first(key in scheduler_key(), left in subject(), right in subject()) {
        prop_assert_eq!(entry(&key, &left).cmp(&entry(&key, &right)), documented(&left, &right));
    }

    #[test]
    fn runs_come_right_after_their_entry(
        key in scheduler_key(), other in scheduler_key(), left in subject(), right in subject(), run_id in "[a.:-]{1,3}"
    ) {
        let run_key = run(&key, &left, &run_id);
        prop_assert!(run_key.starts_with(&entry(&key, &left)));
        let entry_key = entry(&key, &left);
        prop_assert_eq!((entry_of(&run_key), entry_of(&entry_key)), (Some(entry_key.as_slice()), Some(entry_key.as_slice())));
        prop_assert_eq!(run_key.starts_with(&entry(&other, &right)), key == other && left == right);
        if left != right {
            prop_assert_eq!(run_key.cmp(&entry(&key, &right)), documented(&left, &right));
        }
        let owner = history(&key);
        prop_assert_eq!(history_owner(&run_key), Some(owner.as_slice()));
    }

    #[test]
    fn a_time_cuts_a_history_in_two(key in scheduler_key(), subject in subject(), at in time()) {
        let is_before = entry(&key, &subject) >= history_before(&history(&key), at);
        prop_assert_eq!(is_before, subject.time() < at);
    }

    #[test]
    fn errors_sort_newest_first(
        tenant_id in id(), left in (time(), 0..3_u64, any::<u64>(), 0..3_u32), right in (time(), 0..3_u64, any::<u64>(), 0..3_u32)
    ) {
        let tenant_id = TenantId::new(&tenant_id).unwrap();
        let cursor = |(at, source, sequence, index)| ErrorCursor { at, message: MessageId { source, sequence, index } };
        let (left, right) = (cursor(left), cursor(right));
        prop_assert_eq!(error(&tenant_id, left).cmp(&error(&tenant_id, right)), right.cmp(&left));
    }

    #[test]
    fn tenants_do_not_mix(left in scheduler_key(), right in id()) {
        let other = TenantId::new(&right).unwrap();
        prop_assert_eq!(index(&left).starts_with(&tenant(&other)), left.tenant == other);
        let (own, whole) = (tenant(&left.tenant), index(&left));
        prop_assert_eq!(tenant_owner(&whole), Some(own.as_slice()));
    }

    #[test]
    fn the_end_of_a_prefix_is_after_all_of_it(prefix in proptest::collection::vec(any::<u8>(), 0..4), rest in proptest::collection::vec(any::<u8>(), 0..4)) {
        let long = [prefix.clone(), rest].concat();
        match after_prefix(&prefix) {
            Some(end) => prop_assert!(long < end && end > prefix),
            None => prop_assert!(prefix.iter().all(|byte| *byte == u8::MAX)),
        }
    }
}

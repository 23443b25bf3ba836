//! The store port's conformance suite: what every adapter promises, checked against the real thing.
//!
//! An adapter's tests name how a fresh store is made, and get one test a case:
//!
//! ```text
//! ronda_store::store_conformance_tests!(MyHarness::new().await);
//! ```

pub mod commits;
pub mod faulty;
pub mod fixture;
pub mod histories;
pub mod leases;
pub mod lists;
pub mod lost_calls;
pub mod notes;
pub mod retention;

use std::sync::Arc;

use async_trait::async_trait;

use crate::port::Store;

/// One fresh, empty store for one case.
#[async_trait]
pub trait StoreHarness: Send + Sync {
    /// Opens the store. The case has dropped what it opened before; what was written then is there.
    ///
    /// What expires by itself is kept longer than since 1970, where the cases' own times lie.
    async fn open(&self) -> Arc<dyn Store>;

    /// The same, with history and errors kept for so many seconds where they expire by themselves.
    async fn open_keeping(&self, _keep_seconds: u32) -> Arc<dyn Store> {
        self.open().await
    }

    /// Whether history, errors and idempotency keys go by themselves when their time is over, so that a purge finds nothing to do.
    fn expires_by_itself(&self) -> bool {
        false
    }
}

/// Makes one `#[tokio::test]` of each case. The argument is an expression that makes a [`StoreHarness`] with an empty store; it may await.
#[macro_export]
macro_rules! store_conformance_tests {
    ($harness:expr) => {
        $crate::store_conformance_tests!(@cases $harness,
            commits: [
                a_commit_is_seen_and_survives_reopening,
                a_refused_commit_leaves_nothing,
                an_older_epoch_is_fenced_out_whole,
                an_owner_that_asks_is_told_whether_it_was_replaced,
                nobody_commits_without_acquiring,
                acquiring_raises_the_epoch_and_keeps_the_rest,
                another_number_of_partitions_is_refused,
                the_number_of_partitions_changes_as_a_whole,
                loading_gives_each_row_to_one_partition,
                concurrent_commits_are_all_kept,
                a_large_commit_is_kept_whole,
            ],
            lists: [
                schedulers_come_by_id_in_pages,
                deleted_schedulers_are_hidden_and_still_loaded,
                a_scheduler_comes_back_after_deletion,
                tenants_never_mix,
                tenants_are_those_with_schedulers_or_keys,
                texts_that_are_no_ids_are_not_found,
            ],
            histories: [
                a_history_comes_newest_first_with_its_runs,
                a_history_is_cut_by_time,
                pages_of_a_history_lose_and_repeat_nothing,
                an_entry_comes_with_its_newest_runs,
                a_page_of_a_history_looks_at_no_more_than_it_may,
                an_entry_written_again_replaces_the_first,
                a_history_outlives_its_scheduler,
                errors_come_newest_first_in_pages,
            ],
            notes: [
                keys_are_put_found_listed_and_revoked,
                one_of_many_claims_wins,
                a_claim_is_answered_and_given_again,
                a_claim_is_given_back,
                one_of_many_takes_a_claim_over,
                surfaces_are_read_by_prefix_in_pages,
                surfaces_are_fenced_by_epoch,
                labels_are_put_by_who_knows_what_is_there,
            ],
            leases: [
                members_are_put_read_and_removed,
                a_member_that_was_renewed_is_not_removed,
                an_assignment_follows_only_the_version_before,
                of_swaps_at_once_one_wins,
                groups_are_apart,
                the_largest_assignment_fits,
            ],
            lost_calls: [
                a_commit_whose_answer_was_lost_is_made_again_and_counts_once,
                a_commit_that_did_not_arrive_is_made_again_whole,
                a_commit_that_arrives_late_covers_nothing_of_the_next_owner,
                an_acquisition_whose_answer_was_lost_costs_an_epoch_and_nothing_else,
                a_repartitioning_whose_answer_was_lost_is_made_again,
                pages_that_fail_are_read_again_from_where_they_begin,
                surfaces_whose_answer_was_lost_are_committed_again,
                surfaces_that_arrive_late_cover_nothing_of_the_next_owner,
                a_claim_whose_answer_was_lost_is_found,
                a_label_whose_answer_was_lost_is_found,
                a_swap_whose_answer_was_lost_is_found,
                a_purge_whose_answer_was_lost_goes_on,
            ],
            retention: [
                a_purge_removes_the_old_and_spares_the_new,
                a_purge_goes_on_where_it_stopped,
                idempotency_keys_are_kept_for_a_day,
            ]
        );
    };
    (@cases $harness:expr, $($group:ident: [$($case:ident),+ $(,)?]),+) => {
        $(mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let harness = $harness;
                    $crate::conformance::$group::$case(&harness).await;
                }
            )+
        })+
    };
}

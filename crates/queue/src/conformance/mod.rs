//! What every queue promises, as tests. Part of the port: an adapter is one when it passes all of them.
//!
//! An adapter's tests implement [`QueueHarness`] for their backend and name it in
//! [`queue_conformance_tests!`](crate::queue_conformance_tests), which makes one test of each case. Cases panic, as tests
//! do. What a backend can't do by its nature is said by its [`Capabilities`](crate::Capabilities), and the case then
//! checks only what holds for it.

mod broker;
mod counted;
mod flow;
mod order;
mod restart;
mod tools;

use std::sync::Arc;

use async_trait::async_trait;

use crate::port::Queue;

pub use broker::*;
pub use counted::CountedQueue;
pub use flow::*;
pub use order::*;
pub use restart::*;

/// What queue a case needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Number of partitions.
    pub partitions: u32,
    /// The queue is to be full after 1 to 16 MiB of messages, where the backend can be limited at all.
    pub small: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { partitions: 4, small: false }
    }
}

/// Makes queues of one kind for the cases.
#[async_trait]
pub trait QueueHarness: Send + Sized {
    /// A new, empty queue that no other case sees.
    async fn start(setup: Setup) -> Self;

    /// The queue.
    fn queue(&self) -> Arc<dyn Queue>;

    /// Lets the queue go and opens it anew, as a restart of the process does. Cases drop their receivers before.
    async fn reopen(&mut self);
}

/// Makes a `#[tokio::test]` of each case for a [`QueueHarness`](crate::conformance::QueueHarness).
#[macro_export]
macro_rules! queue_conformance_tests {
    ($harness:ty) => {
        $crate::queue_conformance_tests!(@cases $harness:
            messages_of_a_partition_come_in_the_order_they_were_published
            partitions_are_independent
            a_receiver_starts_after_the_position_it_names
            a_position_never_given_out_is_refused
            two_receivers_see_the_same_order
            concurrent_publishers_find_each_message_exactly_once
            publishes_under_way_at_once_keep_their_order
            smallest_and_largest_messages_go_through
            a_receiver_waits_for_the_first_message
            receive_respects_its_limits
            receive_is_cancel_safe
            a_message_too_large_is_refused
            a_partition_that_does_not_exist_is_refused
            a_full_queue_refuses_and_works_again_after_settling
            depth_tells_what_is_there
            settled_messages_are_not_offered_again
            settling_never_takes_what_is_unsettled
            settling_backwards_changes_nothing
            a_closed_reader_leaves_the_next_what_it_did_not_settle
            a_restart_keeps_everything_unsettled
            positions_go_on_after_a_restart
            positions_go_on_when_everything_was_settled_before_the_restart
            a_reader_goes_on_from_its_cursor_after_a_restart
        );
    };
    (@cases $harness:ty: $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::$case::<$harness>().await;
            }
        )*
    };
}

/// Makes a `#[tokio::test]` of each further case for a [`BrokerHarness`](crate::conformance::BrokerHarness).
#[macro_export]
macro_rules! broker_conformance_tests {
    ($harness:ty) => {
        $crate::queue_conformance_tests!(@cases $harness:
            what_was_in_hand_comes_again_in_order
            order_holds_over_several_deaths_in_a_row
            order_holds_when_an_owner_is_cut_off
            a_stalled_owner_is_replaced_and_its_late_settle_takes_nothing
            a_lost_confirmation_loses_no_message
            a_delivery_that_got_lost_comes_again
            a_broken_connection_is_made_anew
            publishes_end_while_the_broker_is_away
            a_killed_broker_keeps_what_it_confirmed
            a_slow_reader_keeps_its_deliveries
            a_publish_that_reaches_no_queue_is_an_error
            blocked_publishers_stop_no_receiver
            direct_messages_say_where_they_come_from
        );
    };
}

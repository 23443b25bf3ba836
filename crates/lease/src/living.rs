//! Whether anybody of a group lives, as seen by one who is no member of it.

use std::collections::BTreeMap;
use std::time::Duration;

use ronda_schemas::lease::{Group, MemberId, MemberRow};
use ronda_store::error::StoreError;
use ronda_store::lease::LeaseStore;
use tokio::time::{Instant, sleep};

/// Between two looks. Nobody waits for each of them, as members do.
const POLL: Duration = Duration::from_millis(250);

/// Looks on until a member gives a sign of life, or none has for a lease. Answers those who did: at once nobody where there are no rows, since a
/// member that ends in order takes its own away, and after `lease_ms` where rows were left by members that were killed.
///
/// `lease_ms` is what the members themselves are set to, in milliseconds. A member that stands still for longer is not seen, here as elsewhere: the
/// fence of each commit is what keeps it from doing harm.
///
/// # Errors
/// Any [`StoreError`].
pub async fn living(store: &dyn LeaseStore, group: Group, lease_ms: u64) -> Result<Vec<MemberRow>, StoreError> {
    let first: BTreeMap<MemberId, u64> =
        store.leases(group).await?.members.into_iter().map(|row| (row.id, row.renewals)).collect();
    if first.is_empty() {
        return Ok(Vec::new());
    }
    // From after the read: a store that is slow to answer takes nothing of a member's time.
    let watched = Instant::now();
    loop {
        sleep(POLL.min(Duration::from_millis(lease_ms / 4))).await;
        let is_over = watched.elapsed() >= Duration::from_millis(lease_ms);
        let mut living = store.leases(group).await?.members;
        living.retain(|row| first.get(&row.id) != Some(&row.renewals));
        if is_over || !living.is_empty() {
            return Ok(living);
        }
    }
}

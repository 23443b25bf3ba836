//! Which replica of a service works on which partition.
//!
//! A service gets an [`Ownership`]: what it shall work on now, as that changes. It says when it has let go of a partition, and when it found
//! that somebody else has written to one of its own. Nothing here keeps two from working on the same partition: that is the fence of each
//! commit in the store.

mod ownership;

pub use ownership::{Ended, Owner, Ownership, Partitions, Returned};

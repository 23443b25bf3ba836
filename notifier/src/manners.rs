//! What the channel is like at each of its destinations, asked once.

use std::collections::BTreeMap;

use crate::channel::{Channel, Manner};

/// Manners by destination.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// Where nobody asked: of a destination that is not configured any more.
    otherwise: Manner,
    by_channel: BTreeMap<String, Manner>,
}

impl Manners {
    /// Of a channel at these destinations.
    pub(crate) fn of_channel(channel: &dyn Channel, destinations: Vec<String>) -> Self {
        let by_channel = destinations.into_iter().map(|place| (place.clone(), channel.manner(&place))).collect();
        Self { otherwise: channel.manner(""), by_channel }
    }

    /// The same everywhere.
    #[cfg(test)]
    pub(crate) const fn everywhere(manner: Manner) -> Self {
        Self { otherwise: manner, by_channel: BTreeMap::new() }
    }

    /// At this destination.
    pub(crate) fn of(&self, destination: &str) -> &Manner {
        self.by_channel.get(destination).unwrap_or(&self.otherwise)
    }
}

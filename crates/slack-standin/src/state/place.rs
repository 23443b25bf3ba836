//! Channels and permissions: who may do what where.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What the app may do, as its manifest asked for. <https://docs.slack.dev/reference/scopes>
const SCOPES: [&str; 8] = [
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "connections:write",
    "groups:history",
    "groups:read",
    "users:read",
];

/// One channel as the app finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// Only members know of it.
    pub private: bool,
    /// Nothing can be posted any more.
    pub archived: bool,
    /// Whether the app is a member.
    pub member: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { private: false, archived: false, member: true }
    }
}

/// A call that is refused before it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// With this code.
    Code(&'static str),
    /// The app lacks this scope.
    Scope(&'static str),
}

/// The workspace's channels, and the app's rights.
#[derive(Debug)]
pub(crate) struct Places {
    named: BTreeMap<String, Place>,
    scopes: BTreeSet<String>,
    /// Why the token is none any more, such as `token_revoked`.
    pub(crate) token_refused: Option<String>,
}

impl Default for Places {
    fn default() -> Self {
        let scopes = SCOPES.iter().map(|scope| (*scope).to_owned()).collect();
        Self { named: BTreeMap::new(), scopes, token_refused: None }
    }
}

impl Places {
    pub(crate) fn set(&mut self, channel: &str, place: Place) {
        self.named.insert(channel.to_owned(), place);
    }

    /// Every id (`C…`, `G…`) is a channel that the app is a member of; what goes by a name has to be made known.
    pub(crate) fn get(&self, channel: &str) -> Option<Place> {
        let is_id = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        let by_id = || {
            let private = channel.starts_with('G');
            channel.strip_prefix(['C', 'G']).is_some_and(is_id).then(|| Place { private, ..Place::default() })
        };
        self.named.get(channel).copied().or_else(by_id)
    }

    pub(crate) fn set_scope(&mut self, scope: &str, granted: bool) {
        if granted {
            self.scopes.insert(scope.to_owned());
        } else {
            self.scopes.remove(scope);
        }
    }

    /// All scopes, as `provided` and `x-oauth-scopes` list them.
    pub(crate) fn provided(&self) -> String {
        self.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn require(&self, scope: &'static str) -> Result<(), Denied> {
        if self.scopes.contains(scope) { Ok(()) } else { Err(Denied::Scope(scope)) }
    }

    /// The app's way into a channel: to write there or to read.
    pub(crate) fn enter(&self, channel: &str, write: bool) -> Result<Place, Denied> {
        let place = self.get(channel).ok_or(Denied::Code("channel_not_found"))?;
        if !place.member {
            // A private channel doesn't exist for those who aren't in it.
            return Err(Denied::Code(if place.private { "channel_not_found" } else { "not_in_channel" }));
        }
        if write && place.archived {
            return Err(Denied::Code("is_archived"));
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_lets_in_members_while_it_is_open() {
        let mut places = Places::default();
        assert!(places.enter("C1", true).is_ok());
        assert_eq!(places.enter("nowhere", true), Err(Denied::Code("channel_not_found")));
        places.set("C2", Place { archived: true, ..Place::default() });
        assert_eq!(places.enter("C2", true), Err(Denied::Code("is_archived")));
        assert!(places.enter("C2", false).is_ok(), "what was said there can be read");
        places.set("C3", Place { member: false, ..Place::default() });
        assert_eq!(places.enter("C3", true), Err(Denied::Code("not_in_channel")));
        places.set("C4", Place { member: false, private: true, ..Place::default() });
        assert_eq!(places.enter("C4", true), Err(Denied::Code("channel_not_found")));
    }

    #[test]
    fn a_scope_is_needed_until_it_is_granted() {
        let mut places = Places::default();
        places.set_scope("chat:write", false);
        assert_eq!(places.require("chat:write"), Err(Denied::Scope("chat:write")));
        assert!(!places.provided().contains("chat:write"));
        places.set_scope("chat:write", true);
        assert_eq!(places.require("chat:write"), Ok(()));
    }
}

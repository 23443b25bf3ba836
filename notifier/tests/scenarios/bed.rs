//! Where a scenario's notifiers keep what they know: a store of each scenario's own, on the embedded store or on a server.

use std::sync::Arc;

use ronda_store::embedded::{EmbeddedOptions, EmbeddedStore};
use ronda_store::port::Store;

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum On {
    Embedded,
    #[cfg(feature = "cassandra")]
    Cassandra,
}

impl On {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            #[cfg(feature = "cassandra")]
            Self::Cassandra => "Cassandra",
        }
    }
}

/// An empty store.
pub(crate) enum Bed {
    Embedded {
        store: Arc<EmbeddedStore>,
        _dir: tempfile::TempDir,
    },
    #[cfg(feature = "cassandra")]
    Cassandra(crate::cassandra::Keyspace),
}

impl Bed {
    /// `None`: there is no server to be had, which was told.
    pub(crate) async fn made(on: On) -> Option<Self> {
        // Until the server listens on its port, a scenario on any store could be given that.
        #[cfg(feature = "cassandra")]
        let _ = crate::cassandra::server();
        match on {
            On::Embedded => {
                let dir = tempfile::tempdir().unwrap();
                let store = Arc::new(EmbeddedStore::open(dir.path(), EmbeddedOptions::default()).unwrap());
                Some(Self::Embedded { store, _dir: dir })
            }
            #[cfg(feature = "cassandra")]
            On::Cassandra => crate::cassandra::Keyspace::empty().await.map(Self::Cassandra),
        }
    }

    /// The store as one more process has it.
    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded { store, .. } => Arc::clone(store) as _,
            #[cfg(feature = "cassandra")]
            Self::Cassandra(keyspace) => keyspace.open().await,
        }
    }

    /// Whose jobs a scenario is about: nobody's before it.
    pub(crate) fn tenant(&self) -> String {
        match self {
            Self::Embedded { .. } => "acme".to_owned(),
            #[cfg(feature = "cassandra")]
            Self::Cassandra(keyspace) => keyspace.tenant(),
        }
    }

    /// Is given back by a scenario that went well.
    pub(crate) async fn leave(self) {
        match self {
            Self::Embedded { .. } => {}
            #[cfg(feature = "cassandra")]
            Self::Cassandra(keyspace) => keyspace.leave().await,
        }
    }
}

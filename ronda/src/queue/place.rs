//! The queues that a command is for.

use std::sync::Arc;

use ronda_queue::{Broker, EmbeddedBroker, Role};

use crate::admin;
use crate::cli::QueuePlace;
use ronda_host::arguments;
use ronda_host::config::{Loaded, Settings};
use ronda_host::exit::{Code, Failure};
use ronda_host::parts::{self, NotOpened};
use ronda_host::{broker, identity};

/// The settings that a command's flags, the environment and the file give.
///
/// # Errors
/// Every mistake in them.
pub fn load(place: &QueuePlace) -> Result<Loaded, Failure> {
    let queue = place.queue.iter().map(|url| ("queue", "url", "--queue", url.clone()));
    arguments::load(&place.place, queue.collect())
}

/// Queues of which the embedded ones are open.
pub struct Opened<'a> {
    settings: &'a Settings,
    embedded: Option<EmbeddedBroker>,
}

/// Opens embedded queues that are there. A broker is not asked yet.
///
/// # Errors
/// There are none, or they can't be opened.
pub fn open<'a>(settings: &'a Settings, roles: &[Role]) -> Result<Opened<'a>, NotOpened> {
    if !settings.queue.url.is_embedded() {
        return Ok(Opened { settings, embedded: None });
    }
    let data = &settings.storage.data;
    is_embedded(settings)?;
    let embedded = parts::embedded_broker(settings);
    if roles.iter().any(|role| !embedded.dir(*role).is_dir()) {
        return Err(admin::no_data(data));
    }
    for role in roles {
        embedded.open(*role)?;
    }
    Ok(Opened { settings, embedded: Some(embedded) })
}

/// Refuses the embedded queues of a data directory whose queues are on a broker.
///
/// # Errors
/// On which.
pub fn is_embedded(settings: &Settings) -> Result<(), Failure> {
    let data = &settings.storage.data;
    match identity::broker_of(data)?.filter(|_| settings.queue.url.is_embedded()) {
        Some(name) => {
            let what = format!("the queues of {} are on {name}: name them (queue.url, --queue)", data.display());
            Err(Failure::new(Code::Data, what))
        }
        None => Ok(()),
    }
}

/// Refuses to make queues as files for a store on a server, unless somebody said so: most likely an address was forgotten, and the services that
/// share the store would not find them.
///
/// # Errors
/// What to set.
pub fn is_meant(loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    if !settings.queue.url.is_embedded() || settings.store.url.is_embedded() || loaded.origins.contains_key("queue.url")
    {
        return Ok(());
    }
    let what = format!(
        "the store is on {}, and no queues are named: set queue.url (--queue, RONDA_QUEUE_URL) to the broker's address, or to \"embedded:\" if \
         'ronda up' shall keep them in {}",
        settings.store.url.place(),
        settings.storage.data.display()
    );
    Err(Failure::new(Code::Configuration, what))
}

impl Opened<'_> {
    /// The backend, reached.
    ///
    /// # Errors
    /// Why it can't be.
    pub async fn broker(self) -> Result<Arc<dyn Broker>, Failure> {
        match self.embedded {
            Some(embedded) => Ok(Arc::new(embedded)),
            None => broker::reach(self.settings).await,
        }
    }
}

/// The backend that the settings name. Nothing is opened or made.
///
/// # Errors
/// Why it can't be reached.
pub async fn reach(settings: &Settings) -> Result<Arc<dyn Broker>, Failure> {
    match settings.queue.url.is_embedded() {
        true => Ok(Arc::new(parts::embedded_broker(settings))),
        false => broker::reach(settings).await,
    }
}

//! The flags that processes and commands share, and the settings that come of them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Draft, Flaw, Loaded, Settings, Sources};
use crate::exit::{Code, Failure};

/// Where store, data directory and configuration are.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Where the store is: embedded:, cassandra://…, scylla://…, dynamodb://…; give a password by RONDA_STORE_URL [default: embedded:]
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// Data directory [default: ./ronda-data]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file [default: ronda.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "RONDA_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Flags of a process that runs services.
#[derive(Clone, Debug, Args)]
pub struct ServiceArguments {
    /// Address of the HTTP API [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Address of health and metrics [default: 127.0.0.1:3001]
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,
    /// Where the queues are: embedded:, nats://…, sqs://…, amqp://…; others can see a command line, so give a password by RONDA_QUEUE_URL [default: embedded:]
    #[arg(long, value_name = "URL")]
    pub queue: Option<String>,
    /// Partitions of the command queue, a power of two; fixed when the queue is made [default: 4]
    #[arg(long)]
    pub partitions: Option<u32>,
    /// Where the data is, and the configuration.
    #[command(flatten)]
    pub place: Place,
}

/// A flag that sets a setting: section, key, the flag's name and its text.
pub type Flag = (&'static str, &'static str, &'static str, String);

impl ServiceArguments {
    /// The settings that flags, environment and file give, for a process that has more to ask of them.
    ///
    /// # Errors
    /// Every mistake in them.
    pub fn load(&self, more: impl FnOnce(Draft) -> Draft) -> Result<Loaded, Failure> {
        let text = |text: Option<String>, section, key, flag| text.map(|text| (section, key, flag, text));
        let flags = [
            text(self.listen.map(|listen| listen.to_string()), "server", "listen", "--listen"),
            text(self.admin_listen.map(|listen| listen.to_string()), "server", "admin_listen", "--admin-listen"),
            text(self.queue.clone(), "queue", "url", "--queue"),
            text(self.partitions.map(|partitions| partitions.to_string()), "storage", "partitions", "--partitions"),
        ];
        let draft = draft(&self.place, flags.into_iter().flatten().collect())?.checked_by(whole_queues);
        Ok(more(draft).finish()?)
    }
}

/// Of processes only: commands that need only one of the two shall not be asked for the other.
fn whole_queues(settings: &Settings) -> Vec<Flaw> {
    if !settings.queue.url.is_embedded() || settings.store.url.is_embedded() {
        return Vec::new();
    }
    let what = "names a server, whose rows several processes share, while the queues are files of one process: name a broker, too \
                (queue.url, --queue)";
    vec![Flaw { key: String::from("store.url"), what: what.to_owned() }]
}

/// Loads the configuration for a command that sends nothing: file, environment, and the flags that it has.
///
/// # Errors
/// Every mistake in it.
pub fn load(place: &Place, flags: Vec<Flag>) -> Result<Loaded, Failure> {
    Ok(draft(place, flags)?.finish()?)
}

/// Reads the same, for a command that has more to ask of it.
///
/// # Errors
/// Flags that can't be taken.
pub fn draft(place: &Place, flags: Vec<Flag>) -> Result<Draft, Failure> {
    let mut sources = Sources::of_process(place.config.clone());
    sources.flags = flags;
    if let Some(store) = &place.store {
        sources.flags.push(("store", "url", "--store", store.clone()));
    }
    if let Some(data) = &place.data {
        let data = data.to_str().ok_or_else(|| Failure::new(Code::Usage, "--data must be a path in UTF-8"))?;
        sources.flags.push(("storage", "data", "--data", data.to_owned()));
    }
    Ok(config::draft(&sources))
}

//! Which queues a command was told to look into. The process that owns the data directory has queues of its own, and does nothing to them
//! for somebody who means others.

use serde::Deserialize;

use ronda_host::config::{Loaded, Settings};
use ronda_host::exit::{Code, Failure};

/// What was named by a flag, the environment or a file; what was not is whatever the running process has. It goes along as a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Named {
    /// The queues' address, as [`place`] writes it.
    #[serde(default)]
    queue: Option<String>,
    /// Their prefix.
    #[serde(default)]
    prefix: Option<String>,
}

impl Named {
    /// What a command's settings name.
    #[must_use]
    pub fn of(loaded: &Loaded) -> Self {
        let (queue, is_named) = (&loaded.settings.queue, |key: &str| loaded.origins.contains_key(key));
        let url = is_named("queue.url").then(|| place(queue.url.expose()));
        // Whoever names an address means the prefix as well that goes with it here.
        let prefix = (url.is_some() || is_named("queue.prefix")).then(|| queue.prefix.clone());
        Self { queue: url, prefix }
    }

    /// As parameters of a query.
    #[must_use]
    pub fn query(&self) -> Vec<(&'static str, String)> {
        let named = [("queue", &self.queue), ("prefix", &self.prefix)];
        named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }

    /// Refuses queues that are not those of the running process.
    ///
    /// # Errors
    /// Which it uses, and which are named.
    pub fn check(&self, settings: &Settings) -> Result<(), Failure> {
        let Some((own, asked)) = self.differ(settings.queue.url.expose(), &settings.queue.prefix) else {
            return Ok(());
        };
        let data = settings.storage.data.display();
        let what = format!(
            "'ronda up' on {data} uses {own}, and {asked} are named here: leave out --queue (queue.url, queue.prefix), or name another \
             data directory (--data)"
        );
        Err(Failure::new(Code::Refused, what))
    }

    /// Its own queues and those that are named, for people, when they are not the same.
    fn differ(&self, own_url: &str, own_prefix: &str) -> Option<(String, String)> {
        let own = place(own_url);
        let asked = self.queue.as_deref().unwrap_or(&own);
        let asked_prefix = self.prefix.as_deref().unwrap_or(own_prefix);
        // Embedded queues have no prefix.
        let is_same = shares_server(&own, asked) && (own == EMBEDDED || asked_prefix == own_prefix);
        (!is_same).then(|| (told(&own, own_prefix), told(asked, asked_prefix)))
    }
}

fn told(place: &str, prefix: &str) -> String {
    match place {
        EMBEDDED => String::from("its embedded queues"),
        place => format!("the queues on {place} with the prefix {prefix}"),
    }
}

const EMBEDDED: &str = "embedded:";

/// Several servers of one cluster are divided by commas: with one in common it is the same cluster.
fn shares_server(one: &str, other: &str) -> bool {
    one.split(',').any(|one| other.split(',').any(|other| one == other))
}

/// An address so that two of the same queues are the same text, with nothing secret: scheme, host, port, and virtual host or endpoint.
fn place(urls: &str) -> String {
    if urls.starts_with(EMBEDDED) {
        return String::from(EMBEDDED);
    }
    let places: Option<Vec<_>> = urls.split(',').map(place_of_one).collect();
    places.map_or_else(|| String::from("(an address that can't be read)"), |places| places.join(","))
}

fn place_of_one(url: &str) -> Option<String> {
    let url = url::Url::parse(url.trim()).ok()?;
    let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default().to_ascii_lowercase());
    let default_port = match scheme {
        "sqs" => {
            let endpoint = url.query_pairs().find(|(name, _)| name == "endpoint");
            let endpoint = endpoint.and_then(|(_, value)| place_of_one(&value));
            return Some(
                endpoint
                    .map_or_else(|| format!("sqs://{host}"), |endpoint| format!("sqs://{host}?endpoint={endpoint}")),
            );
        }
        "amqp" => Some(5672),
        "amqps" => Some(5671),
        "nats" | "tls" => Some(4222),
        _ => url.port_or_known_default(),
    };
    let port = url.port().or(default_port).map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().trim_start_matches('/');
    // The virtual host / is the one of an address that names none.
    let is_plain = !scheme.starts_with("amqp") || path.eq_ignore_ascii_case("%2f");
    Some(format!("{scheme}://{host}{port}/{}", if is_plain { "" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(url: &str, prefix: &str) -> Named {
        Named { queue: Some(place(url)), prefix: Some(prefix.to_owned()) }
    }

    #[test]
    fn the_same_queues_are_the_same_however_they_are_written() {
        for (own, asked) in [
            ("amqp://ronda:s3cret@Broker", "amqp://broker:5672/%2F"),
            ("amqp://broker/night?heartbeat=3", "amqp://other:pass@broker:5672/night"),
            ("nats://one:4222,nats://two:4222", "nats://u:p@two"),
            (
                "sqs://eu-central-1?endpoint=http://127.0.0.1:9324&visibility_seconds=2",
                "sqs://eu-central-1?endpoint=http://127.0.0.1:9324/",
            ),
            ("embedded:", "embedded:"),
        ] {
            assert_eq!(named(asked, "ronda").differ(own, "ronda"), None, "{own} {asked}");
        }
        assert_eq!(named("embedded:", "other").differ("embedded:", "ronda"), None, "they have no prefix");
        assert_eq!(Named::default().differ("amqp://broker", "mine"), None, "nothing is named");
    }

    #[test]
    fn other_queues_are_told_apart_and_nothing_secret_is_said() {
        for (own, asked, prefix) in [
            ("amqp://u:s3cret@broker:5872", "amqp://u:s3cret@broker:5899", "ronda"),
            ("amqp://broker/night", "amqp://broker/day", "ronda"),
            ("amqp://broker", "amqps://broker", "ronda"),
            ("amqp://broker", "amqp://broker", "other"),
            ("embedded:", "amqp://u:s3cret@broker", "ronda"),
            ("nats://u:s3cret@broker", "embedded:", "ronda"),
            ("sqs://eu-central-1", "sqs://eu-west-1", "ronda"),
            ("sqs://eu-central-1", "sqs://eu-central-1?endpoint=http://k:s3cret@127.0.0.1:9324", "ronda"),
        ] {
            let (up, here) = named(asked, prefix).differ(own, "ronda").expect(asked);
            assert!(up != here && !format!("{up}{here}").contains("s3cret"), "{up} {here}");
        }
        let only_prefix = Named { queue: None, prefix: Some(String::from("other")) };
        assert!(only_prefix.differ("amqp://broker", "ronda").is_some());
    }
}

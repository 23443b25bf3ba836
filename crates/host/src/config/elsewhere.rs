//! `[webhooks.NAME]` and `[mail.lists.NAME]`: places beside Slack that messages may go to.

use std::collections::BTreeMap;

use ronda_runtime::Secret;
use toml::{Table, Value as Toml};

use super::mistake::{Mistake, Origin, nearest};
use super::value::Value;

/// One key of such a section, for people.
pub struct Key {
    /// Its name in the file.
    pub key: &'static str,
    /// Type of the value.
    pub kind: &'static str,
    /// Its default, as TOML.
    pub default: &'static str,
    /// Explanation.
    pub doc: &'static str,
}

/// The keys of a webhook.
pub const WEBHOOK_KEYS: &[Key] = &[
    Key { key: "url", kind: "secret text", default: "\"\"", doc: "Whereto events are sent; https. It is never shown." },
    Key {
        key: "secrets",
        kind: "list of secret texts",
        default: "[]",
        doc: "What events are signed with, `whsec_` and base64. Several while they are changed: each signs.",
    },
    Key {
        key: "allow_private",
        kind: "true or false",
        default: "false",
        doc: "Whether the host may have a loopback, private or reserved address. The system's proxy is used only then.",
    },
    Key { key: "allow_http", kind: "true or false", default: "false", doc: "Whether plain http will do." },
];

/// The keys of a mail list.
pub const LIST_KEYS: &[Key] =
    &[Key { key: "to", kind: "list of texts", default: "[]", doc: "The recipients' addresses." }];

/// One webhook.
#[derive(Clone, Debug, Default)]
pub struct Webhook {
    /// Whereto.
    pub url: Secret,
    /// What signs.
    pub secrets: Vec<Secret>,
    /// Whether private addresses will do.
    pub allow_private: bool,
    /// Whether plain http will do.
    pub allow_http: bool,
}

impl Webhook {
    /// As it would be written in a file, secrets as `***`.
    #[must_use]
    pub fn to_toml(&self) -> Table {
        let secrets = self.secrets.iter().map(Value::to_toml).collect();
        Table::from_iter([
            ("url".to_owned(), self.url.to_toml()),
            ("secrets".to_owned(), Toml::Array(secrets)),
            ("allow_private".to_owned(), Toml::Boolean(self.allow_private)),
            ("allow_http".to_owned(), Toml::Boolean(self.allow_http)),
        ])
    }

    fn set(&mut self, key: &str, value: &Toml) -> Result<(), String> {
        let boolean = || value.as_bool().ok_or_else(|| "must be true or false".to_owned());
        match key {
            "url" => self.url = Secret::from_toml(value)?,
            "secrets" => {
                let list = value.as_array().ok_or("must be a list of texts, such as [\"whsec_…\"]")?;
                self.secrets = list.iter().map(Secret::from_toml).collect::<Result<_, _>>()?;
            }
            "allow_private" => self.allow_private = boolean()?,
            "allow_http" => self.allow_http = boolean()?,
            _ => return Err(unknown(key, "a webhook", WEBHOOK_KEYS)),
        }
        Ok(())
    }
}

fn unknown(key: &str, what: &str, keys: &[Key]) -> String {
    match nearest(key, keys.iter().map(|row| row.key)) {
        Some(name) => format!("is not a setting of {what}; did you mean {name:?}?"),
        None => format!("is not a setting of {what}"),
    }
}

/// Reads named sections below `place`, and adds what is wrong with them.
fn read_named<T: Default>(
    value: &Toml,
    place: &str,
    origin: &Origin,
    mistakes: &mut Vec<Mistake>,
    set: impl Fn(&mut T, &str, &Toml) -> Result<(), String>,
) -> BTreeMap<String, T> {
    let mut add = |key: String, what: String| mistakes.push(Mistake { origin: origin.clone(), key, what });
    let mut read = BTreeMap::new();
    let Some(sections) = value.as_table() else {
        add(place.to_owned(), format!("must be sections: begin each with [{place}.NAME]"));
        return read;
    };
    for (name, value) in sections {
        let place = format!("{place}.{name}");
        if let Err(what) = super::boards::check_name(name) {
            add(place.clone(), what);
        }
        let Some(table) = value.as_table() else {
            add(place.clone(), format!("must be a section: begin it with [{place}]"));
            continue;
        };
        let mut item = T::default();
        for (key, value) in table {
            if let Err(what) = set(&mut item, key, value) {
                add(format!("{place}.{key}"), what);
            }
        }
        read.insert(name.clone(), item);
    }
    read
}

/// Reads every webhook of a file.
pub(super) fn read_webhooks(value: &Toml, origin: &Origin, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, Webhook> {
    read_named(value, "webhooks", origin, mistakes, Webhook::set)
}

/// Reads every mail list of a file.
pub(super) fn read_lists(value: &Toml, origin: &Origin, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, Vec<String>> {
    read_named(value, "mail.lists", origin, mistakes, |list: &mut Vec<String>, key, value| {
        if key != "to" {
            return Err(unknown(key, "a mail list", LIST_KEYS));
        }
        *list = Vec::from_toml(value)?;
        Ok(())
    })
}

/// Whether a channel is none of Slack's.
#[must_use]
pub fn is_elsewhere(channel: &str) -> bool {
    channel.starts_with("webhook:") || channel.starts_with("mail:")
}

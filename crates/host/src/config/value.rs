//! Values that a setting can have: how each is read from TOML and from text, and written back as TOML.

use std::net::SocketAddr;
use std::path::PathBuf;

use ronda_queue::BrokerOptions;
use ronda_runtime::Secret;
use ronda_runtime::telemetry::LogFormat;
use ronda_store::backend::StoreOptions;
use toml::Value as Toml;

/// A type of setting.
pub(super) trait Value: Sized {
    /// What it is called in the documentation.
    const KIND: &'static str;

    /// From a value in a file.
    ///
    /// # Errors
    /// What is wrong with it and what to write, to follow the setting's name.
    fn from_toml(value: &Toml) -> Result<Self, String>;

    /// From an environment variable or a flag.
    ///
    /// # Errors
    /// As [`from_toml`](Self::from_toml).
    fn from_text(text: &str) -> Result<Self, String> {
        Self::from_toml(&Toml::String(text.to_owned()))
    }

    /// As it would be written in a file. Secrets are not.
    fn to_toml(&self) -> Toml;

    /// The number, when it is one and has bounds.
    fn measure(&self) -> Option<i128> {
        None
    }
}

fn wrong(value: &Toml, wanted: &str) -> String {
    format!("is {} {value}, but must be {wanted}", article(value.type_str()))
}

fn article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {kind}")
}

macro_rules! whole_number {
    ($($type:ty),+) => {$(
        impl Value for $type {
            const KIND: &'static str = "whole number";

            fn from_toml(value: &Toml) -> Result<Self, String> {
                let number = value.as_integer().ok_or_else(|| wrong(value, "a whole number"))?;
                Self::try_from(number).map_err(|_| format!("is {number}, but must be from 0 to {}", Self::MAX))
            }

            fn from_text(text: &str) -> Result<Self, String> {
                text.trim().replace('_', "").parse().map_err(|_| {
                    format!("is {text:?}, but must be a whole number from 0 to {}", Self::MAX)
                })
            }

            fn to_toml(&self) -> Toml {
                // TOML's integers end at i64::MAX, and so does what can have been read from it.
                i64::try_from(*self).map_or(Toml::Integer(i64::MAX), Toml::Integer)
            }

            fn measure(&self) -> Option<i128> {
                i128::try_from(*self).ok()
            }
        }
    )+};
}

whole_number!(u32, u64, usize);

impl Value for String {
    const KIND: &'static str = "text";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| wrong(value, "a text in quotes"))
    }

    fn to_toml(&self) -> Toml {
        Toml::String(self.clone())
    }
}

impl Value for Option<u64> {
    const KIND: &'static str = "whole number";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        if value.as_str() == Some("") { Ok(None) } else { u64::from_toml(value).map(Some) }
    }

    fn to_toml(&self) -> Toml {
        self.as_ref().map_or_else(|| Toml::String(String::new()), Value::to_toml)
    }
}

impl Value for bool {
    const KIND: &'static str = "true or false";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| wrong(value, "true or false"))
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("is {text:?}, but must be true or false"))
    }

    fn to_toml(&self) -> Toml {
        Toml::Boolean(*self)
    }
}

impl Value for Vec<String> {
    const KIND: &'static str = "list of texts";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        let list = value.as_array().ok_or_else(|| wrong(value, "a list of texts, such as [\"a\", \"b\"]"))?;
        list.iter().map(String::from_toml).collect()
    }

    fn to_toml(&self) -> Toml {
        Toml::Array(self.iter().cloned().map(Toml::String).collect())
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "path";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        match String::from_toml(value)? {
            empty if empty.is_empty() => Err(String::from("is empty, but must be a path")),
            path => Ok(Self::from(path)),
        }
    }

    fn to_toml(&self) -> Toml {
        Toml::String(self.display().to_string())
    }
}

impl Value for Option<PathBuf> {
    const KIND: &'static str = "path";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        Ok(Some(String::from_toml(value)?).filter(|path| !path.is_empty()).map(PathBuf::from))
    }

    fn to_toml(&self) -> Toml {
        self.as_ref().map_or_else(|| Toml::String(String::new()), Value::to_toml)
    }
}

impl Value for SocketAddr {
    const KIND: &'static str = "address";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(|| wrong(value, "an address in quotes, such as \"127.0.0.1:3000\""))?;
        text.parse().map_err(|_| {
            format!(
                "is {text:?}, but must be a numeric address and a port: \"127.0.0.1:3000\" for this machine only, \
                 \"0.0.0.0:3000\" or \"[::]:3000\" for every interface"
            )
        })
    }

    fn to_toml(&self) -> Toml {
        Toml::String(self.to_string())
    }
}

impl Value for Secret {
    const KIND: &'static str = "secret text";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        // The value itself stays out of the message.
        let text = value.as_str().ok_or_else(|| format!("is {}, but must be a text", article(value.type_str())))?;
        // The line break that a file or a here-document ends with is no part of it, and nothing else fits into a header.
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(String::from(
                "has a character that is no visible ASCII, but must be a secret as it was given out",
            ));
        }
        Ok(Self::new(text))
    }

    fn to_toml(&self) -> Toml {
        Toml::String(if self.is_empty() { String::new() } else { self.to_string() })
    }
}

/// An address that may have a password in it: what is wrong with it is said without repeating it.
fn address(value: &Toml) -> Result<Secret, String> {
    let text = value.as_str().ok_or_else(|| format!("is {}, but must be a text", article(value.type_str())))?;
    let text = text.trim();
    match text.chars().find(|character| !character.is_ascii_graphic()) {
        Some(' ') => Err(String::from("has a blank in it, which no address has (%20 stands for one)")),
        Some(_) => Err(String::from("has a character in it that is no visible ASCII, as no address has")),
        None => Ok(Secret::new(text)),
    }
}

/// Address of the queues. It may have a password in it.
#[derive(Clone, Debug)]
pub struct QueueUrl(Secret);

impl QueueUrl {
    /// The whole of it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Without user, password and query: for people.
    #[must_use]
    pub fn place(&self) -> String {
        BrokerOptions::new(self.expose()).place()
    }

    /// Whether the queues are files in the data directory.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.expose().starts_with("embedded:")
    }
}

impl Default for QueueUrl {
    fn default() -> Self {
        Self(Secret::new("embedded:"))
    }
}

impl Value for QueueUrl {
    const KIND: &'static str = "address";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        address(value).map(Self)
    }

    fn to_toml(&self) -> Toml {
        Toml::String(self.place())
    }
}

/// Address of the store. It may have a password in it.
#[derive(Clone, Debug)]
pub struct StoreUrl(Secret);

impl StoreUrl {
    /// The whole of it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Without user, password and most of the query: for people.
    #[must_use]
    pub fn place(&self) -> String {
        if self.is_embedded() { String::from("embedded:") } else { StoreOptions::new(self.expose()).place() }
    }

    /// As it can be written into the settings, without user and password.
    #[must_use]
    pub fn shown(&self) -> String {
        if self.is_embedded() { String::from("embedded:") } else { StoreOptions::new(self.expose()).shown() }
    }

    /// Whether the store is files in the data directory.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.expose().starts_with("embedded:")
    }
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self(Secret::new("embedded:"))
    }
}

impl Value for StoreUrl {
    const KIND: &'static str = "address";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        address(value).map(Self)
    }

    fn to_toml(&self) -> Toml {
        Toml::String(self.shown())
    }
}

/// What lets in a message that somebody publishes straight onto the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectAccess {
    /// The broker's own permissions.
    Broker,
    /// An API key in the message's headers.
    ApiKey,
}

impl Value for DirectAccess {
    const KIND: &'static str = "\"broker\" or \"api_key\"";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        match value.as_str() {
            Some("broker") => Ok(Self::Broker),
            Some("api_key") => Ok(Self::ApiKey),
            _ => Err(format!("is {value}, but must be \"broker\" or \"api_key\"")),
        }
    }

    fn to_toml(&self) -> Toml {
        Toml::String(String::from(match self {
            Self::Broker => "broker",
            Self::ApiKey => "api_key",
        }))
    }
}

/// How the connection to the mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// STARTTLS, without which nothing is sent.
    StartTls,
    /// TLS from the beginning.
    Tls,
    /// Not at all.
    None,
}

impl Value for MailSecurity {
    const KIND: &'static str = "\"starttls\", \"tls\" or \"none\"";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        match value.as_str() {
            Some("starttls") => Ok(Self::StartTls),
            Some("tls") => Ok(Self::Tls),
            Some("none") => Ok(Self::None),
            _ => Err(format!("is {value}, but must be \"starttls\", \"tls\" or \"none\"")),
        }
    }

    fn to_toml(&self) -> Toml {
        Toml::String(String::from(match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }))
    }
}

impl Value for LogFormat {
    const KIND: &'static str = "\"text\" or \"json\"";

    fn from_toml(value: &Toml) -> Result<Self, String> {
        match value.as_str() {
            Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            _ => Err(format!("is {value}, but must be \"text\" or \"json\"")),
        }
    }

    fn to_toml(&self) -> Toml {
        Toml::String(String::from(match self {
            Self::Text => "text",
            Self::Json => "json",
        }))
    }
}

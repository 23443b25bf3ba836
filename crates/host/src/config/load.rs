//! Putting the sources together.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::{Table, Value as Toml};

use super::mistake::{Mistake, Mistakes, Origin, nearest};
use super::table::{Given, SECTIONS, SETTINGS, Setting, Settings};
use super::{boards, elsewhere, routes};

/// Environment variables that are not settings: they belong to commands.
const COMMAND_VARIABLES: [&str; 3] = ["RONDA_CONFIG", "RONDA_URL", "RONDA_API_KEY"];

/// What all of Ronda's own variables begin with.
const PREFIX: &str = "RONDA_";

/// Where values may come from.
#[derive(Default)]
pub struct Sources {
    /// A file that was asked for and must be there.
    pub file: Option<PathBuf>,
    /// A file that is read when it is there and none was asked for.
    pub default_file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Flags that were given: section, key, the flag's name and its text.
    pub flags: Vec<(&'static str, &'static str, &'static str, String)>,
}

impl Sources {
    /// This process's environment, and the default file in the current directory.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            let (name, value) = (name.into_string().ok()?, value.to_string_lossy().into_owned());
            Some((name, value))
        });
        Self {
            file,
            default_file: Some(PathBuf::from(super::DEFAULT_FILE)),
            environment: environment.collect(),
            flags: Vec::new(),
        }
    }
}

/// A configuration without a mistake.
#[derive(Debug)]
pub struct Loaded {
    /// The values.
    pub settings: Settings,
    /// Where each value that is not a default came from, by `section.key`.
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

/// A configuration that was read, with the mistakes found so far. Who needs more of it says so before it is taken: all mistakes are told together.
#[derive(Debug)]
pub struct Draft {
    pub(super) settings: Settings,
    pub(super) origins: BTreeMap<String, Origin>,
    file: Option<PathBuf>,
    mistakes: Vec<Mistake>,
}

/// What somebody has against a setting that no process knows but theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Which one, as `section.key`.
    pub key: String,
    /// What is wrong and what to do, to follow the setting's name; no secret is in it.
    pub what: String,
}

/// Tells every flaw of some settings. Those may have other mistakes: what was not taken is the default.
pub type Check = fn(&Settings) -> Vec<Flaw>;

/// Reads all sources, for what sends nothing by itself.
///
/// # Errors
/// Every mistake in any of them.
pub fn load(sources: &Sources) -> Result<Loaded, Mistakes> {
    draft(sources).finish()
}

/// Reads all sources.
#[must_use]
pub fn draft(sources: &Sources) -> Draft {
    let file = match (&sources.file, &sources.default_file) {
        (Some(file), _) => Some(file),
        (None, Some(file)) if file.exists() => Some(file),
        _ => None,
    };
    let (settings, origins, mistakes) = (Settings::default(), BTreeMap::new(), Vec::new());
    let mut draft = Draft { settings, origins, file: file.cloned(), mistakes };
    if let Some(file) = file {
        draft.read_file(file);
    }
    draft.read_environment(&sources.environment);
    for (section, key, flag, text) in &sources.flags {
        if let Some(setting) = find(section, key) {
            draft.set(setting, Given::Text(text), &Origin::Flag(flag));
        }
    }
    draft.check_whole();
    draft
}

fn find(section: &str, key: &str) -> Option<&'static Setting> {
    let former = |setting: &&Setting| setting.formerly.and_then(|name| name.split_once('.')) == Some((section, key));
    let own = |setting: &&Setting| setting.section == section && setting.key == key;
    SETTINGS.iter().find(own).or_else(|| SETTINGS.iter().find(former))
}

impl Draft {
    /// What is read, as far as it was taken.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Adds what others have against it. A setting that has a mistake already has enough of them.
    #[must_use]
    pub fn checked_by(mut self, check: Check) -> Self {
        if !self.is_read() {
            return self;
        }
        let known: BTreeSet<String> = self.mistakes.iter().map(|mistake| mistake.key.clone()).collect();
        let found = check(&self.settings).into_iter().filter(|flaw| !known.contains(&flaw.key));
        for Flaw { key, what } in found {
            self.add(&self.origin_of(&key), key, what);
        }
        self
    }

    /// Takes it.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn finish(self) -> Result<Loaded, Mistakes> {
        let Self { settings, origins, file, mistakes } = self;
        if mistakes.is_empty() { Ok(Loaded { settings, origins, file }) } else { Err(Mistakes(mistakes)) }
    }

    /// Whether the file could be read, if there is one: of one that could not, nobody knows what is missing.
    pub(super) fn is_read(&self) -> bool {
        !self.mistakes.iter().any(|mistake| mistake.key.is_empty() && matches!(mistake.origin, Origin::File(_)))
    }

    pub(super) fn has_mistake(&self, key: &str) -> bool {
        self.mistakes.iter().any(|mistake| mistake.key == key)
    }

    /// Where a setting came from; else what it is a part of; else what is said beside it, for what is missing.
    pub(super) fn origin_of(&self, key: &str) -> Origin {
        let mut part = key;
        while !self.origins.contains_key(part) {
            match part.rfind(['.', '[']) {
                Some(at) => part = &part[..at],
                None => break,
            }
        }
        let beside =
            || self.origins.range(format!("{part}.")..).find(|(name, _)| name.starts_with(&format!("{part}.")));
        self.origins.get(part).or_else(|| beside().map(|(_, origin)| origin)).cloned().unwrap_or(Origin::Default)
    }

    pub(super) fn add(&mut self, origin: &Origin, key: impl Into<String>, what: impl Into<String>) {
        self.mistakes.push(Mistake { origin: origin.clone(), key: key.into(), what: what.into() });
    }

    fn set(&mut self, setting: &Setting, given: Given<'_>, origin: &Origin) {
        match setting.set(&mut self.settings, given) {
            Ok(()) => {
                self.origins.insert(setting.name(), origin.clone());
            }
            Err(what) => self.add(origin, setting.name(), what),
        }
    }

    fn read_file(&mut self, file: &Path) {
        let origin = Origin::File(file.to_owned());
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                let hint = if error.kind() == ErrorKind::NotFound { "; 'ronda config init' writes one" } else { "" };
                return self.add(&origin, "", format!("can't be read: {error}{hint}"));
            }
        };
        match text.parse::<Table>() {
            Ok(table) => self.read_table(&table, &origin),
            Err(error) => self.add(&origin, "", no_toml(&text, &error)),
        }
    }

    fn read_table(&mut self, table: &Table, origin: &Origin) {
        for (section, value) in table {
            if section == "boards" {
                self.settings.boards = boards::read(value, origin, &mut self.mistakes);
                self.origins.insert(section.clone(), origin.clone());
                continue;
            }
            if section == "routes" {
                self.settings.routes = routes::read(value, origin, &mut self.mistakes);
                self.origins.insert(section.clone(), origin.clone());
                continue;
            }
            if section == "maintenance" {
                self.settings.maintenance = routes::read_maintenance(value, origin, &mut self.mistakes);
                self.origins.insert(section.clone(), origin.clone());
                continue;
            }
            if section == "webhooks" {
                self.settings.webhooks = elsewhere::read_webhooks(value, origin, &mut self.mistakes);
                self.origins.insert(section.clone(), origin.clone());
                continue;
            }
            if !SECTIONS.iter().any(|(name, _)| name == section) {
                let what = unknown_section(section, value);
                self.add(origin, section.as_str(), what);
                continue;
            }
            let Some(keys) = value.as_table() else {
                self.add(origin, section.as_str(), format!("must be a section: write [{section}] above its settings"));
                continue;
            };
            for (key, value) in keys {
                if section == "mail" && key == "lists" {
                    self.settings.mail_lists = elsewhere::read_lists(value, origin, &mut self.mistakes);
                    self.origins.insert(String::from("mail.lists"), origin.clone());
                    continue;
                }
                match find(section, key) {
                    Some(setting) if setting.key != *key && self.origins.contains_key(&setting.name()) => {
                        let what =
                            format!("is the former name of {}, which is given, too: keep that one", setting.name());
                        self.add(origin, format!("{section}.{key}"), what);
                    }
                    Some(setting) => self.set(setting, Given::Toml(value), origin),
                    None => self.add(origin, format!("{section}.{key}"), unknown_key(section, key)),
                }
            }
        }
    }

    fn read_environment(&mut self, environment: &[(String, String)]) {
        // Ronda's own name last, so that it wins when several are set.
        for setting in SETTINGS {
            let others = setting.former_environment().into_iter().chain(setting.alias.map(str::to_owned));
            for name in others.chain([setting.environment()]) {
                if let Some((_, value)) = environment.iter().find(|(given, _)| *given == name) {
                    self.set(setting, Given::Text(value), &Origin::Environment(name));
                }
            }
        }
        let known: Vec<String> = SETTINGS.iter().map(Setting::environment).collect();
        let former: Vec<String> = SETTINGS.iter().filter_map(Setting::former_environment).collect();
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            let expected = known.contains(name) || former.contains(name) || COMMAND_VARIABLES.contains(&name.as_str());
            if expected || is_service_link(name, value, environment) {
                continue;
            }
            // All begin alike, which would make anything look like some of them.
            let bare = |name: &'_ str| name.trim_start_matches(PREFIX).to_owned();
            let names: Vec<String> = known.iter().map(String::as_str).chain(COMMAND_VARIABLES).map(bare).collect();
            let what = match nearest(&bare(name), names.iter().map(String::as_str)) {
                Some(near) => format!("is not a setting; did you mean {PREFIX}{near}?"),
                None => String::from("is not a setting; docs/configuration.md lists them all"),
            };
            self.add(&Origin::Environment(name.clone()), "", what);
        }
    }
}

/// Kubernetes puts such variables into every pod next to a service whose name begins with `ronda-`: for a service `ronda-x` there are
/// `RONDA_X_SERVICE_HOST`, and `RONDA_X_SERVICE_PORT…` and `RONDA_X_PORT…` beside it.
fn is_service_link(name: &str, value: &str, environment: &[(String, String)]) -> bool {
    let hosts = environment.iter().filter_map(|(given, _)| given.strip_suffix("_SERVICE_HOST"));
    let rests = hosts.filter_map(|service| name.strip_prefix(service));
    let beside_a_host = |rest: &str| {
        rest == "_SERVICE_HOST" || rest.starts_with("_SERVICE_PORT") || rest == "_PORT" || rest.starts_with("_PORT_")
    };
    rests.into_iter().any(beside_a_host) || (name.contains("_PORT") && value.starts_with("tcp://"))
}

fn unknown_key(section: &str, key: &str) -> String {
    let here = SETTINGS.iter().filter(|setting| setting.section == section).map(|setting| setting.key);
    if let Some(near) = nearest(key, here) {
        return format!("is not a setting; did you mean {section}.{near}?");
    }
    elsewhere(key).unwrap_or_else(|| String::from("is not a setting; 'ronda config init' shows them all"))
}

fn unknown_section(section: &str, value: &Toml) -> String {
    if value.is_table() {
        return match nearest(
            section,
            SECTIONS.iter().map(|(name, _)| *name).chain(["boards", "routes", "maintenance", "webhooks"]),
        ) {
            Some(near) => format!("is not a section; did you mean [{near}]?"),
            None => {
                let names: Vec<_> = SECTIONS.iter().map(|(name, _)| *name).collect();
                format!("is not a section; there are {}, boards, routes, maintenance and webhooks", names.join(", "))
            }
        };
    }
    elsewhere(section).unwrap_or_else(|| String::from("is not a setting; settings stand under a [section]"))
}

fn elsewhere(key: &str) -> Option<String> {
    let near = nearest(key, SETTINGS.iter().map(|setting| setting.key))?;
    let setting = SETTINGS.iter().find(|setting| setting.key == near)?;
    Some(format!("is not a setting; did you mean {}?", setting.name()))
}

/// What is wrong, and where. The line itself is not shown: there may be a secret in it.
fn no_toml(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("is not TOML: at line {line}, column {column}: {}", error.message().trim_end().replace('\n', "; "))
}

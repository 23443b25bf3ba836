//! The table of settings as a commented file, as documentation, and as what is in force.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use super::boards::BOARD_KEYS;
use super::elsewhere::{Key, LIST_KEYS, WEBHOOK_KEYS};
use super::load::Loaded;
use super::mistake::Origin;
use super::routes::{MAINTENANCE_KEYS, ROUTE_KEYS};
use super::rows::RowKey;
use super::table::{SECTIONS, SETTINGS, Setting, Settings};
use super::value::Value as _;

/// The file that `config init` writes: every setting with its default, commented out.
#[must_use]
pub fn example_file() -> String {
    let mut out = String::from(
        "# Ronda's configuration. Every line that is commented out shows the default.\n\
         # Environment variables (RONDA_<SECTION>_<KEY>) win over this file, and flags win over both.\n",
    );
    let defaults = Settings::default();
    for (section, doc) in SECTIONS {
        let _ = write!(out, "\n#{doc}\n[{section}]\n");
        for setting in of_section(section) {
            let _ = writeln!(out, "# {}\n# {} = {}", setting.explanation(), setting.key, setting.get(&defaults));
        }
    }
    out.push_str(
        "\n# Night boards: each is one Slack message that is edited as the night goes on. Without any, there is one with\n\
         # these defaults; 'boards = []' at the top of the file turns them off.\n# [[boards]]\n",
    );
    let board = super::Board::default();
    for row in BOARD_KEYS {
        let _ = writeln!(out, "# # {}\n# {} = {}", row.doc.trim(), row.key, row.get(&board));
    }
    out.push_str(
        "\n# Routes say where alerts go, in order; those that none is for go to slack.channel. See docs/routes.md.\n\
         # [[routes]]\n",
    );
    let route = super::Route::default();
    for row in ROUTE_KEYS {
        let _ = writeln!(out, "# # {}\n# {} = {}", row.doc.trim(), row.key, row.get(&route));
    }
    out.push_str(
        "\n# Maintenance: of these alerts nothing is sent meanwhile. See docs/routes.md.\n# [[maintenance]]\n",
    );
    let maintenance = super::Maintenance::default();
    for row in MAINTENANCE_KEYS {
        let _ = writeln!(out, "# # {}\n# {} = {}", row.doc.trim(), row.key, row.get(&maintenance));
    }
    out.push_str("\n# Webhooks and mail lists: channels \"webhook:NAME\" and \"mail:NAME\"; see docs/channels.md.\n");
    for (title, keys) in [("[webhooks.NAME]", WEBHOOK_KEYS), ("[mail.lists.NAME]", LIST_KEYS)] {
        let _ = writeln!(out, "# # {title}");
        for Key { key, default, doc, .. } in keys {
            let _ = writeln!(out, "# # {doc}\n# # {key} = {default}");
        }
    }
    out
}

/// The tables of docs/configuration.md. A test compares the page with this.
#[must_use]
pub fn documentation() -> String {
    let mut out = String::new();
    let defaults = Settings::default();
    for (section, doc) in SECTIONS {
        let _ = write!(
            out,
            "## [{section}]\n\n{}\n\n| setting | type | default | environment | meaning |\n|---|---|---|---|---|\n",
            doc.trim()
        );
        for setting in of_section(section) {
            let kind = match setting.bounds {
                Some((least, most)) => format!("{}, {least} to {most}", setting.kind),
                None => setting.kind.to_owned(),
            };
            let former = setting.formerly.map(|name| format!(" (Formerly `{name}`.)")).unwrap_or_default();
            let environment = match setting.alias {
                Some(alias) => format!("`{}` or `{alias}`", setting.environment()),
                None => format!("`{}`", setting.environment()),
            };
            let _ = writeln!(
                out,
                "| `{}` | {kind} | `{}` | {environment} | {}{former} |",
                setting.key,
                setting.get(&defaults),
                setting.explanation()
            );
        }
        out.push('\n');
    }
    document_rows(&mut out, "[[boards]]", BOARD_KEYS);
    out.push('\n');
    document_rows(&mut out, "[[routes]]", ROUTE_KEYS);
    out.push('\n');
    document_rows(&mut out, "[[maintenance]]", MAINTENANCE_KEYS);
    for (title, keys) in [("[webhooks.NAME]", WEBHOOK_KEYS), ("[mail.lists.NAME]", LIST_KEYS)] {
        let _ = write!(out, "\n## {title}\n\n| setting | type | default | meaning |\n|---|---|---|---|\n");
        for Key { key, kind, default, doc } in keys {
            let _ = writeln!(out, "| `{key}` | {kind} | `{default}` | {doc} |");
        }
    }
    out
}

fn document_rows<T: Default>(out: &mut String, title: &str, keys: &[RowKey<T>]) {
    let _ = write!(out, "## {title}\n\n| setting | type | default | meaning |\n|---|---|---|---|\n");
    let row = T::default();
    for key in keys {
        let _ = writeln!(out, "| `{}` | {} | `{}` | {} |", key.key, key.kind, key.get(&row), key.doc.trim());
    }
}

/// What is in force: as TOML with each value's origin, or as JSON. Secrets are shown as `***`.
#[must_use]
pub fn shown(loaded: &Loaded, as_json: bool) -> String {
    let origin = |name: &str| loaded.origins.get(name).unwrap_or(&Origin::Default).to_string();
    let boards: Vec<_> = loaded.settings.boards.iter().map(super::Board::to_toml).collect();
    let routes: Vec<_> = loaded.settings.routes.iter().map(super::Route::to_toml).collect();
    let maintenance: Vec<_> = loaded.settings.maintenance.iter().map(super::Maintenance::to_toml).collect();
    if as_json {
        let settings: Vec<_> = SETTINGS
            .iter()
            .map(|setting| {
                let value = setting.get(&loaded.settings);
                json!({"setting": setting.name(), "value": value, "from": origin(&setting.name())})
            })
            .collect();
        let webhooks: BTreeMap<_, _> =
            loaded.settings.webhooks.iter().map(|(name, webhook)| (name, webhook.to_toml())).collect();
        let lists = &loaded.settings.mail_lists;
        let whole = json!({
            "settings": settings, "boards": boards, "routes": routes, "maintenance": maintenance,
            "webhooks": webhooks, "mail_lists": lists
        });
        return format!("{whole:#}\n");
    }
    let mut out = String::new();
    for (section, _) in SECTIONS {
        let _ = writeln!(out, "[{section}]");
        for setting in of_section(section) {
            let line = format!("{} = {}", setting.key, setting.get(&loaded.settings));
            let _ = match loaded.origins.get(&setting.name()) {
                Some(origin) => writeln!(out, "{line:<48} # {origin}"),
                None => writeln!(out, "{line}"),
            };
        }
        out.push('\n');
    }
    for board in boards {
        let _ = writeln!(out, "[[boards]]\n{board}");
    }
    for route in routes {
        let _ = writeln!(out, "[[routes]]\n{route}");
    }
    for one in maintenance {
        let _ = writeln!(out, "[[maintenance]]\n{one}");
    }
    for (name, webhook) in &loaded.settings.webhooks {
        let _ = writeln!(out, "[webhooks.{name}]\n{}", webhook.to_toml());
    }
    for (name, to) in &loaded.settings.mail_lists {
        let _ = writeln!(out, "[mail.lists.{name}]\nto = {}\n", to.to_toml());
    }
    out
}

fn of_section(section: &str) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| setting.section == section)
}

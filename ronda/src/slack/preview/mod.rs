//! `slack preview`: every kind of message from sample data.

mod html;
mod mrkdwn;

use ronda_host::exit::{Code, Failure};
use ronda_notifier::slack::message;
use ronda_notifier::{Preview, previews};
use serde_json::{Map, Value};

use crate::cli::{PreviewArguments, PreviewFormat};

/// Writes what was asked for.
///
/// # Errors
/// There is no kind of that name.
pub(super) fn run(arguments: &PreviewArguments) -> Result<String, Failure> {
    let mut shown = previews(arguments.language.into(), arguments.form.into());
    if let Some(kind) = &arguments.kind {
        let kinds: Vec<&str> = shown.iter().map(|preview| preview.kind).collect();
        if !kinds.contains(&kind.as_str()) {
            return Err(unknown(kind, &kinds));
        }
        shown.retain(|preview| preview.kind == kind);
    }
    Ok(match arguments.format {
        PreviewFormat::Text => text(&shown),
        PreviewFormat::Json => json(&shown, arguments.kind.is_some()),
        PreviewFormat::Html => html::page(&shown, arguments.kind.is_none()),
    })
}

fn unknown(kind: &str, kinds: &[&str]) -> Failure {
    let nearest = kinds.iter().min_by_key(|known| strsim::damerau_levenshtein(known, kind));
    let nearest = nearest.map(|known| format!("; did you mean {known:?}?")).unwrap_or_default();
    Failure::new(Code::Refused, format!("there is no kind {kind:?}{nearest} There are: {}", kinds.join(", ")))
}

fn text(shown: &[Preview]) -> String {
    let told = |preview: &Preview| {
        let Preview { kind, about, content, .. } = preview;
        let buttons: Vec<String> = buttons(&content.blocks).map(|label| format!("[ {label} ]")).collect();
        let buttons = if buttons.is_empty() { String::new() } else { format!("{}\n", buttons.join(" ")) };
        format!("# {kind}: {about}\n\n{}\n{buttons}", content.plain)
    };
    shown.iter().map(told).collect::<Vec<_>>().join("\n")
}

/// What stands on the buttons of a message.
fn buttons(blocks: &[Value]) -> impl Iterator<Item = &str> {
    let actions = blocks.iter().filter(|block| block["type"] == "actions");
    let elements = actions.flat_map(|block| block["elements"].as_array().into_iter().flatten());
    elements.filter_map(|element| element["text"]["text"].as_str())
}

/// One as it is sent, and as Block Kit Builder takes it; several by kind.
fn json(shown: &[Preview], is_one: bool) -> String {
    let value = match (shown, is_one) {
        ([preview], true) => message(&preview.content),
        _ => {
            let of = |preview: &Preview| (preview.kind.to_owned(), message(&preview.content));
            Value::Object(shown.iter().map(of).collect::<Map<_, _>>())
        }
    };
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{PreviewForm, PreviewLanguage};

    fn arguments(kind: Option<&str>, format: PreviewFormat, language: PreviewLanguage) -> PreviewArguments {
        PreviewArguments { kind: kind.map(Into::into), language, format, form: PreviewForm::DataTable }
    }

    #[test]
    fn one_kind_is_what_block_kit_builder_takes_and_all_are_told_by_kind() {
        let one = run(&arguments(Some("failure"), PreviewFormat::Json, PreviewLanguage::Id)).unwrap();
        let one: Value = serde_json::from_str(&one).unwrap();
        assert!(one["text"].as_str().unwrap().starts_with("🔴 *Nightly billing* gagal (production)\n"), "{one}");
        assert_eq!(one["attachments"][0]["color"], "#a30200");
        let all = run(&arguments(None, PreviewFormat::Json, PreviewLanguage::En)).unwrap();
        let all: Value = serde_json::from_str(&all).unwrap();
        assert_eq!(all["night"]["blocks"][2]["type"], "data_table");
        let table = run(&PreviewArguments {
            form: PreviewForm::Table,
            ..arguments(Some("night"), PreviewFormat::Json, PreviewLanguage::En)
        });
        assert!(table.unwrap().contains("\"type\": \"table\""));
    }

    #[test]
    fn buttons_are_shown_as_text_too() {
        let told = run(&arguments(Some("buttons"), PreviewFormat::Text, PreviewLanguage::En)).unwrap();
        let last = told.lines().last().unwrap();
        assert!(last.starts_with("[ Acknowledge ] [ Snooze 1 h ]") && last.ends_with("[ Details ]"), "{told}");
        let told = run(&arguments(Some("failure"), PreviewFormat::Text, PreviewLanguage::En)).unwrap();
        assert!(!told.contains("[ "), "{told}");
    }

    #[test]
    fn a_kind_that_is_none_is_told_with_those_that_there_are() {
        let failure = run(&arguments(Some("failre"), PreviewFormat::Text, PreviewLanguage::En)).unwrap_err();
        let told = failure.to_string();
        assert!(told.contains("did you mean \"failure\"?") && told.contains("night, night-quiet"), "{told}");
    }

    #[test]
    fn a_page_has_every_kind_and_needs_no_network() {
        let page = run(&arguments(None, PreviewFormat::Html, PreviewLanguage::En)).unwrap();
        for wanted in ["id=\"failure\"", "id=\"clock-held\"", "<b>Nightly billing</b> failed", "<th>Due (WIB)</th>"] {
            assert!(page.contains(wanted), "{wanted}");
        }
        for foreign in ["<script", "<link", "<img", "src=", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}

//! The wording of every kind in every language and form, kept in files beside this one; `RONDA_BLESS=1` writes them anew. Whoever changes
//! one reads it as somebody would who was woken by it.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;

/// Too long to be read; its limits are tested with the others'.
const NOT_KEPT: &str = "night-full";

/// Everything that a message shows, in all forms.
fn shown(sample: &Sample, voice: &Voice) -> String {
    let content = |form| sample.content(form, voice);
    let mut out = format!("# {} ({}): {}\n", sample.kind, voice.language, sample.about);
    let best = content(Form::DataTable);
    let _ = write!(out, "\n## text\n\n{}\n\n## terminal\n\n{}\n", best.text, best.plain);
    let mut before = None;
    for (name, form) in [("data_table", Form::DataTable), ("table", Form::Table), ("code", Form::Code)] {
        let content = content(form);
        if before.as_ref() != Some(&content.blocks) {
            let blocks: Vec<String> = content.blocks.iter().map(compact).collect();
            let _ = write!(out, "\n## {name}, bar {}\n\n{}\n", content.colour.unwrap_or("none"), blocks.join("\n"));
        }
        before = Some(content.blocks);
    }
    let _ = write!(out, "\n## text alone\n\n{}\n", content(Form::Text).text);
    out
}

/// A block on a line, a table's rows on lines of their own.
fn compact(block: &serde_json::Value) -> String {
    block.to_string().replace("],[{", "],\n  [{")
}

#[test]
fn every_kind_is_told_as_it_was_in_every_language_and_form() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/preview/golden");
    let mut wrong = Vec::new();
    for language in Language::ALL {
        let voice = voice(language);
        for sample in samples().iter().filter(|sample| sample.kind != NOT_KEPT) {
            let path = folder.join(format!("{}.{language}.txt", sample.kind));
            let shown = shown(sample, &voice);
            if std::env::var_os("RONDA_BLESS").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &shown).unwrap();
            }
            if std::fs::read_to_string(&path).unwrap_or_default() != shown {
                wrong.push(path.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "told otherwise than in these files (RONDA_BLESS=1 writes them anew): {wrong:#?}");
}

#[test]
fn kinds_have_names_of_their_own_and_first_lines_that_a_locked_phone_shows_whole() {
    for language in Language::ALL {
        let voice = voice(language);
        let mut kinds: Vec<&str> = samples().iter().map(|sample| sample.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), samples().len());
        for sample in samples() {
            let plain = sample.content(Form::Text, &voice).plain;
            let first = plain.lines().next().unwrap_or_default();
            // In a thread the message above says to whom; there the line may be longer.
            let most = if matches!(sample.facts, Facts::Reply(_)) { 100 } else { 82 };
            assert!(first.chars().count() <= most, "{} characters: {first}", first.chars().count());
        }
    }
}

//! docs/api/problems.md as a page, so that a problem's `type` leads to its description.

use std::sync::LazyLock;

use bytes::Bytes;

pub(super) static HTML: LazyLock<Bytes> =
    LazyLock::new(|| render(include_str!("../../../docs/api/problems.md")).into());

/// Headings, paragraphs with code in them, and indented blocks: all that the page uses.
fn render(markdown: &str) -> String {
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Problems</title>\
         <style>body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;padding:0 1em}:target{background:#fe9}</style>\n",
    );
    for block in markdown.split("\n\n") {
        let mut rest = block.trim_matches('\n');
        if let Some(title) = rest.strip_prefix("# ") {
            out.push_str(&format!("<h1>{}</h1>\n", escape(title)));
            continue;
        }
        if let Some((code, after)) = rest.strip_prefix("## `").and_then(|rest| rest.split_once('`')) {
            out.push_str(&format!("<h2 id=\"{0}\">{0}</h2>\n", escape(code)));
            rest = after.trim_start();
        }
        if rest.starts_with("    ") {
            out.push_str(&format!("<pre>{}</pre>\n", escape(rest)));
        } else {
            out.push_str(&format!("<p>{}</p>\n", words(&rest.replace("**", ""))));
        }
    }
    out
}

/// A paragraph; every second piece between backticks is code.
fn words(text: &str) -> String {
    let pieces = text.split('`').map(escape).enumerate();
    pieces.map(|(at, piece)| if at % 2 == 0 { piece } else { format!("<code>{piece}</code>") }).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use crate::problem::Kind;

    #[test]
    fn every_problem_has_its_place_on_the_page() {
        let page = std::str::from_utf8(&super::HTML).unwrap();
        for kind in Kind::ALL {
            assert!(page.contains(&format!("<h2 id=\"{}\">", kind.code())), "{}", kind.code());
        }
        assert!(page.contains("<code>Retry-After</code>") && !page.contains('`'), "{page}");
    }
}

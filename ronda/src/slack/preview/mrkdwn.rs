//! Slack's `mrkdwn` as HTML, as far as Ronda writes it.

/// The text as HTML: dates by what stands for them, links, bold, code.
pub(super) fn html(text: &str) -> String {
    // In every other part of it line breaks and markup are what they look like.
    let parts = text.split("```").enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<pre>{}</pre>", safe(part)) } else { inline(part) }).collect()
}

/// The text without markup, as a locked phone shows it.
pub(super) fn bare(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        out.push_str(before);
        out.push_str(tag.rsplit('|').next().unwrap_or_default());
        rest = after;
    }
    out.push_str(rest);
    safe(&out.replace(['*', '`'], "")).replace('\n', "<br>")
}

fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>').unwrap_or((tag, ""));
        out.push_str(&spans(before));
        let (target, label) = tag.split_once('|').unwrap_or((tag, tag));
        let label = safe(label);
        out.push_str(&match target.starts_with("!date^") {
            true => format!("<time>{label}</time>"),
            false => format!("<a href=\"{}\">{label}</a>", safe(target)),
        });
        rest = after;
    }
    out.push_str(&spans(rest));
    out
}

fn spans(text: &str) -> String {
    let coded = between(&safe(text), '`', "code");
    between(&coded, '*', "b").replace('\n', "<br>")
}

/// Every two of a mark as one element.
fn between(text: &str, mark: char, element: &str) -> String {
    let mut out = String::new();
    let mut is_open = false;
    for (at, part) in text.split(mark).enumerate() {
        if at > 0 {
            let slash = if is_open { "/" } else { "" };
            out.push_str(&format!("<{slash}{element}>"));
            is_open = !is_open;
        }
        out.push_str(part);
    }
    if is_open {
        out.push_str(&format!("</{element}>"));
    }
    out
}

/// What is escaped for Slack is for HTML, too; a quote could end an attribute.
fn safe(text: &str) -> String {
    text.replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ronda_writes_is_what_a_browser_shows() {
        let text = "🔴 *A &lt;b&gt;* failed, <!date^1^{time}|01:00 WIB>\n<https://x/?a&amp;b|Runbook> `x \"y\"`";
        let expected = "🔴 <b>A &lt;b&gt;</b> failed, <time>01:00 WIB</time><br><a href=\"https://x/?a&amp;b\">Runbook</a> \
            <code>x &quot;y&quot;</code>";
        assert_eq!(html(text), expected);
        assert_eq!(html("```a *b*\nc```"), "<pre>a *b*\nc</pre>");
        assert_eq!(bare("*A* since <!date^1^{time}|01:00 WIB>"), "A since 01:00 WIB");
    }
}

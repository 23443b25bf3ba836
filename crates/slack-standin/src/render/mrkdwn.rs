//! Slack's own markup. <https://docs.slack.dev/messaging/formatting-message-text>

use super::dates::Reader;

/// What stands between `<` and `>`.
enum Special<'a> {
    /// A link, with what is shown for it.
    Link { target: &'a str, label: &'a str },
    /// A person, a group or everybody, who is told.
    Mention(String),
    /// A channel's name.
    Channel(&'a str),
    /// A time, as the reader sees it.
    Date(String),
}

fn special<'a>(inside: &'a str, reader: Option<&Reader>) -> Special<'a> {
    let (target, label) = inside.split_once('|').map_or((inside, None), |(target, label)| (target, Some(label)));
    if let Some(date) = target.strip_prefix("!date^") {
        let own = reader.and_then(|reader| reader.date(date));
        return Special::Date(own.unwrap_or_else(|| label.unwrap_or_default().to_owned()));
    }
    if let Some(person) = target.strip_prefix('@') {
        return Special::Mention(format!("@{}", label.unwrap_or(person)));
    }
    if let Some(group) = target.strip_prefix('!') {
        let name = group.split('^').next_back().unwrap_or(group);
        return Special::Mention(format!("@{}", label.unwrap_or(name).trim_start_matches('@')));
    }
    if let Some(channel) = target.strip_prefix('#') {
        return Special::Channel(label.unwrap_or(channel));
    }
    Special::Link { target, label: label.unwrap_or(target) }
}

/// The first `<…>` of a text: what is before, inside and after.
fn next_special(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('<')?;
    let (inside, after) = rest.split_once('>')?;
    Some((before, inside, after))
}

fn characters(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// As characters only: links with their address, marks of emphasis as they are. Without a reader times are shown by their fallback.
pub(crate) fn plain(text: &str, reader: Option<&Reader>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, inside, after)) = next_special(rest) {
        out.push_str(&characters(before));
        match special(inside, reader) {
            Special::Link { target, label } if target == label => out.push_str(&characters(target)),
            Special::Link { target, label } => {
                out.push_str(&format!("{} ({})", characters(label), characters(target)));
            }
            Special::Mention(name) => out.push_str(&name),
            Special::Channel(name) => out.push_str(&format!("#{name}")),
            Special::Date(date) => out.push_str(&characters(&date)),
        }
        rest = after;
    }
    out.push_str(&characters(rest));
    out
}

/// Text that means nothing but itself, for HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text in which Slack's three entities stand for their characters, for HTML.
fn entity_text(text: &str) -> String {
    escaped(&characters(text))
}

/// As HTML: blocks of code, quotes, emphasis, links.
pub(crate) fn html(text: &str, reader: &Reader) -> String {
    let parts: Vec<&str> = text.split("```").collect();
    let closed = parts.len() % 2 == 1;
    let mut out = String::new();
    for (n, part) in parts.iter().enumerate() {
        let is_code = n % 2 == 1 && (closed || n + 1 < parts.len());
        if is_code {
            out.push_str(&format!("<pre>{}</pre>", code(part.trim_matches('\n'), reader)));
        } else {
            let opening = if n % 2 == 1 { "```" } else { "" };
            out.push_str(&lines(&format!("{opening}{part}"), reader));
        }
    }
    out
}

/// Within code only links and the like are more than characters.
fn code(text: &str, reader: &Reader) -> String {
    escaped(&plain(text, Some(reader)))
}

fn lines(text: &str, reader: &Reader) -> String {
    let line = |line: &str| match line.strip_prefix("&gt;").or_else(|| line.strip_prefix('>')) {
        Some(quoted) => format!("<blockquote>{}</blockquote>", inline(quoted.trim_start(), reader)),
        None => inline(line, reader),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("<br>").replace("</blockquote><br>", "</blockquote>")
}

fn inline(text: &str, reader: &Reader) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        if first == '<'
            && let Some(("", inside, after)) = next_special(rest)
        {
            out.push_str(&special_html(inside, reader));
            rest = after;
            before = '>';
            continue;
        }
        if !before.is_alphanumeric()
            && let Some((tag, inside, after)) = emphasis(first, rest)
        {
            let inside = if tag == "code" { code(inside, reader) } else { inline(inside, reader) };
            out.push_str(&format!("<{tag}>{inside}</{tag}>"));
            rest = after;
            before = first;
            continue;
        }
        let entity = ["&amp;", "&lt;", "&gt;"].into_iter().find(|entity| rest.starts_with(entity));
        let taken = entity.map_or(first.len_utf8(), str::len);
        out.push_str(&entity_text(&rest[..taken]));
        rest = &rest[taken..];
        before = first;
    }
    out
}

/// An emphasis that begins here and ends at a word's end: its tag, what it holds, what follows.
fn emphasis(mark: char, text: &str) -> Option<(&'static str, &str, &str)> {
    let tag = match mark {
        '*' => "b",
        '_' => "i",
        '~' => "s",
        '`' => "code",
        _ => return None,
    };
    let body = &text[1..];
    let ends_here = |at: &usize| {
        let inside = &body[..*at];
        let next = body[at + 1..].chars().next().unwrap_or(' ');
        !inside.is_empty()
            && !inside.starts_with(mark)
            && (mark == '`' || (!inside.starts_with(' ') && !inside.ends_with(' ') && !next.is_alphanumeric()))
    };
    let end = body.match_indices(mark).map(|(at, _)| at).find(ends_here)?;
    Some((tag, &body[..end], &body[end + 1..]))
}

fn special_html(inside: &str, reader: &Reader) -> String {
    match special(inside, Some(reader)) {
        Special::Link { target, label } => link(target, label),
        Special::Mention(name) => format!("<span class=\"mention\">{}</span>", escaped(&name)),
        Special::Channel(name) => format!("<span class=\"mention\">#{}</span>", escaped(name)),
        Special::Date(date) => format!("<time>{}</time>", entity_text(&date)),
    }
}

/// A link to a page or an address; what would run something is shown as text.
pub(crate) fn link(target: &str, label: &str) -> String {
    let safe = ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
    if safe { format!("<a href=\"{}\">{}</a>", entity_text(target), entity_text(label)) } else { entity_text(label) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn seen(text: &str) -> String {
        html(text, &Reader::new("Asia/Jakarta", 0).unwrap())
    }

    #[test]
    fn as_characters() {
        assert_eq!(plain("at <!date^1795443535^{time}|21:18 WIB> &lt;b&gt;", None), "at 21:18 WIB <b>");
        let reader = Reader::new("UTC", 0).unwrap();
        assert_eq!(plain("at <!date^1795443535^{time}|21:18 WIB>", Some(&reader)), "at 14:18");
        assert_eq!(plain("<https://r.example|Runbook>", None), "Runbook (https://r.example)");
        assert_eq!(plain("<!channel> <@U1> <#C1|ops> <!subteam^S1>", None), "@channel @U1 #ops @S1");
        assert_eq!(plain("&lt;!channel&gt;", None), "<!channel>", "what was escaped calls nobody");
    }

    #[test]
    fn as_html() {
        assert_eq!(
            seen("*bold* _italic_ ~gone~ `a < b`"),
            "<b>bold</b> <i>italic</i> <s>gone</s> <code>a &lt; b</code>"
        );
        assert_eq!(seen("2*3*4 snake_case_name"), "2*3*4 snake_case_name");
        assert_eq!(seen("```\n*code*\n``` after"), "<pre>*code*</pre> after");
        assert_eq!(seen("a ``` b"), "a ``` b");
        assert_eq!(seen("&gt; said\nmore"), "<blockquote>said</blockquote>more");
        assert_eq!(
            seen("<https://r.example?a=1&amp;b=2|*Run*>"),
            "<a href=\"https://r.example?a=1&amp;b=2\">*Run*</a>"
        );
        assert_eq!(seen("<!date^1795443535^{time}|x>"), "<time>21:18</time>");
        assert_eq!(seen("<!here>"), "<span class=\"mention\">@here</span>");
    }

    #[test]
    fn nothing_from_a_message_becomes_html() {
        assert_eq!(seen("&lt;script&gt;\"&amp;amp;"), "&lt;script&gt;&quot;&amp;amp;");
        assert_eq!(seen("<javascript:alert(1)|click>"), "click");
        assert_eq!(seen("<https://x\"onload=a|y>"), "<a href=\"https://x&quot;onload=a\">y</a>");
    }
}

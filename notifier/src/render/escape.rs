//! Making text from outside harmless: it can't ping anybody, pretend to be markup, or turn the line around.

/// Removes what a text must not do anywhere: control characters, line breaks, turns of direction, and what nobody sees.
pub(crate) fn tame(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            // Turns of direction, and marks that do the same: they could make a line read otherwise than it is.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}' => {}
            // Without width, and in no word of any language: a name could look like another one's. The joiners that scripts and emoji
            // need stay.
            '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{00ad}' | '\u{180e}' | '\u{e0000}'..='\u{e007f}' => {
            }
            '\u{fff9}'..='\u{fffb}' => {}
            other if other.is_control() || matches!(other, '\u{2028}' | '\u{2029}') => tamed.push(' '),
            other => tamed.push(other),
        }
    }
    tamed
}

/// Whether there is anything to see in a text.
pub(crate) fn is_blank(text: &str) -> bool {
    tame(text).chars().all(|character| character.is_whitespace() || matches!(character, '\u{200c}' | '\u{200d}'))
}

/// Text for Slack's `mrkdwn`.
pub(crate) fn mrkdwn(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in tame(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // A word joiner after it: nobody's name follows.
            '@' => escaped.push_str("@\u{2060}"),
            '`' => escaped.push('\''),
            other => escaped.push(other),
        }
    }
    escaped
}

/// What a character takes in `mrkdwn`, in bytes.
pub(crate) const fn mrkdwn_bytes(character: char) -> usize {
    match character {
        '&' => 5,
        '<' | '>' | '@' => 4,
        other => other.len_utf8(),
    }
}

/// Text between two `*`; something stands there in any case.
pub(crate) fn bold(text: &str) -> String {
    if is_blank(text) { "–".to_owned() } else { mrkdwn(text.trim()).replace('*', "\u{2217}") }
}

/// Text between two backticks; something stands there in any case.
pub(crate) fn code(text: &str) -> String {
    if is_blank(text) { "–".to_owned() } else { mrkdwn(text.trim()) }
}

/// A URL for a link; `None` when it is none that may be clicked.
pub(crate) fn url(text: &str) -> Option<String> {
    let web = text.starts_with("https://") || text.starts_with("http://");
    if !web || text.len() > 2_000 || tame(text) != text {
        return None;
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("%3C"),
            '>' => escaped.push_str("%3E"),
            '|' => escaped.push_str("%7C"),
            '`' => escaped.push_str("%60"),
            '@' => escaped.push_str("%40"),
            other if other.is_whitespace() => return None,
            other => escaped.push(other),
        }
    }
    Some(escaped)
}

/// The longest beginning of a text of at most so many bytes that ends with a whole character, and in no entity or link.
pub(crate) fn cap(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut head = text.get(..end).unwrap_or_default();
    for (opening, closing) in [('<', '>'), ('&', ';')] {
        if let Some(at) = head.rfind(opening)
            && !head.get(at..).unwrap_or_default().contains(closing)
        {
            head = head.get(..at).unwrap_or_default();
        }
    }
    // Nor between an `@` and what keeps it from being a mention.
    format!("{}…", head.trim_end_matches('@'))
}

/// A text of at most so many characters; a longer one ends with `…`.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let text = tame(text);
    let text = text.trim();
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", head.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_typed_can_ping_or_turn_or_break_out() {
        assert_eq!(mrkdwn("<!channel> & <@U1>"), "&lt;!channel&gt; &amp; &lt;@\u{2060}U1&gt;");
        assert_eq!(mrkdwn("a`b\u{202e}c\nd\u{0}e\u{2066}"), "a'bc d e");
        assert_eq!(bold("*x*"), "\u{2217}x\u{2217}");
        assert_eq!(bold("\u{200b} \u{200d}"), "–", "a name that nobody sees");
        assert_eq!(url("javascript:alert(1)"), None);
        assert_eq!(url("https://x/y z"), None);
        assert_eq!(url("https://x/\u{202e}y"), None);
        assert_eq!(url("https://x/?a=1&b=<c>|d").unwrap(), "https://x/?a=1&amp;b=%3Cc%3E%7Cd");
    }

    #[test]
    fn a_cut_text_is_whole() {
        assert_eq!(cap("abc", 3), "abc");
        assert_eq!(cap("äöüß", 6), "ä…");
        assert_eq!(cap("aaa&amp;bbb", 9), "aaa…");
        assert_eq!(cap("see <https://x/?a&amp;b|Runbook>", 25), "see …", "no half a link");
        assert_eq!(cap("ab@\u{2060}everyone", 6), "ab…");
        assert!(cap(&"語".repeat(2_000), 3_000).len() <= 3_000);
        assert_eq!(shortened("nightly billing", 9), "nightly…");
    }
}

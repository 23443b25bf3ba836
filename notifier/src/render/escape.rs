//! Making text from outside harmless: it can't ping anybody, pretend to be markup, or turn the line around.

/// Removes what a text must not do anywhere: control characters, line breaks and turns of direction.
pub(crate) fn tame(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            // Turns of direction, and marks that do the same: they could make a line read otherwise than it is.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{feff}' => {}
            other if other.is_control() || matches!(other, '\u{2028}' | '\u{2029}') => tamed.push(' '),
            other => tamed.push(other),
        }
    }
    tamed
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

/// Text between two `*`.
pub(crate) fn bold(text: &str) -> String {
    mrkdwn(text).replace('*', "\u{2217}")
}

/// A URL for a link; `None` when it is none that may be clicked.
pub(crate) fn url(text: &str) -> Option<String> {
    let web = text.starts_with("https://") || text.starts_with("http://");
    if !web || text.len() > 2_000 {
        return None;
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("%3C"),
            '>' => escaped.push_str("%3E"),
            '|' => escaped.push_str("%7C"),
            other if other.is_control() || other.is_whitespace() => return None,
            other => escaped.push(other),
        }
    }
    Some(escaped)
}

/// The longest beginning of a text of at most so many bytes that ends with a whole character and no half entity.
pub(crate) fn cap(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut head = text.get(..end).unwrap_or_default();
    // Not in the middle of `&amp;` or `<!date…>`.
    if let Some(at) = head.rfind(['&', '<'])
        && !head.get(at..).unwrap_or_default().contains([';', '>'])
    {
        head = head.get(..at).unwrap_or_default();
    }
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_typed_can_ping_or_turn_or_break_out() {
        assert_eq!(mrkdwn("<!channel> & <@U1>"), "&lt;!channel&gt; &amp; &lt;@\u{2060}U1&gt;");
        assert_eq!(mrkdwn("a`b\u{202e}c\nd\u{0}e\u{2066}"), "a'bc d e");
        assert_eq!(bold("*x*"), "\u{2217}x\u{2217}");
        assert_eq!(url("javascript:alert(1)"), None);
        assert_eq!(url("https://x/y z"), None);
        assert_eq!(url("https://x/?a=1&b=<c>|d").unwrap(), "https://x/?a=1&amp;b=%3Cc%3E%7Cd");
    }

    #[test]
    fn a_cut_text_is_whole() {
        assert_eq!(cap("abc", 3), "abc");
        assert_eq!(cap("äöüß", 6), "ä…");
        assert_eq!(cap("aaa&amp;bbb", 9), "aaa…");
        assert!(cap(&"語".repeat(2_000), 3_000).len() <= 3_000);
    }
}

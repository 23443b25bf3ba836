//! Making text from outside harmless in an answer: it can't mention anybody, pretend to be markup, or turn the line around.

/// Text for Slack's `mrkdwn`, in one line, of at most so many characters.
pub(super) fn mrkdwn(text: &str, most: usize) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    let mut left = most;
    for character in text.trim().chars() {
        if is_unseen(character) {
            continue;
        }
        if left == 0 {
            escaped.push('…');
            break;
        }
        left -= 1;
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // A word joiner after it: nobody's name follows.
            '@' => escaped.push_str("@\u{2060}"),
            '`' => escaped.push('\''),
            '*' => escaped.push('\u{2217}'),
            other if other.is_control() || matches!(other, '\u{2028}' | '\u{2029}') => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Turns of direction, and what has no width and is in no word of any language.
const fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{061c}'
            | '\u{200b}'
            | '\u{2060}'..='\u{2064}'
            | '\u{feff}'
            | '\u{00ad}'
            | '\u{180e}'
            | '\u{e0000}'..='\u{e007f}'
            | '\u{fff9}'..='\u{fffb}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_mentioned_and_nothing_is_markup() {
        let nasty = "<!channel> @here `x` *b* <https://evil|ok> a\u{202e}b\nnext\u{200b}";
        let safe = mrkdwn(nasty, 200);
        assert!(!safe.contains(['<', '>', '`', '*', '\n', '\u{202e}', '\u{200b}']), "{safe}");
        assert!(safe.contains("&lt;!channel&gt;") && safe.contains("@\u{2060}here"), "{safe}");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(mrkdwn("&&&&", 2), "&amp;&amp;…");
        assert_eq!(mrkdwn("ééé", 3), "ééé");
    }
}

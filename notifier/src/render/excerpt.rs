//! What is shown of a job's own words.

/// The line that says why, of a few lines or many: the first, or the last where the beginning is only where it came from.
pub(crate) fn telling_line(words: &str) -> Option<&str> {
    let mut lines = words.lines().map(str::trim).filter(|line| !super::escape::is_blank(line));
    let first = lines.next()?;
    if first.starts_with("Traceback (most recent call last)") { lines.next_back().or(Some(first)) } else { Some(first) }
}

/// A text's beginning and end, when it takes more than so many bytes; `bytes` says what a character takes.
pub(crate) fn cut_middle(text: &str, most: usize, bytes: impl Fn(char) -> usize) -> String {
    if text.chars().map(&bytes).sum::<usize>() <= most {
        return text.to_owned();
    }
    let gap = if text.contains('\n') { "\n…\n" } else { " … " };
    let room = most.saturating_sub(gap.len()) / 2;
    let fitting = |characters: &mut dyn Iterator<Item = char>| {
        let mut left = room;
        let mut taken = 0;
        for character in characters {
            match left.checked_sub(bytes(character)) {
                Some(rest) => left = rest,
                None => break,
            }
            taken += character.len_utf8();
        }
        taken
    };
    let mut head = text.get(..fitting(&mut text.chars())).unwrap_or_default();
    let mut tail = text.get(text.len() - fitting(&mut text.chars().rev())..).unwrap_or_default();
    // Whole lines, where there are any.
    head = head.rsplit_once('\n').map_or(head, |(whole, _)| whole);
    tail = tail.split_once('\n').map_or(tail, |(_, whole)| whole);
    format!("{}{gap}{}", head.trim_end(), tail.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_why_is_the_last_of_a_traceback_and_else_the_first() {
        assert_eq!(telling_line("\n  disk full\nat line 7"), Some("disk full"));
        let python = "Traceback (most recent call last):\n  File \"bill.py\", line 7\nKeyError: 'rate'\n";
        assert_eq!(telling_line(python), Some("KeyError: 'rate'"));
        assert_eq!(telling_line(" \n\u{200b}"), None);
    }

    #[test]
    fn head_and_tail_are_kept() {
        assert_eq!(cut_middle("short", 10, char::len_utf8), "short");
        assert_eq!(cut_middle("0123456789abcdefghij", 15, char::len_utf8), "01234 … fghij");
        assert_eq!(cut_middle("one\ntwo\nthree\nfour\nfive", 15, char::len_utf8), "one\n…\nfive");
        assert!(cut_middle(&"語".repeat(900), 100, char::len_utf8).len() <= 100);
    }
}

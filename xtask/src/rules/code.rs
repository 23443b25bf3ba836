//! Just enough reading of Rust to measure it: comments and literals are blanked, the rest is matched by braces.

/// A function with its place and size.
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// Line of its `fn`, from 1.
    pub(super) line: usize,
    /// Lines from its `fn` to its closing brace.
    pub(super) lines: usize,
}

/// Lines, from 1, in which one of the markers begins a path: not in the middle of a longer one, such as an address.
pub(super) fn mentions<'a>(text: &str, markers: &'a [String]) -> Vec<(usize, &'a str)> {
    let begins = |line: &str, at: usize| {
        !line[..at]
            .chars()
            .next_back()
            .is_some_and(|before| before.is_alphanumeric() || matches!(before, '.' | '}' | '/' | '-' | '_'))
    };
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for marker in markers {
            if line.match_indices(marker.as_str()).any(|(at, _)| begins(line, at)) {
                found.push((number + 1, marker.as_str()));
            }
        }
    }
    found
}

/// The text with comments, strings and characters turned into spaces; line breaks stay.
pub(super) fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end > at {
            out.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        } else {
            out.push(if bytes[at].is_ascii() { bytes[at] } else { b' ' });
            at += 1;
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

/// Where the comment or literal that begins here ends; `at` itself if none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let inside_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + quoted(rest, b'"'),
        [b'b' | b'c', b'"', ..] if !inside_word => at + 1 + quoted(&rest[1..], b'"'),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !inside_word => at + 1 + raw(&rest[1..]),
        [b'r', b'"' | b'#', ..] if !inside_word => at + raw(rest),
        [b'\'', b'\\', ..] => at + quoted(rest, b'\''),
        // A character, not a lifetime: its closing quote follows one character of up to four bytes.
        [b'\'', first, ..] if *first != b'\'' => {
            let width = match first {
                0..=0x7f => 1,
                0x80..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            if rest.get(1 + width) == Some(&b'\'') { at + width + 2 } else { at }
        }
        _ => at,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Length of `r"…"` or `r#"…"#`; 0 for a raw identifier.
fn raw(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let mut close = vec![b'"'];
    close.resize(hashes + 1, b'#');
    let body = 2 + hashes;
    let found = rest[body..].windows(close.len()).position(|window| window == close);
    found.map_or(rest.len(), |found| body + found + close.len())
}

/// Every function with a body, nested ones too, of a text without comments and literals.
pub(super) fn functions(bare: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in bare.match_indices("fn ") {
        if at > 0 && !bare.as_bytes()[at - 1].is_ascii_whitespace() {
            continue;
        }
        let name: String =
            bare[at + 3..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if let (false, Some(end)) = (name.is_empty(), body_end(&bare.as_bytes()[at..])) {
            let line = bare[..at].matches('\n').count() + 1;
            let lines = bare[at..at + end].matches('\n').count() + 1;
            found.push(Function { name, line, lines });
        }
    }
    found
}

/// Offset of the brace that closes the body; none for a declaration.
fn body_end(rest: &[u8]) -> Option<usize> {
    let (mut nested, mut braces) = (0_i32, 0_i32);
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b'(' | b'[' => nested += 1,
            b')' | b']' => nested -= 1,
            b';' if nested == 0 && braces == 0 => return None,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces <= 0 && nested == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether a crate is named: as `name::` or in `use name`, `extern crate name`.
pub(super) fn names(bare: &str, vendor: &str) -> bool {
    bare.match_indices(vendor).any(|(at, _)| {
        let bytes = bare.as_bytes();
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let after = &bare[at + vendor.len()..];
        let whole = !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'.'));
        let used = after.starts_with("::") || (bare[..at].trim_end().ends_with("use") && after.starts_with([';', ' ']));
        whole && used
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_past_strings_comments_and_lifetimes() {
        let text = "fn a<'x>(b: &'x str) -> char {\n  // }\n  let _ = \"}\"; let _ = r#\"}\"#; /* } */\n  '}'\n}\n\
                    trait T { fn declared(&self) -> [u8; 3];\n fn given(&self) { if true { } } }\n";
        let bare = without_comments_and_literals(text);
        let found: Vec<_> = functions(&bare).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("a".to_owned(), 1, 5), ("given".to_owned(), 7, 1)]);
    }

    #[test]
    fn crates_are_found_where_they_are_used_and_not_in_words() {
        assert!(names("use fjall::Database;", "fjall"));
        assert!(names("let x: fjall::Keyspace = y;", "fjall"));
        assert!(names("use fjall;", "fjall"));
        assert!(!names("use my_fjall::X;", "fjall"));
        assert!(!names("let fjall = 3;", "fjall"));
        assert!(!names("crate::fjall::open()", "fjall"));
    }

    #[test]
    fn machine_paths_are_told_from_addresses() {
        let markers = [format!("/{}/", "home")];
        assert_eq!(mentions(&format!("a\n\"/{}/me\"", "home"), &markers).len(), 1);
        assert!(mentions(&format!("https://x.org/{}/me", "home"), &markers).is_empty());
    }
}

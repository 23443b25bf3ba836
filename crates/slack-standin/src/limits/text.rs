//! Lengths of texts, and how long ones are split.

/// `chat.update` refuses longer texts, in bytes as one install measured with CJK. <https://docs.slack.dev/reference/methods/chat.update>
pub(super) const UPDATE_TEXT_BYTES: usize = 4_000;
/// `chat.postMessage` makes several messages of a longer text. <https://docs.slack.dev/reference/methods/chat.postMessage>
const PIECE_CHARS: usize = 4_000;
/// What is longer is cut. <https://docs.slack.dev/changelog/2018-truncating-really-long-messages>
const MOST_CHARS: usize = 40_000;

/// The visible messages that a text becomes: at ends of lines where there are any in the second half, else in the middle of a word.
pub(crate) fn split(text: &str) -> Vec<String> {
    let mut rest: Vec<char> = text.chars().take(MOST_CHARS).collect();
    let mut pieces = Vec::new();
    while rest.len() > PIECE_CHARS {
        let line_end = rest[..PIECE_CHARS].iter().rposition(|c| *c == '\n').filter(|at| *at > PIECE_CHARS / 2);
        let tail = rest.split_off(line_end.map_or(PIECE_CHARS, |at| at + 1));
        pieces.push(rest.iter().collect());
        rest = tail;
    }
    pieces.push(rest.iter().collect());
    pieces
}

/// The length that counts: of the text as Slack keeps it, with `&`, `<` and `>` of plain text as entities.
pub(super) fn escaped_chars(text: &str, plain: bool) -> usize {
    let raw = text.chars().count();
    if !plain {
        return raw;
    }
    let more = |c: char| match c {
        '&' => 4,
        '<' | '>' => 3,
        _ => 0,
    };
    raw + text.chars().map(more).sum::<usize>()
}

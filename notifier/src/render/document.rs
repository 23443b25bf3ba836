//! What a message shows, in which order, without any markup.

use ronda_domain::time::Timestamp;

/// The colours of the bar at the side.
pub(crate) mod colour {
    pub(crate) const RED: &str = "#a30200";
    pub(crate) const ORANGE: &str = "#d9541e";
    pub(crate) const AMBER: &str = "#daa038";
    pub(crate) const GREEN: &str = "#2eb886";
    pub(crate) const GREY: &str = "#dddddd";
}

/// A piece of text. What came from outside is in here as it came: escaping is done when it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Text(String),
    Bold(String),
    Code(String),
    Time(Timestamp),
    Link { label: &'static str, url: String },
}

/// A line of text.
pub(crate) type Line = Vec<Span>;

impl Span {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn bold(text: impl Into<String>) -> Self {
        Self::Bold(text.into())
    }
}

impl From<&str> for Span {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Span {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Timestamp> for Span {
    fn from(at: Timestamp) -> Self {
        Self::Time(at)
    }
}

/// A line of anything that can be a span.
macro_rules! line {
    ($($part:expr),* $(,)?) => { vec![$($crate::render::document::Span::from($part)),*] };
}
pub(crate) use line;

/// Parts on one line, with a dot between two.
pub(crate) fn dotted(parts: impl IntoIterator<Item = Line>) -> Line {
    let mut line = Line::new();
    for part in parts {
        if !line.is_empty() {
            line.push(Span::text("  ·  "));
        }
        line.extend(part);
    }
    line
}

/// A message.
///
/// Its first lines are what a locked phone shows: `headline`, then `lead`, then `reason`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    /// What happened, to whom.
    pub(crate) headline: Line,
    /// How bad, whose, since when.
    pub(crate) lead: Vec<Line>,
    /// Why, in a line.
    pub(crate) reason: Option<Line>,
    /// Names, for where the table can't be seen.
    pub(crate) glance: Option<Line>,
    pub(crate) colour: Option<&'static str>,
    pub(crate) paragraphs: Vec<Line>,
    pub(crate) fields: Vec<(&'static str, Line)>,
    /// A job's own words, shown as they are.
    pub(crate) quote: Option<String>,
    /// `reason` says all that the quote does.
    pub(crate) reason_has_quote: bool,
    pub(crate) list: Vec<Line>,
    pub(crate) table: Option<Table>,
    pub(crate) footer: Line,
    /// Where more is to be read; further parts of the footer, where there are no buttons.
    pub(crate) links: Vec<Line>,
    pub(crate) buttons: Vec<Button>,
}

/// Something that a reader can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Button {
    pub(crate) label: &'static str,
    /// Which, for who takes in what was clicked.
    pub(crate) id: &'static str,
    pub(crate) does: Does,
}

/// What a button does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Sends this to us.
    Send(String),
    /// Opens an address.
    Open(String),
}

impl Document {
    /// The footer with its links.
    pub(crate) fn whole_footer(&self) -> Line {
        let footer = Some(self.footer.clone()).filter(|footer| !footer.is_empty());
        dotted(footer.into_iter().chain(self.links.iter().cloned()))
    }
}

/// A table; its cells are text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) caption: String,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// How many further rows there are.
    pub(crate) hidden: usize,
    /// Which column says why: where a phone cuts the right side off it stands after the second one.
    pub(crate) why: Option<usize>,
}

impl Table {
    /// A row's cells, with what says why further to the left.
    pub(crate) fn why_first<'a>(&self, cells: &'a [String]) -> Vec<&'a str> {
        let mut cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        if let Some(why) = self.why.filter(|why| (3..cells.len()).contains(why)) {
            let moved = cells.remove(why);
            cells.insert(2, moved);
        }
        cells
    }

    /// Without the columns in which no row has anything: a phone is narrow.
    pub(crate) fn without_empty_columns(mut self) -> Self {
        let is_used = |column: usize| self.rows.iter().any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()));
        let used: Vec<bool> = (0..self.header.len()).map(is_used).collect();
        let keep = |cells: Vec<String>| -> Vec<String> {
            cells.into_iter().zip(&used).filter(|(_, used)| **used).map(|(cell, _)| cell).collect()
        };
        let left_out = |until: usize| used.iter().take(until).filter(|used| !**used).count();
        self.why = self.why.filter(|why| used.get(*why) == Some(&true)).map(|why| why - left_out(why));
        if used.iter().any(|used| *used) {
            self.header = keep(self.header);
            self.rows = self.rows.into_iter().map(keep).collect();
        }
        self
    }
}

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

impl Span {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn bold(text: impl Into<String>) -> Self {
        Self::Bold(text.into())
    }
}

/// Whose it is, for the end of a line, where there is more than the tenant that everybody begins with.
pub(crate) fn tenant(tenant: &str) -> Option<Span> {
    (!matches!(tenant, "" | "default")).then(|| Span::text(format!("  ·  tenant {tenant}")))
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    /// The first line, which notifications show as well.
    pub(crate) headline: Vec<Span>,
    pub(crate) colour: Option<&'static str>,
    pub(crate) paragraphs: Vec<Vec<Span>>,
    pub(crate) fields: Vec<(&'static str, Vec<Span>)>,
    /// A job's own words, shown as they are.
    pub(crate) quote: Option<String>,
    pub(crate) list: Vec<Vec<Span>>,
    pub(crate) table: Option<Table>,
    pub(crate) footer: Vec<Span>,
}

/// A table; its cells are text, and numbers where that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) caption: String,
    pub(crate) header: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
    /// Said when not all rows fit: so many of `rows` are problems, and so many were left out before.
    pub(crate) hidden: usize,
}

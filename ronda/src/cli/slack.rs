//! `slack …`.

use clap::{Args, Subcommand, ValueEnum};
use ronda_host::arguments::Place;
use ronda_notifier::{Form, Language};

/// `slack …`
#[derive(Debug, Subcommand)]
pub enum SlackCommand {
    /// Show every kind of message from sample data; nothing is sent
    Preview(PreviewArguments),
    /// Try tokens, scopes, channels and the clock; posts a message and deletes it at once. Ends with code 7 when Slack refuses anything
    Check(SlackCheckArguments),
}

/// Flags of `slack check`.
#[derive(Debug, Args)]
pub struct SlackCheckArguments {
    /// Where the configuration is.
    #[command(flatten)]
    pub place: Place,
}

/// Flags of `slack preview`.
#[derive(Debug, Args)]
pub struct PreviewArguments {
    /// Only this kind, such as 'failure' or 'night' [default: all]
    #[arg(long)]
    pub kind: Option<String>,
    /// In which language
    #[arg(long, value_enum, default_value_t = PreviewLanguage::En)]
    pub language: PreviewLanguage,
    /// As text for a terminal, as a page for a browser, or as JSON: of one kind as Block Kit Builder takes it, of all by kind
    #[arg(long, value_enum, default_value_t = PreviewFormat::Text)]
    pub format: PreviewFormat,
    /// How a table is sent: what Slack refuses is sent in the next form
    #[arg(long, value_enum, default_value_t = PreviewForm::DataTable)]
    pub form: PreviewForm,
}

/// A language's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PreviewLanguage {
    /// English.
    En,
    /// Indonesian.
    Id,
}

impl From<PreviewLanguage> for Language {
    fn from(language: PreviewLanguage) -> Self {
        match language {
            PreviewLanguage::En => Self::English,
            PreviewLanguage::Id => Self::Indonesian,
        }
    }
}

/// How previews are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PreviewFormat {
    /// As on a terminal.
    Text,
    /// As Slack gets it.
    Json,
    /// A page that looks about like Slack.
    Html,
}

/// The forms of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PreviewForm {
    /// A table that can be paged and sorted.
    DataTable,
    /// A plain table.
    Table,
    /// A code block.
    Code,
    /// Text without blocks.
    Text,
}

impl From<PreviewForm> for Form {
    fn from(form: PreviewForm) -> Self {
        match form {
            PreviewForm::DataTable => Self::DataTable,
            PreviewForm::Table => Self::Table,
            PreviewForm::Code => Self::Code,
            PreviewForm::Text => Self::Text,
        }
    }
}

//! `routes …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use ronda_domain::spec::Severity;
use ronda_notifier::route::Kind;

use super::Server;

/// `routes …`
#[derive(Debug, Subcommand)]
pub enum RoutesCommand {
    /// Tell where an alert would go and why; nothing is sent
    #[command(after_help = TEST_HELP)]
    Test(RoutesTestArguments),
}

const TEST_HELP: &str = "\
That an alert is over is told wherever it was shown. What is not given of the job is empty, and its severity 'warning'; with --url what is \
registered takes the place of that.";

/// Flags of `routes test`.
#[derive(Debug, Args)]
pub struct RoutesTestArguments {
    /// The job's id.
    pub job: String,
    /// What the alert is about.
    #[arg(value_enum)]
    pub kind: RouteKind,
    /// How much the job matters [default: warning]
    #[arg(long, value_enum)]
    pub severity: Option<RouteSeverity>,
    /// Its team.
    #[arg(long)]
    pub team: Option<String>,
    /// Its environment.
    #[arg(long)]
    pub environment: Option<String>,
    /// Its tags; may be given several times.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
    /// When it begins: a time such as 2026-12-24T22:00:00+07:00 [default: now]
    #[arg(long, value_name = "TIME", value_parser = super::time)]
    pub at: Option<jiff::Timestamp>,
    /// Ask the Ronda at this address what is registered of the job; what is given here goes before
    #[arg(long)]
    pub url: Option<String>,
    /// API key for it. Better given by the environment: a command line can be seen by others [env: RONDA_API_KEY]
    #[arg(long, requires = "url")]
    pub api_key: Option<String>,
    /// Configuration file [default: ronda.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "RONDA_CONFIG")]
    pub config: Option<PathBuf>,
}

impl RoutesTestArguments {
    /// Whom to ask about the job, if anybody.
    #[must_use]
    pub fn server(&self) -> Option<Server> {
        let url = self.url.clone()?;
        Some(Server { url: Some(url), api_key: self.api_key.clone(), retry_seconds: None, json: false })
    }
}

/// What an alert can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RouteKind {
    /// A run failed.
    #[value(alias = "failure")]
    Failed,
    /// A run takes too long, or a run or worker sends no heartbeat any more.
    Stale,
    /// A run did not start in time.
    Missed,
    /// A run that was missed has started after all.
    #[value(name = "started_late", alias = "started-late")]
    StartedLate,
}

impl From<RouteKind> for Kind {
    fn from(kind: RouteKind) -> Self {
        match kind {
            RouteKind::Failed => Self::Failed,
            RouteKind::Stale => Self::Stale,
            RouteKind::Missed => Self::Missed,
            RouteKind::StartedLate => Self::StartedLate,
        }
    }
}

/// How much a job can matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RouteSeverity {
    /// Worth knowing.
    Info,
    /// Worth looking at in the morning.
    Warning,
    /// Worth waking somebody.
    Critical,
}

impl From<RouteSeverity> for Severity {
    fn from(severity: RouteSeverity) -> Self {
        match severity {
            RouteSeverity::Info => Self::Info,
            RouteSeverity::Warning => Self::Warning,
            RouteSeverity::Critical => Self::Critical,
        }
    }
}

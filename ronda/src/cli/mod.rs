//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ronda_host::arguments::{Place, ServiceArguments};
use ronda_host::exit::CODES_HELP;

mod queue;
mod routes;
mod slack;

pub use queue::{DEAD_LETTERS_HELP, DeadLettersCommand, QueueCommand, QueuePlace};
pub use routes::{RouteKind, RouteSeverity, RoutesCommand, RoutesTestArguments};
pub use slack::{PreviewArguments, PreviewForm, PreviewFormat, PreviewLanguage, SlackCheckArguments, SlackCommand};

/// The night watch for fleets of schedulers.
///
/// Jobs report over HTTP; Ronda keeps one truth of what ran, notices what failed, hung or never started, and tells people in Slack.
#[derive(Debug, Parser)]
#[command(name = "ronda", version, after_help = CODES_HELP, max_term_width = 110)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run all of Ronda in this process, on embedded parts or with its queues on a broker
    #[command(after_help = UP_HELP)]
    Up(ServiceArguments),
    /// Run an ingest gateway alone; as many as wanted, on a broker and a database that all share
    #[command(after_help = ALONE_HELP)]
    IngestGateway(ServiceArguments),
    /// Run a processor alone; as many as wanted, on a broker and a database that all share
    #[command(after_help = ALONE_HELP)]
    Processor(ServiceArguments),
    /// Run a notifier alone; as many as wanted, on a broker and a database that all share
    #[command(after_help = ALONE_HELP)]
    Notifier(ServiceArguments),
    /// Make, list and revoke API keys; works while 'up' is running, and when nothing is
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Make, check and look at the queues, and change their number of partitions
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Show who works on which partition, how far it is, and what waits
    Partitions {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where queues and store are.
        #[command(flatten)]
        place: QueuePlace,
    },
    /// Make and check the tables of a store on a server
    #[command(subcommand)]
    Store(StoreCommand),
    /// Look at messages that could not be read, give them another try, or throw them away; works while 'up' is running, and when nothing is
    #[command(subcommand, after_help = DEAD_LETTERS_HELP)]
    DeadLetters(DeadLettersCommand),
    /// Look at Slack's messages before anybody gets one
    #[command(subcommand)]
    Slack(SlackCommand),
    /// Look at the routes of alerts
    #[command(subcommand)]
    Routes(RoutesCommand),
    /// Look at schedulers
    #[command(subcommand, about = "Look at schedulers; pause, resume or delete one")]
    Schedulers(SchedulersCommand),
    /// Register a scheduler, or change one: what is not named stays as it is
    #[command(after_help = REGISTER_HELP)]
    Register(Box<RegisterArguments>),
    /// Report how a run is doing or ended
    Status(StatusArguments),
    /// Report that a run, or a worker, is alive
    Heartbeat(HeartbeatArguments),
    /// Show what was refused after it had been accepted, newest first, such as a run id that is used again
    Errors(ErrorsArguments),
    /// Ask the process that runs with this configuration how its parts are: for health checks of containers
    Health(HealthArguments),
    /// Write, check or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Tell the version
    Version {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

const UP_HELP: &str = "\
Every setting can also stand in ronda.toml or in the environment (RONDA_<SECTION>_<KEY>); 'ronda config init' writes \
a commented file. Slack is on when SLACK_BOT_TOKEN and SLACK_CHANNEL are set. The first SIGTERM or SIGINT drains in \
order (gateway, processor, notifier); a second one ends at once.";

const ALONE_HELP: &str = "\
Every setting can also stand in ronda.toml or in the environment (RONDA_<SECTION>_<KEY>). The tables have to be there: 'ronda store migrate' \
makes them. The first SIGTERM or SIGINT ends it in order, and hands over what it worked on; a second one ends at once.";

const REGISTER_HELP: &str = "\
To the API a registration is the whole description: what it leaves out gets its default, a schedule too. This command \
first reads what is registered and keeps what is not named; --clear takes something away, --replace and --file send \
a whole description. It says what has changed.";

/// `store …`
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Make the tables that are missing; takes nothing away, may be run again, and twice at once
    Migrate {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the store is.
        #[command(flatten)]
        place: Place,
    },
    /// Tell what is missing or not as it shall be; ends with code 10 if anything is
    Check {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the store is.
        #[command(flatten)]
        place: Place,
    },
}

/// `keys …`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key; it is shown once
    Create {
        /// What to call it.
        #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
        name: String,
        /// Whose it is.
        #[arg(long, default_value = crate::keys::DEFAULT_TENANT)]
        tenant: String,
        /// What it may do.
        #[arg(long = "scope", value_delimiter = ',', default_value = "ingest,read,admin")]
        scopes: Vec<Scope>,
        /// Requests a minute; 0: no limit.
        #[arg(long, default_value_t = ronda_ingest_gateway::keys::DEFAULT_RATE_LIMIT_PER_MINUTE)]
        rate_limit_per_minute: u32,
        /// When it stops working: a time such as 2027-01-31T00:00:00Z [default: never]
        #[arg(long, value_name = "TIME", value_parser = time)]
        expires_at: Option<jiff::Timestamp>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// List keys; the keys themselves are not known to anybody
    List {
        /// Only this tenant's [default: all]
        #[arg(long)]
        tenant: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a key by its id; gateways notice within seconds
    Revoke {
        /// The id that 'keys list' shows.
        id: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the data is.
        #[command(flatten)]
        place: Place,
    },
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// Report and register.
    Ingest,
    /// Read schedulers, histories and errors.
    Read,
    /// Delete, pause and resume schedulers, and manage keys.
    Admin,
}

/// Which server to talk to.
// Its variables are read here rather than by clap, which would name the flags as needed in usage lines once they are set.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// Base address of the server [env: RONDA_URL] [default: http://127.0.0.1:3000]
    #[arg(long)]
    url: Option<String>,
    /// API key. Better given by the environment: a command line can be seen by others [env: RONDA_API_KEY]
    #[arg(long)]
    api_key: Option<String>,
    /// Try again for so long while nobody answers, and on 429 and 503; 0: once [default: 60 for what writes, else 0]
    #[arg(long, value_name = "SECONDS")]
    pub retry_seconds: Option<u32>,
    /// The server's answer as JSON; the pages of a list in one.
    #[arg(long)]
    pub json: bool,
}

impl Server {
    /// Its base address.
    #[must_use]
    pub fn address(&self) -> String {
        given(self.url.as_ref(), "RONDA_URL").unwrap_or_else(|| String::from("http://127.0.0.1:3000"))
    }

    /// The key, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        given(self.api_key.as_ref(), "RONDA_API_KEY")
    }
}

fn given(flag: Option<&String>, variable: &str) -> Option<String> {
    flag.cloned().or_else(|| std::env::var(variable).ok()).filter(|text| !text.is_empty())
}

/// `schedulers …`
#[derive(Debug, Subcommand)]
pub enum SchedulersCommand {
    /// List schedulers and how they are
    List {
        /// Only with this status: new, healthy, running, late, failed, stale, missed, unknown, paused.
        #[arg(long)]
        status: Option<String>,
        /// Only of this team.
        #[arg(long)]
        team: Option<String>,
        /// Only in this environment.
        #[arg(long)]
        environment: Option<String>,
        /// Only with this tag; may be given several times, and all must be there.
        #[arg(long = "tag")]
        tags: Vec<String>,
        /// Only with this text in id, name or description.
        #[arg(long)]
        text: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// Server.
        #[command(flatten)]
        server: Server,
    },
    /// Show one scheduler
    Show {
        /// Its id.
        id: String,
        /// Server.
        #[command(flatten)]
        server: Server,
    },
    /// Show what one scheduler did, newest first
    History {
        /// Its id.
        id: String,
        /// From this time on (RFC 3339).
        #[arg(long)]
        from: Option<String>,
        /// Before this time (RFC 3339).
        #[arg(long)]
        until: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Server.
        #[command(flatten)]
        server: Server,
    },
    /// Expect nothing of a scheduler until it is resumed
    Pause(One),
    /// Expect a paused scheduler again
    Resume(One),
    /// Delete a scheduler; its history stays for as long as it is kept
    Delete(One),
}

/// One scheduler.
#[derive(Debug, Args)]
pub struct One {
    /// Its id.
    pub id: String,
    /// Server.
    #[command(flatten)]
    pub server: Server,
}

/// Flags of `errors`.
#[derive(Debug, Args)]
pub struct ErrorsArguments {
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
    /// Server.
    #[command(flatten)]
    pub server: Server,
}

/// What `register --clear` takes.
const CLEARABLE: [&str; 14] = [
    "name",
    "description",
    "team",
    "environment",
    "tags",
    "schedule",
    "start-grace-seconds",
    "early-window-seconds",
    "max-run-seconds",
    "heartbeat-timeout-seconds",
    "alert-after",
    "recover-after",
    "severity",
    "runbook-url",
];

/// Flags of `register`.
#[derive(Debug, Args)]
pub struct RegisterArguments {
    /// Its id: letters, digits, - and _.
    #[arg(required_unless_present = "file")]
    pub id: Option<String>,
    /// The whole description as JSON from a file, - for standard input; it replaces what is registered.
    #[arg(long, value_name = "JSON", conflicts_with = "id")]
    pub file: Option<PathBuf>,
    /// What people call it.
    #[arg(long)]
    pub name: Option<String>,
    /// What it does.
    #[arg(long)]
    pub description: Option<String>,
    /// The team that it belongs to.
    #[arg(long)]
    pub team: Option<String>,
    /// Where it runs.
    #[arg(long)]
    pub environment: Option<String>,
    /// A label; may be given several times. These replace those that are there.
    #[arg(long = "tag")]
    pub tags: Vec<String>,
    /// Schedule: five cron fields or a name such as @daily.
    #[arg(long, conflicts_with = "every_seconds")]
    pub cron: Option<String>,
    /// IANA time zone of the cron schedule [default: UTC]
    #[arg(long, conflicts_with = "every_seconds")]
    pub timezone: Option<String>,
    /// Schedule: every so many seconds.
    #[arg(long)]
    pub every_seconds: Option<u32>,
    /// How long after its due time a start is still in time [default: 300, at most half the time between two due times]
    #[arg(long)]
    pub start_grace_seconds: Option<u32>,
    /// How long before its due time a start still counts for it [default: 60, at most a tenth of that time]
    #[arg(long)]
    pub early_window_seconds: Option<u32>,
    /// How long a run may last [default: as long as it likes]
    #[arg(long)]
    pub max_run_seconds: Option<u32>,
    /// How long a run, or a worker without runs, may stay silent [default: heartbeats are not expected]
    #[arg(long)]
    pub heartbeat_timeout_seconds: Option<u32>,
    /// So many bad occurrences in a row open an alert [default: 1]
    #[arg(long)]
    pub alert_after: Option<u32>,
    /// So many good occurrences in a row resolve it [default: 1]
    #[arg(long)]
    pub recover_after: Option<u32>,
    /// How much it matters: info, warning or critical [default: warning]
    #[arg(long)]
    pub severity: Option<String>,
    /// Where it says what to do.
    #[arg(long)]
    pub runbook_url: Option<String>,
    /// Set this back to its default; several with commas. --clear schedule: nothing is expected of it any more.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', conflicts_with = "file", value_parser = clap::builder::PossibleValuesParser::new(CLEARABLE))]
    pub clear: Vec<String>,
    /// Send what the flags say as the whole description: what is not named gets its default.
    #[arg(long, conflicts_with_all = ["file", "clear"])]
    pub replace: bool,
    /// Server.
    #[command(flatten)]
    pub server: Server,
}

/// Flags of `status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// The scheduler's id.
    pub id: String,
    /// running, success, failed, cancelled or skipped.
    pub status: Option<String>,
    /// What went wrong.
    #[arg(long)]
    pub error: Option<String>,
    /// The process's exit code.
    #[arg(long, allow_negative_numbers = true)]
    pub exit_code: Option<i32>,
    /// How long it took.
    #[arg(long)]
    pub duration_ms: Option<u64>,
    /// A fact as key=value; may be given several times.
    #[arg(long = "metadata", value_name = "KEY=VALUE", value_parser = pair)]
    pub metadata: Vec<(String, String)>,
    /// What all reports have.
    #[command(flatten)]
    pub report: Report,
}

/// Flags of `heartbeat`.
#[derive(Debug, Args)]
pub struct HeartbeatArguments {
    /// The scheduler's id.
    pub id: String,
    /// Units done.
    #[arg(long)]
    pub done: Option<u64>,
    /// Units in all; goes with --done.
    #[arg(long, requires = "done")]
    pub total: Option<u64>,
    /// What it is doing; goes with --done.
    #[arg(long, requires = "done")]
    pub message: Option<String>,
    /// What all reports have.
    #[command(flatten)]
    pub report: Report,
}

/// What statuses and heartbeats have in common.
#[derive(Debug, Args)]
pub struct Report {
    /// The run's id, another one for every run; without it Ronda finds the run, or makes an id.
    #[arg(long)]
    pub run_id: Option<String>,
    /// When it happened, by the job's clock (RFC 3339).
    #[arg(long)]
    pub occurred_at: Option<String>,
    /// Wait so many seconds for the resulting state.
    #[arg(long, value_name = "SECONDS")]
    pub wait: Option<u32>,
    /// Server.
    #[command(flatten)]
    pub server: Server,
}

/// Flags of `health`.
#[derive(Debug, Args)]
pub struct HealthArguments {
    /// Ask only whether it makes progress, not whether it is ready.
    #[arg(long)]
    pub live: bool,
    /// Address of health and metrics [default: 127.0.0.1:3001]
    #[arg(long, value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
    /// Configuration file [default: ronda.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "RONDA_CONFIG")]
    pub config: Option<PathBuf>,
}

fn time(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse().map_err(|_| {
        String::from("write it with its offset, as 2027-01-31T22:00:00+07:00, or in UTC, as 2027-01-31T15:00:00Z")
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// `config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Write a commented file with every setting and its default
    Init {
        /// Which file.
        #[arg(long, default_value = ronda_host::config::DEFAULT_FILE)]
        file: PathBuf,
        /// Replace a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Tell every mistake in file and environment
    Check {
        /// Where it is.
        #[command(flatten)]
        place: Place,
    },
    /// Show what is in force, and where each value comes from; secrets as ***
    Show {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where it is.
        #[command(flatten)]
        place: Place,
    },
    /// Print the tables of docs/configuration.md
    #[command(hide = true)]
    Reference,
}

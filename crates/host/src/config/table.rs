//! The table of settings: the one place where a setting's name, type, default, bounds and explanation are written.
//! The structures, the loader, `config init`, `config show` and the check of docs/configuration.md all come from it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ronda_runtime::Secret;
use ronda_runtime::telemetry::LogFormat;
use toml::Value as Toml;

use super::boards::Board;
use super::elsewhere::Webhook;
use super::routes::{Maintenance, Route};
use super::value::{DirectAccess, MailSecurity, QueueUrl, StoreUrl, Value};

/// Something given for a setting.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    /// A value of the file.
    Toml(&'a Toml),
    /// Text from the environment or a flag.
    Text(&'a str),
}

/// One row of the table.
pub struct Setting {
    /// Section of the file.
    pub section: &'static str,
    /// Key within it.
    pub key: &'static str,
    /// Type of the value, for people.
    pub kind: &'static str,
    /// Least and greatest number, where there are any.
    pub bounds: Option<(i128, i128)>,
    /// Further environment variable, besides `RONDA_<SECTION>_<KEY>`.
    pub alias: Option<&'static str>,
    /// What it was called in earlier releases, as `section.key`: still understood.
    pub formerly: Option<&'static str>,
    /// Explanation.
    pub doc: &'static str,
    set: fn(&mut Settings, Given<'_>) -> Result<(), String>,
    get: fn(&Settings) -> Toml,
}

impl Setting {
    /// `section.key`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn environment(&self) -> String {
        variable(self.section, self.key)
    }

    /// The environment variable that set it in earlier releases.
    #[must_use]
    pub fn former_environment(&self) -> Option<String> {
        self.formerly.and_then(|name| name.split_once('.')).map(|(section, key)| variable(section, key))
    }

    /// The explanation as one line.
    #[must_use]
    pub fn explanation(&self) -> String {
        self.doc.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Sets it.
    ///
    /// # Errors
    /// What is wrong with the value, to follow the setting's name.
    pub fn set(&self, settings: &mut Settings, given: Given<'_>) -> Result<(), String> {
        (self.set)(settings, given)
    }

    /// Its value as it would be written in the file; secrets as `***`.
    #[must_use]
    pub fn get(&self, settings: &Settings) -> Toml {
        (self.get)(settings)
    }
}

fn variable(section: &str, key: &str) -> String {
    format!("RONDA_{section}_{key}").to_ascii_uppercase()
}

fn read<V: Value>(given: Given<'_>, bounds: Option<(i128, i128)>) -> Result<V, String> {
    let value = match given {
        Given::Toml(value) => V::from_toml(value)?,
        Given::Text(text) => V::from_text(text)?,
    };
    match (value.measure(), bounds) {
        (Some(number), Some((least, most))) if number < least || number > most => {
            Err(format!("is {number}, but must be from {least} to {most}"))
        }
        _ => Ok(value),
    }
}

macro_rules! bounds {
    () => {
        None
    };
    ($least:literal, $most:literal) => {
        Some(($least, $most))
    };
}

macro_rules! alias {
    () => {
        None
    };
    ($name:literal) => {
        Some($name)
    };
}

macro_rules! settings {
    ($(
        $(#[doc = $section_doc:literal])+
        $section:ident: $Section:ident {$(
            $(#[doc = $doc:literal])+
            $key:ident: $type:ty = $default:expr $(, from $least:literal to $most:literal)? $(, also $alias:literal)?
            $(, formerly $formerly:literal)?;
        )+}
    )+) => {
        /// All settings of one process.
        #[derive(Clone, Debug, Default)]
        pub struct Settings {
            $( $(#[doc = $section_doc])+ pub $section: $Section, )+
            /// The night boards; see [`Board`].
            pub boards: Vec<Board>,
            /// Where alerts go, in order; see [`Route`].
            pub routes: Vec<Route>,
            /// When alerts are not told; see [`Maintenance`].
            pub maintenance: Vec<Maintenance>,
            /// Webhooks by name: `webhook:NAME` is the channel.
            pub webhooks: BTreeMap<String, Webhook>,
            /// Recipients of mail by the list's name: `mail:NAME` is the channel.
            pub mail_lists: BTreeMap<String, Vec<String>>,
        }

        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug)]
            pub struct $Section {
                $( $(#[doc = $doc])+ pub $key: $type, )+
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $( $key: $default, )+ }
                }
            }
        )+

        /// Every section with its explanation, in the file's order.
        pub const SECTIONS: &[(&str, &str)] = &[$( (stringify!($section), concat!($($section_doc),+)), )+];

        /// Every setting, in the file's order.
        pub const SETTINGS: &[Setting] = &[$($(
            Setting {
                section: stringify!($section),
                key: stringify!($key),
                kind: <$type as Value>::KIND,
                bounds: bounds!($($least, $most)?),
                alias: alias!($($alias)?),
                formerly: alias!($($formerly)?),
                doc: concat!($($doc),+),
                set: |settings, given| {
                    settings.$section.$key = read(given, bounds!($($least, $most)?))?;
                    Ok(())
                },
                get: |settings| settings.$section.$key.to_toml(),
            },
        )+)+];
    };
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

settings! {
    /// Where Ronda listens, and what it takes from clients.
    server: Server {
        /// Address of the HTTP API.
        listen: SocketAddr = address(3000);
        /// Address of health and metrics. It asks for no key: keep it on a private interface.
        admin_listen: SocketAddr = address(3001);
        /// Most connections at once; more wait in the system's backlog.
        max_connections: usize = 4_096, from 1 to 1_000_000;
        /// Largest body of a single write, in bytes.
        max_body_bytes: usize = 65_536, from 1_024 to 1_048_576;
        /// Largest body of `POST /api/v1/events`, in bytes.
        max_bulk_body_bytes: usize = 8_388_608, from 1_024 to 134_217_728;
        /// Most bytes of request bodies in memory at once, over all requests; beyond it a request is answered 503. At least as much as the largest body is taken.
        max_inflight_body_bytes: usize = 268_435_456, from 1_048_576 to 68_719_476_736;
        /// Most items in one `POST /api/v1/events`.
        max_bulk_items: usize = 10_000, from 1 to 1_000_000;
        /// How long a register, delete, pause or resume waits until it is applied before it is answered 202, in milliseconds.
        apply_wait_ms: u64 = 5_000, from 0 to 60_000;
        /// Longest wait that a client gets with `Prefer: wait`, in seconds.
        max_prefer_wait_seconds: u64 = 30, from 0 to 300;
        /// How long a connection may be idle between two requests, in seconds. Longer than the load balancer in front keeps one (60 s is usual), which else may send a request onto a connection that is being closed.
        idle_timeout_seconds: u64 = 75, from 1 to 3_600;
        /// How long requests in flight may take to end after a signal to stop, in seconds.
        drain_timeout_seconds: u64 = 20, from 0 to 600;
        /// How often a partition hears from this gateway at least, in milliseconds. It is also how finely deadlines are judged.
        pulse_period_ms: u32 = 1_000, from 50 to 10_000;
        /// How long a frame may fill while reports keep coming in, in milliseconds, so that under load fewer and larger ones go out; it goes at once when nothing comes. 0: as soon as the one before is confirmed.
        linger_ms: u64 = 4, from 0 to 1_000;
        /// How long a key is trusted before the store is asked again, in milliseconds: how fast a revocation works.
        key_ttl_ms: u64 = 2_000, from 0 to 600_000;
    }

    /// Where the data lies.
    storage: Storage {
        /// Directory of the store, the admin socket and the embedded queues. Made if it is not there; one process at a time owns it.
        data: PathBuf = PathBuf::from("ronda-data");
        /// Partitions of the command queue, a power of two. Fixed when queue and store are made; `ronda queue repartition` changes it.
        partitions: u32 = 4, from 1 to 1_024;
        /// Memory for what is read from the store, in bytes.
        store_cache_bytes: u64 = 8_388_608, from 1_048_576 to 68_719_476_736;
        /// Commits are refused while the disk has less room than this, in bytes.
        min_free_bytes: u64 = 268_435_456, from 0 to 1_099_511_627_776;
    }

    /// The queues between the three services: files of their own, or a broker.
    queue: QueueSettings {
        /// Where they are: `embedded:` (in the data directory), `nats://HOST:4222` (`tls://` with TLS), `sqs://REGION`, `amqp://HOST:5672/VHOST` (`amqps://` with TLS); see docs/queues.md. A password in it is never shown.
        url: QueueUrl = QueueUrl::default();
        /// What the names of all queues, streams and exchanges on a broker begin with. Rondas that share a broker need one each.
        prefix: String = String::from("ronda");
        /// Partitions of the queue of derived events. Fixed when it is made.
        event_partitions: u32 = 4, from 1 to 64;
        /// Most bytes of commands that are not processed yet, over all partitions. Writes are answered 503 beyond it, on queues that refuse what is too much.
        max_bytes: u64 = 4_294_967_296, from 67_108_864 to 274_877_906_944, formerly "storage.queue_max_bytes";
        /// Copies that a broker which replicates keeps of each message. Fixed when the queues are made.
        replicas: u32 = 1, from 1 to 5;
        /// File with the credentials for the broker, in its own format (NATS: `.creds`, or an nkey seed); empty: what the address says.
        credentials_file: Option<PathBuf> = None;
        /// Certificates of the authorities to trust, PEM: on NATS in the place of the system's, on RabbitMQ and SQS beside them; empty: the system's.
        ca_file: Option<PathBuf> = None;
        /// This process's own certificate towards the broker, PEM; goes with `client_key_file`.
        client_certificate_file: Option<PathBuf> = None;
        /// The key of that certificate, PEM.
        client_key_file: Option<PathBuf> = None;
        /// What lets a message in that is published straight onto the broker: `broker` (its own permissions; the tenant is the one in the subject or routing key, or `direct_tenant`), or `api_key` (a key of Ronda's in the header or attribute `x-api-key`).
        direct_access: DirectAccess = DirectAccess::Broker;
        /// Tenant of direct messages on brokers whose messages name none; empty: there such messages are dead letters.
        direct_tenant: String = String::new();
    }

    /// Where rows are kept: files of their own, or a database that all processes share.
    store: StoreSettings {
        /// Where it is: `embedded:` (in the data directory), `cassandra://HOST:9042/KEYSPACE` (or `scylla://`), `dynamodb://REGION`; see docs/stores.md. A password in it is never shown. A store on a server needs queues on a broker.
        url: StoreUrl = StoreUrl::default();
        /// File with the credentials for the server: user and password on two lines (Cassandra), or as the AWS tools have it (DynamoDB); empty: what the address or the environment says.
        credentials_file: Option<PathBuf> = None;
        /// Certificates of authorities to trust beside the system's, PEM; DynamoDB only.
        ca_file: Option<PathBuf> = None;
    }

    /// How several processes of one service share the work; where the store is on a server.
    replicas: ReplicaSettings {
        /// After how long without a sign of life a replica is held for dead and its partitions are taken over, in milliseconds. Longer than any stall that is to be borne. The same for all.
        lease_ms: u64 = 10_000, from 1_000 to 600_000;
    }

    /// How messages are applied.
    processor: ProcessorSettings {
        /// A gateway that stays silent while another one pulses for so many periods no longer holds the clock back.
        gateway_silent_periods: u32 = 10, from 5 to 3_600;
        /// Commits of a partition are at least this far apart, in milliseconds; the first after a pause, what somebody waits for, and alerts are committed at once, and what else people are told within half a second. Longer: heartbeats cost fewer writes, and reads of them are older. 0: commit what is there.
        commit_interval_ms: u32 = 500, from 0 to 600_000;
        /// Most queue messages (frames) in hand that are not applied yet.
        receive_messages: usize = 512, from 1 to 4_096;
        /// Most bytes of them; one message may be larger.
        receive_bytes: usize = 4_194_304, from 65_536 to 268_435_456;
        /// A commit is closed after the frame with which it has changed so many rows.
        commit_rows: usize = 20_000, from 1 to 1_000_000;
    }

    /// What is said to people, and how soon.
    notifier: NotifierSettings {
        /// IANA time zone in which times are written where a reader's own can't be shown.
        timezone: String = String::from("Asia/Jakarta");
        /// Language of alerts, digests and notices: `en` (English) or `id` (Indonesian). A board may have one of its own.
        language: String = String::from("en");
        /// Address of a page about a scheduler, for the link below an alert, with `{tenant}` and `{scheduler}` in it; empty: no link.
        details_url: String = String::new();
        /// Channel for the operator's notices (lost frames, a broken destination), `webhook:NAME` or `mail:NAME`; empty: the one of `[slack]`.
        admin_channel: String = String::new();
        /// How long a new alert waits for what follows at once, so that a job that fails and recovers within it is one message, in
        /// milliseconds.
        grouping_wait_ms: u64 = 2_000, from 0 to 60_000;
        /// More new alerts than this in one channel within `storm_window_seconds` become one digest.
        storm_threshold: usize = 20, from 1 to 10_000;
        /// See `storm_threshold`, in seconds.
        storm_window_seconds: u64 = 10, from 1 to 3_600;
        /// How long finished messages are remembered, in days; after it they are not edited any more.
        retention_days: u32 = 7, from 1 to 365;
    }

    /// How long things are kept.
    retention: RetentionSettings {
        /// How long history and the error feed are kept, in days; 0: for ever.
        history_days: u32 = 90, from 0 to 3_650;
        /// Most entries that one step of the clean-up looks at; between two steps everything else has its turn.
        purge_entries: usize = 1_000, from 1 to 100_000;
    }

    /// Slack. A token and a channel are given together; without both the same messages are shown on the terminal.
    slack: SlackSettings {
        /// Bot token, `xoxb-…`. Better given by the environment than written into a file.
        bot_token: Secret = Secret::default(), also "SLACK_BOT_TOKEN";
        /// Channel for alerts and boards: its id (`C0123456789`), or `webhook:NAME` or `mail:NAME`. Empty while a board has a channel of its own: the first such board's.
        channel: String = String::new(), also "SLACK_CHANNEL";
        /// Base address of the Web API. For tests and proxies.
        api_url: String = String::from("https://slack.com/api"), also "SLACK_API_URL";
        /// Signing secret of the app: with it the gateway takes slash commands and buttons at `/slack/commands` and `/slack/interactions`. Better given by the environment than written into a file.
        signing_secret: Secret = Secret::default(), also "SLACK_SIGNING_SECRET";
        /// App-level token, `xapp-…`: with it the gateway opens connections to Slack (Socket Mode), over which the same comes without a public address.
        app_token: Secret = Secret::default(), also "SLACK_APP_TOKEN";
        /// The tenant whose jobs people in Slack see and work on.
        tenant: String = String::from("default");
        /// The only workspace whose people may do so, by its id (`T0123456789`); empty: every one that the app is installed in.
        team_id: String = String::new();
        /// Whether people of other workspaces may, too: guests in channels that are shared with their company (Slack Connect), or people of another workspace of the same organisation.
        allow_guest_teams: bool = false;
    }

    /// The mail server, for channels `mail:NAME`; who gets mail is in `[mail.lists.NAME]`.
    mail: MailSettings {
        /// The server's name; empty: no mail.
        host: String = String::new();
        /// Its port: 587 for `starttls`, 465 for `tls`.
        port: u32 = 587, from 1 to 65_535;
        /// How the connection is protected. Without STARTTLS on the server nothing is sent; `none` is for a relay on the same machine.
        security: MailSecurity = MailSecurity::StartTls;
        /// Who logs in; empty: nobody.
        user: String = String::new();
        /// File with the password, on its first line.
        password_file: Option<PathBuf> = None;
        /// Whom mails are from, as `Ronda <ronda@example.com>`.
        from: String = String::new();
        /// Certificates of authorities to trust beside the system's, PEM.
        ca_file: Option<PathBuf> = None;
    }

    /// Logs.
    telemetry: TelemetrySettings {
        /// Which events to log: a level such as `info`, or `warn,ronda_processor=debug`. The default is Ronda's own at `info` and
        /// the rest at `warn`.
        log_filter: String = String::from("warn,ronda=info");
        /// How a log line looks.
        log_format: LogFormat = LogFormat::Text;
    }
}

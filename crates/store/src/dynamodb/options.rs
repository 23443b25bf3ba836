//! What can be set of a store on DynamoDB.

use std::path::PathBuf;

/// Where the tables are, how they are made, and how long calls may take.
///
/// Credentials are AWS's own (environment, profiles, SSO, web identity, the role of a container or machine), unless a file is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamoOptions {
    /// What the names of all tables begin with; `-` and the table's own name follow. Default: `ronda`.
    pub prefix: String,
    /// AWS region. Default: the one that the environment or the profile names.
    pub region: Option<String>,
    /// Where to call in place of Amazon's own address: a VPC endpoint, or a server for tests. Default: Amazon's.
    pub endpoint: Option<String>,
    /// A file with certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A file as the AWS tools have it, of which the profile `default` is used.
    pub credentials_file: Option<PathBuf>,
    /// What the client calls itself in the user agent. Default: `ronda`.
    pub client_name: String,
    /// How long history and error feeds are kept, in seconds, counted from an entry's own time. Reads hide what is older; the server removes it within
    /// days. What is written keeps the time that was set then. Default: 90 days.
    pub history_keep_seconds: u64,
    /// Longest time to connect, in milliseconds. Default: 2,000.
    pub connect_timeout_ms: u64,
    /// Longest time of one attempt of a call, in milliseconds. Default: 3,000.
    pub attempt_timeout_ms: u64,
    /// Longest time of a call with all its attempts, in milliseconds. Default: 10,000.
    pub call_timeout_ms: u64,
    /// How often a call is tried that was throttled, timed out or met a fault of the server; at least 1. Default: 3.
    pub max_attempts: u32,
    /// How many writes of one commit are under way at once; at least 1. Default: 64.
    pub writes_in_flight: usize,
    /// How many rows are written and slots read at once by all commits and loads of this process together; at least 1. Each takes a
    /// connection. Default: 512.
    pub calls_in_flight: usize,
    /// How tables are paid for when they are made. Default: on demand.
    pub billing: Billing,
    /// Whether tables can be restored to any second of the last 35 days; switched on by a migration, never off. Default: no.
    pub point_in_time_recovery: bool,
    /// Whether tables that are made refuse to be deleted. Default: no.
    pub deletion_protection: bool,
}

/// How a table is paid for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Billing {
    /// By request; DynamoDB scales by itself.
    #[default]
    OnDemand,
    /// By capacity that is set aside, the same for every table and for the index; whoever wants other figures sets them afterwards: a migration leaves
    /// tables that are there as they are.
    Provisioned {
        /// Read units a second.
        read_units: u32,
        /// Write units a second.
        write_units: u32,
    },
}

impl Default for DynamoOptions {
    fn default() -> Self {
        Self {
            prefix: String::from("ronda"),
            region: None,
            endpoint: None,
            ca_file: None,
            credentials_file: None,
            client_name: String::from("ronda"),
            history_keep_seconds: 90 * 24 * 60 * 60,
            connect_timeout_ms: 2_000,
            attempt_timeout_ms: 3_000,
            call_timeout_ms: 10_000,
            max_attempts: 3,
            writes_in_flight: 64,
            calls_in_flight: 512,
            billing: Billing::OnDemand,
            point_in_time_recovery: false,
            deletion_protection: false,
        }
    }
}

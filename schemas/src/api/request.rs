//! The bodies that clients send, for the OpenAPI document only: what checks them is in the parsers beside this file.
//!
//! Lengths in the document are in characters, as JSON Schema counts; the parsers count bytes of UTF-8, which is the same for ASCII.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use super::time::Time;
use super::words::{ReportedStatusWord, SeverityWord};

/// A scheduler to be registered. Absent and null fields get their defaults.
#[derive(Deserialize, ToSchema)]
#[schema(as = RegisterRequest)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct RegisterRequest {
    /// How reports will name it, unique within the tenant.
    #[schema(pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", examples("nightly-billing"))]
    id: String,
    /// What people call it; the id when absent.
    #[schema(max_length = 200, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    name: Option<String>,
    /// What it does. May have several lines.
    #[schema(max_length = 2000, pattern = "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]*$")]
    description: Option<String>,
    /// The team that it belongs to.
    #[schema(max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    team: Option<String>,
    /// Where it runs, such as `production`.
    #[schema(max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    environment: Option<String>,
    /// Labels.
    #[schema(max_items = 20, value_type = Option<Vec<TagRequest>>)]
    tags: Option<Vec<String>>,
    /// When it is expected to start; absent: never by itself.
    schedule: Option<ScheduleRequest>,
    /// How long after its due time a start is still in time, in seconds; 300 when absent, less for short periods.
    #[schema(minimum = 0, maximum = 31_622_400)]
    start_grace_seconds: Option<u32>,
    /// How long before its due time a start still counts for it, in seconds; 60 when absent, less for short periods.
    #[schema(minimum = 0, maximum = 31_622_400)]
    early_window_seconds: Option<u32>,
    /// How long a run may last before it is stale, in seconds; absent: as long as it likes.
    #[schema(minimum = 1, maximum = 31_622_400)]
    max_run_seconds: Option<u32>,
    /// How long a run may stay silent before it is stale, in seconds; absent: heartbeats are not expected.
    #[schema(minimum = 1, maximum = 31_622_400)]
    heartbeat_timeout_seconds: Option<u32>,
    /// So many bad occurrences in a row open an alert; 1 when absent.
    #[schema(minimum = 1, maximum = 100)]
    alert_after: Option<u8>,
    /// So many good occurrences in a row resolve it; 1 when absent.
    #[schema(minimum = 1, maximum = 100)]
    recover_after: Option<u8>,
    /// How much it matters; `warning` when absent.
    severity: Option<SeverityWord>,
    /// Where it says what to do: an http or https address.
    #[schema(max_length = 2000, format = "uri", examples("https://wiki.example.com/runbooks/nightly-billing"))]
    runbook_url: Option<String>,
}

/// A label: 1 to 64 characters, not only white space.
#[derive(Deserialize, ToSchema)]
#[schema(as = Tag, max_length = 64, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$")]
#[expect(dead_code, reason = "it only describes the body")]
pub struct TagRequest(String);

/// When a scheduler is expected to start: either by the clock of a zone, or every so many seconds.
#[derive(Deserialize, ToSchema)]
#[schema(as = Schedule)]
#[serde(untagged)]
pub enum ScheduleRequest {
    /// By the wall clock of a zone.
    Cron(CronSchedule),
    /// Every so many seconds.
    Every(EverySchedule),
}

/// By the wall clock of a zone.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct CronSchedule {
    /// Five fields (minute, hour, day of month, month, day of week), or an `@` name such as `@daily`.
    #[schema(max_length = 256, format = "cron", examples("0 1 * * *"))]
    cron: String,
    /// IANA name; `UTC` when absent.
    #[schema(format = "iana-timezone", examples("Asia/Jakarta"))]
    timezone: Option<String>,
}

/// Every so many seconds.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct EverySchedule {
    /// The period, in seconds.
    #[schema(minimum = 1, maximum = 31_622_400, examples(300))]
    every_seconds: u32,
    /// Due times are this time plus whole periods; absent: counted from the registration.
    anchor: Option<Time>,
}

/// Where a run is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct StatusRequest {
    /// Where the run is.
    status: ReportedStatusWord,
    /// Which run: an id of its own for every run of the scheduler. Absent: `running` makes one; anything else is for the youngest open
    /// run without an id of its own.
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,128}$", examples("2026-11-23T01:00:00Z"))]
    run_id: Option<String>,
    /// What went wrong. May have several lines.
    #[schema(max_length = 4096, pattern = "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]*$")]
    error: Option<String>,
    /// The process's exit code.
    #[schema(minimum = -2_147_483_648_i64, maximum = 2_147_483_647)]
    exit_code: Option<i32>,
    /// How long the run took, in milliseconds.
    #[schema(minimum = 0, maximum = 31_622_400_000_u64)]
    duration_ms: Option<u64>,
    /// The client's own time: kept and shown, and orders one run's messages; it never moves a deadline.
    occurred_at: Option<Time>,
    /// Further facts: at most 16, names of 1 to 64 and values of up to 256 characters, without control characters.
    #[schema(value_type = Option<MetadataRequest>)]
    metadata: Option<BTreeMap<String, String>>,
}

/// Further facts as pairs of strings.
#[derive(Deserialize)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct MetadataRequest(BTreeMap<String, String>);

impl utoipa::PartialSchema for MetadataRequest {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
        const LINE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
        let text = |least: usize, most: usize| {
            ObjectBuilder::new()
                .schema_type(SchemaType::Type(Type::String))
                .min_length(Some(least))
                .max_length(Some(most))
                .pattern(Some(LINE))
        };
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Object))
            .description(Some("Further facts as pairs of strings; at most 16."))
            .max_properties(Some(16))
            .property_names(Some(text(1, 64).build()))
            .additional_properties(Some(text(0, 256)))
            .into()
    }
}

impl ToSchema for MetadataRequest {
    fn name() -> std::borrow::Cow<'static, str> {
        "Metadata".into()
    }
}

/// That somebody looks after what is wrong. An empty body is one, too.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct AcknowledgeRequest {
    /// Which alert: the `id` of a scheduler's `alert`. When another one is open by then, or none, nothing is acknowledged. Absent: whichever is open.
    #[schema(
        max_length = 512,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        examples("alert:00000000000000a1:due:1795456800000:failed:0")
    )]
    alert_id: Option<String>,
    /// Who says so; absent: the name of the key.
    #[schema(max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", examples("Ratna"))]
    by: Option<String>,
}

/// That somebody wants to hear of a scheduler again. An empty body is one, too.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct ByRequest {
    /// Who says so; absent: the name of the key.
    #[schema(max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", examples("Ratna"))]
    by: Option<String>,
}

/// That nobody wants to hear of a scheduler until a time: either `until` or `for_seconds`.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub enum MuteRequest {
    /// Until a time.
    Until(MuteUntil),
    /// For so long.
    For(MuteFor),
}

/// Until a time.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct MuteUntil {
    /// When it ends; at most 30 days ahead.
    until: Time,
    /// Who says so; absent: the name of the key.
    #[schema(max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", examples("Ratna"))]
    by: Option<String>,
}

/// For so long.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct MuteFor {
    /// How long, in seconds; at most 30 days.
    #[schema(minimum = 1, maximum = 2_592_000, examples(3600))]
    for_seconds: u32,
    /// Who says so; absent: the name of the key.
    #[schema(max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$", examples("Ratna"))]
    by: Option<String>,
}

/// A sign of life. An empty body is one, too.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct HeartbeatRequest {
    /// Which run. Absent: the youngest open one without an id of its own; the scheduler itself when none is open.
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,128}$")]
    run_id: Option<String>,
    /// How far it has come.
    progress: Option<ProgressRequest>,
    /// The client's own time.
    occurred_at: Option<Time>,
}

/// How far a run has come. `done` may exceed `total`: a job may find more work than it had counted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct ProgressRequest {
    /// Units done.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    done: u64,
    /// Units in all, when known.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    total: Option<u64>,
    /// What it is doing.
    #[schema(max_length = 256, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    message: Option<String>,
}

/// An item of a bulk write: an event. Whatever else it is, it is refused alone, in an answer of 202, and the others are taken.
pub struct BulkItem;

impl utoipa::PartialSchema for BulkItem {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::Ref;
        use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, SchemaType};
        const REST: &str = "Anything else is refused alone, and the other items are taken.";
        AnyOfBuilder::new()
            .item(Ref::from_schema_name("EventRequest"))
            .item(ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(REST)))
            .into()
    }
}

impl ToSchema for BulkItem {
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        schemas.push((EventRequest::name().into_owned(), <EventRequest as utoipa::PartialSchema>::schema()));
        EventRequest::schemas(schemas);
    }
}

/// One event of a bulk write.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum EventRequest {
    /// The same fields as a status.
    Status(StatusEvent),
    /// The same fields as a heartbeat.
    Heartbeat(HeartbeatEvent),
}

/// A status for one scheduler.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct StatusEvent {
    /// The id that the scheduler was registered with.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,128}$")]
    scheduler_id: String,
    /// See `StatusRequest`.
    status: ReportedStatusWord,
    /// See `StatusRequest`.
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,128}$")]
    run_id: Option<String>,
    /// See `StatusRequest`.
    #[schema(max_length = 4096, pattern = "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]*$")]
    error: Option<String>,
    /// See `StatusRequest`.
    #[schema(minimum = -2_147_483_648_i64, maximum = 2_147_483_647)]
    exit_code: Option<i32>,
    /// See `StatusRequest`.
    #[schema(minimum = 0, maximum = 31_622_400_000_u64)]
    duration_ms: Option<u64>,
    /// See `StatusRequest`.
    occurred_at: Option<Time>,
    /// See `StatusRequest`.
    #[schema(value_type = Option<MetadataRequest>)]
    metadata: Option<BTreeMap<String, String>>,
}

/// A heartbeat for one scheduler.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "it only describes the body")]
pub struct HeartbeatEvent {
    /// The id that the scheduler was registered with.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,128}$")]
    scheduler_id: String,
    /// See `HeartbeatRequest`.
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,128}$")]
    run_id: Option<String>,
    /// See `HeartbeatRequest`.
    progress: Option<ProgressRequest>,
    /// See `HeartbeatRequest`.
    occurred_at: Option<Time>,
}

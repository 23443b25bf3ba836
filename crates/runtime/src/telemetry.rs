//! Logs and metrics: set up once per process, used everywhere through `tracing` and `metrics`.
//!
//! Logs go to standard error, so that standard output stays with the command's own answer. Metrics are called `ronda_*`,
//! in base units, counters ending in `_total`; no label ever names a scheduler, a run or a tenant.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

/// Bounds of every `*_seconds` histogram: from 100 µs (an in-memory step) to 10 s (a stalled disk).
const SECONDS_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A gauge that is set to this is not told any more, until it is set to something else: what it measured is somebody else's to tell.
pub const GONE: f64 = f64::NAN;

/// How to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// Which events to log, as `level` or `target=level,…`: `info`, `warn,ronda_processor=debug`.
    pub log_filter: String,
    /// How a log line looks.
    pub log_format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log_filter: String::from("info"), log_format: LogFormat::Text }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error(
        "log filter {filter:?} is not valid: {reason}; write a level such as \"info\", or \"warn,ronda_processor=debug\""
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody was first.
    #[error("telemetry is set up already in this process")]
    Twice,
}

/// Renders the process's metrics. Clones share them.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// Metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        // Folds what histograms have gathered since the last time; without it they would grow without bound.
        self.0.run_upkeep();
        without_gone(&self.0.render())
    }

    /// A handle to metrics that nobody records, for tests.
    #[must_use]
    pub fn detached() -> Self {
        Self(builder().build_recorder().handle())
    }

    /// Keeps histograms small when nobody scrapes. To be called every few seconds.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Says whether a log filter is one, without setting anything up.
///
/// # Errors
/// [`TelemetryError::Filter`].
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    parse(filter).map(drop)
}

/// Sets logs and metrics up for the whole process.
///
/// # Errors
/// [`TelemetryError`]: a filter that is not one, or a second call.
pub fn init(config: &TelemetryConfig) -> Result<MetricsHandle, TelemetryError> {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(parse(&config.log_filter)?)
        .with_writer(std::io::stderr)
        // Said on standard error as well, and with a panic where nobody reads it any more: whoever logs would end with the log's reader.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let installed = match config.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    installed.map_err(|_| TelemetryError::Twice)?;
    let handle = builder().install_recorder().map_err(|_| TelemetryError::Twice)?;
    Ok(MetricsHandle(handle))
}

/// Leaves out gauges that are [`GONE`]. Nothing else is no number: sums and counts are none.
fn without_gone(text: &str) -> String {
    let is_told = |line: &&str| line.starts_with('#') || !line.ends_with(" NaN");
    text.split_inclusive('\n').filter(|line| is_told(&line.trim_end())).collect()
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let refused = |reason: String| TelemetryError::Filter { filter: filter.to_owned(), reason };
    EnvFilter::builder().parse(filter).map_err(|error| refused(error.to_string()))?;
    // The clients of AWS log, at every start, which credentials they found: the ids of keys are nothing to collect. That of RabbitMQ logs
    // each refusal several times, whatever becomes of it; what it comes to, Ronda says once.
    let filter = format!("aws_config=warn,lapin=off,{filter}");
    let parsed = EnvFilter::builder().parse(&filter).map_err(|error| refused(error.to_string()))?;
    // The client of RabbitMQ logs messages that come back to it, with all that is in them.
    let silent = "lapin::returned_messages=off".parse::<Directive>().map_err(|error| refused(error.to_string()))?;
    Ok(parsed.add_directive(silent))
}

fn builder() -> PrometheusBuilder {
    let builder = PrometheusBuilder::new();
    // The bounds are a constant and not empty, which is all that can be wrong with them.
    builder
        .set_buckets_for_metric(Matcher::Suffix(String::from("_seconds")), &SECONDS_BUCKETS)
        .unwrap_or_else(|_| PrometheusBuilder::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_told_from_nonsense_with_a_hint() {
        assert!(check_filter("info").is_ok());
        assert!(check_filter("warn,ronda_processor=debug").is_ok());
        let refusal = check_filter("ronda=loudly").unwrap_err().to_string();
        assert!(refusal.contains("ronda=loudly") && refusal.contains("write a level"), "{refusal}");
    }

    #[test]
    fn what_clients_say_of_credentials_and_payloads_is_left_out() {
        let filter = parse("info").unwrap().to_string();
        assert!(
            filter.contains("aws_config=warn")
                && filter.contains("lapin=off")
                && filter.contains("lapin::returned_messages=off"),
            "{filter}"
        );
        let asked = parse("info,aws_config=debug").unwrap().to_string();
        assert!(asked.contains("aws_config=debug") && !asked.contains("aws_config=warn"), "{asked}");
    }

    #[test]
    fn histograms_of_seconds_have_fixed_buckets() {
        let recorder = builder().build_recorder();
        let handle = MetricsHandle(recorder.handle());
        metrics::with_local_recorder(&recorder, || {
            metrics::counter!("ronda_tests_total").increment(2);
            metrics::histogram!("ronda_test_duration_seconds").record(0.003);
        });
        let text = handle.render();
        assert!(text.contains("ronda_tests_total 2"), "{text}");
        assert!(text.contains("ronda_test_duration_seconds_bucket{le=\"0.005\"} 1"), "{text}");
    }

    #[test]
    fn a_gauge_that_is_gone_is_told_no_more_until_it_is_set_again() {
        let recorder = builder().build_recorder();
        let handle = MetricsHandle(recorder.handle());
        let set = |partition: &'static str, value: f64| {
            metrics::with_local_recorder(&recorder, || {
                metrics::gauge!("ronda_test_lag", "partition" => partition).set(value);
            });
        };
        set("1", 3.0);
        set("2", 4.0);
        set("1", GONE);
        let text = handle.render();
        assert!(!text.contains("partition=\"1\"") && text.contains("ronda_test_lag{partition=\"2\"} 4"), "{text}");
        set("1", 5.0);
        assert!(handle.render().contains("ronda_test_lag{partition=\"1\"} 5"));
    }
}

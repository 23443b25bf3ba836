//! What is counted of requests from Slack.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use super::signature::Refused;

/// Counts of requests from Slack.
pub(crate) struct SlackMetrics {
    late: Counter,
    busy: Counter,
    not_allowed: Counter,
    connections: Gauge,
}

/// By which way a request came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Via {
    Https,
    Socket,
}

impl SlackMetrics {
    pub(super) fn new() -> Self {
        describe_counter!("ronda_slack_requests_total", "Requests from Slack, by what they were and how they came");
        describe_counter!(
            "ronda_slack_refused_total",
            "Requests that were not taken for Slack's or may not be made, by reason"
        );
        describe_counter!("ronda_slack_late_total", "Answers to people in Slack that took longer than two seconds");
        describe_gauge!("ronda_slack_connections", "Connections of Socket Mode that are open");
        let refused = |reason: &'static str| counter!("ronda_slack_refused_total", "reason" => reason);
        Self {
            late: counter!("ronda_slack_late_total"),
            busy: refused("busy"),
            not_allowed: refused("not_allowed"),
            connections: gauge!("ronda_slack_connections"),
        }
    }

    pub(super) fn came(&self, kind: &'static str, via: Via) {
        let via = match via {
            Via::Https => "https",
            Via::Socket => "socket",
        };
        counter!("ronda_slack_requests_total", "kind" => kind, "via" => via).increment(1);
    }

    pub(super) fn refused(&self, why: Refused) {
        counter!("ronda_slack_refused_total", "reason" => why.as_str()).increment(1);
    }

    pub(super) fn unreadable(&self) {
        counter!("ronda_slack_refused_total", "reason" => "unreadable").increment(1);
    }

    pub(super) fn late(&self) {
        self.late.increment(1);
    }

    pub(super) fn busy(&self) {
        self.busy.increment(1);
    }

    pub(super) fn not_allowed(&self) {
        self.not_allowed.increment(1);
    }

    pub(super) fn connected(&self) {
        self.connections.increment(1);
    }

    pub(super) fn disconnected(&self) {
        self.connections.decrement(1);
    }
}

#!/usr/bin/env bash
# Registers the six jobs of the night; the sixth never starts.
. "$(dirname "$0")/common.sh"
register() {
    # Until the server has started.
    curl --silent --show-error --fail-with-body --retry 20 --retry-all-errors --retry-delay 1 -X POST "$RONDA_URL/api/v1/schedulers/register" \
        -H "X-API-Key: $RONDA_API_KEY" -H 'Content-Type: application/json' -d "$1" >/dev/null && echo "registered: $1"
}
common='"environment":"production","schedule":{"cron":"* * * * *","timezone":"Asia/Jakarta"},"early_window_seconds":5'
register "{\"id\":\"good\",\"name\":\"Good job\",\"team\":\"payments\",\"start_grace_seconds\":20,$common}"
register "{\"id\":\"flaky\",\"name\":\"Flaky job\",\"team\":\"payments\",\"severity\":\"critical\",\"runbook_url\":\"https://runbooks.example/flaky\",\"start_grace_seconds\":20,$common}"
register "{\"id\":\"hanging\",\"name\":\"Hanging job\",\"team\":\"data\",\"start_grace_seconds\":20,\"heartbeat_timeout_seconds\":30,\"max_run_seconds\":300,$common}"
register "{\"id\":\"late\",\"name\":\"Late job\",\"team\":\"data\",\"start_grace_seconds\":20,$common}"
register "{\"id\":\"never\",\"name\":\"Job that never starts\",\"team\":\"data\",\"start_grace_seconds\":20,$common}"
register "{\"id\":\"beating\",\"name\":\"Worker with heartbeats\",\"team\":\"edge\",\"heartbeat_timeout_seconds\":30}"

#!/usr/bin/env bash
# Runs every minute, takes five seconds, ends well.
. "$(dirname "$0")/common.sh"
while until_minute; do
    run="good-$(date +%s)"
    report good "{\"status\":\"running\",\"run_id\":\"$run\",\"metadata\":{\"host\":\"batch-1\"}}"
    sleep 5
    report good "{\"status\":\"success\",\"run_id\":\"$run\",\"duration_ms\":5000}"
done

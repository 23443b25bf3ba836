#!/usr/bin/env bash
# Starts on time, but in the sixth minute forty seconds late.
. "$(dirname "$0")/common.sh"
while until_minute; do
    if [ "$(minute)" = 6 ]; then sleep 40; fi
    report late '{"status":"running"}'
    sleep 2
    report late '{"status":"success"}'
done

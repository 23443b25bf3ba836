#!/usr/bin/env bash
# Fails in the third, fourth and ninth minute; otherwise ends well.
. "$(dirname "$0")/common.sh"
while until_minute; do
    report flaky '{"status":"running"}'
    sleep 3
    case "$(minute)" in
        3 | 4 | 9) report flaky '{"status":"failed","exit_code":2,"error":"psql: could not connect to server: Connection refused <db-1> & retried 3 times"}' ;;
        *) report flaky '{"status":"success","exit_code":0}' ;;
    esac
done

# Shared by the jobs of the night: how a shell script reports to Ronda. Needs RONDA_URL and RONDA_API_KEY.
set -u

report() { # report ID BODY: where the job is
    curl --silent --show-error --fail-with-body --retry 3 --retry-connrefused --max-time 10 \
        -X PUT "$RONDA_URL/api/v1/schedulers/$1/status" \
        -H "X-API-Key: $RONDA_API_KEY" -H 'Content-Type: application/json' -d "$2" >/dev/null
}

heartbeat() { # heartbeat ID BODY: a sign of life
    curl --silent --show-error --fail-with-body --retry 3 --retry-connrefused --max-time 10 \
        -X POST "$RONDA_URL/api/v1/schedulers/$1/heartbeat" \
        -H "X-API-Key: $RONDA_API_KEY" -H 'Content-Type: application/json' -d "$2" >/dev/null
}

until_minute() { # waits for the next full minute, as cron would
    sleep "$((60 - $(date +%-S)))"
}

minute() { # minutes since the night began
    echo "$((($(date +%s) - NIGHT_BEGAN) / 60))"
}

"""Values for schemathesis that JSON Schema can't describe.

    SCHEMATHESIS_HOOKS=docs/api/schemathesis_hooks.py \
        st --config-file docs/api/schemathesis.toml run "$RONDA_URL/api/openapi.json" -H "X-API-Key: $RONDA_API_KEY"

Use a key with a high rate limit: a run sends thousands of requests.
"""

import json

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("cron", st.sampled_from(["0 1 * * *", "*/5 * * * *", "30 2 29 2 *", "0 0 * * MON-FRI", "@daily"]))
schemathesis.openapi.format("iana-timezone", st.sampled_from(["UTC", "Asia/Jakarta", "America/New_York", "Australia/Lord_Howe"]))
schemathesis.openapi.format("uri", st.sampled_from(["https://example.com", "http://wiki.example.com/runbooks/a?b=c#d"]))
# Other cursors come from answers; a made-up one is refused, and rightly so.
schemathesis.openapi.format("cursor", st.just(""))


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", errors="surrogatepass") if isinstance(text, str) else text


@schemathesis.hook
def map_body(ctx, body):
    """An early window must be shorter than the schedule's period, which depends on another field."""
    if isinstance(body, dict):
        early = body.get("early_window_seconds")
        if isinstance(early, (int, float)) and not isinstance(early, bool) and 0 < early <= 31_622_400:
            body = {**body, "early_window_seconds": 0}
    return body

"""Values for schemathesis that JSON Schema can't describe.

    export RONDA_URL=http://127.0.0.1:3000 RONDA_API_KEY=…
    SCHEMATHESIS_HOOKS=docs/api/schemathesis_hooks.py \
        st --config-file docs/api/schemathesis.toml run "$RONDA_URL/api/openapi.json" -H "X-API-Key: $RONDA_API_KEY"

Use a key without a rate limit and with every scope: a run sends thousands of requests.
"""

import functools
import json
import os
import re
import urllib.request

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


def fitting(value):
    """Limits are in bytes of UTF-8, and JSON Schema counts characters: long texts keep their length in plain letters.

    The least limit is 64 bytes, which sixteen characters never pass. Control characters stay: they are mistakes.
    """
    if isinstance(value, dict):
        return {fitting(name): fitting(item) for name, item in value.items()}
    if isinstance(value, list):
        return [fitting(item) for item in value]
    if isinstance(value, str) and len(value) > 16:
        return "".join("x" if letter > "\u009f" else letter for letter in value)
    return value


@schemathesis.hook
def map_body(ctx, body):
    """An early window must be shorter than the schedule's period, which depends on another field; a key must not have expired yet."""
    if isinstance(body, dict):
        expires_at = body.get("expires_at")
        if isinstance(expires_at, str) and re.match(r"\d{4}-\d\d-\d\d[Tt]", expires_at):
            # A leap year, so that every day of the calendar stays one.
            body = {**body, "expires_at": "2996" + expires_at[4:]}
        early = body.get("early_window_seconds")
        if isinstance(early, (int, float)) and not isinstance(early, bool) and 0 < early <= 31_622_400:
            body = {**body, "early_window_seconds": 0}
    return fitting(body)


@schemathesis.hook
def filter_query(ctx, query):
    """A query knows only texts: one value where a list is wanted is a list of one, and no mistake."""
    return not query or "tag" not in query or isinstance(query["tag"], list)


@schemathesis.hook
def filter_headers(ctx, headers):
    """Space around a header's value is not part of it (RFC 9110, 5.5), and a tab inside is taken: no mistakes either."""
    key = (headers or {}).get("Idempotency-Key")
    if not isinstance(key, str) or (len(key) <= 255 and "\t" not in key):
        return True
    value = key.strip(" \t")
    return not (1 <= len(value) <= 255 and all(" " <= letter <= "~" or letter == "\t" for letter in value))


@schemathesis.hook
def filter_case(ctx, case):
    """An empty cursor is the first page, so it can't stand for a wrong one."""
    return not (case.meta and "cursor" in broken_parameters(case) and (case.query or {}).get("cursor") == "")


@schemathesis.hook
def map_case(ctx, case):
    """A run must not revoke the keys that it may be using.

    Ids are taken over from earlier answers, those of GET /api/v1/keys too: sooner or later a run would revoke its own key, and
    all that followed would be answered 401. Nobody's key has this id.
    """
    if case.operation.path == "/api/v1/keys/{id}" and case.path_parameters.get("id") in keys_at_the_start():
        case.path_parameters["id"] = "nobody"
    return case


@functools.cache
def keys_at_the_start():
    """The ids of the tenant's keys when the run began."""
    request = urllib.request.Request(
        os.environ["RONDA_URL"] + "/api/v1/keys", headers={"X-API-Key": os.environ["RONDA_API_KEY"]}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return frozenset(key["id"] for key in json.load(answer)["items"])


def broken_parameters(case):
    """The parameters that a case has wrong on purpose."""
    data = case.meta.phase.data
    return {getattr(data, "parameter", None)} | {mutation.parameter for mutation in getattr(data, "mutations", ())}


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Made-up ids belong to nobody, and all that could be seen were 404s: a valid request finds its scheduler registered.

    Not in sequences of requests, which are about what is there after which request.
    """
    meta = case.meta
    if meta is None or meta.phase.name.value == "stateful" or meta.generation.mode.value != "positive":
        return
    if case.operation.path.startswith("/api/v1/schedulers/{id}"):
        register(case.path_parameters["id"])


def register(scheduler):
    request = urllib.request.Request(
        os.environ["RONDA_URL"] + "/api/v1/schedulers/register",
        data=json.dumps({"id": scheduler}).encode(),
        headers={"X-API-Key": os.environ["RONDA_API_KEY"], "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).close()

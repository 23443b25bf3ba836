"""A job that reports straight onto NATS JetStream.

    pip install nats-py
    NATS_URL=nats://127.0.0.1:4222 python report_nats.py nightly-billing

Who may publish is up to the broker's permissions (NATS_USER, NATS_PASSWORD, and NATS_INBOX_PREFIX where the user may subscribe to
nothing else), or to an API key: set RONDA_API_KEY then.
"""

import asyncio
import json
import os
import sys
import uuid

import nats
from nats.errors import TimeoutError
from nats.js.errors import APIError, NoStreamResponseError

TENANT = os.environ.get("TENANT", "default")
SCHEDULER = sys.argv[1] if len(sys.argv) > 1 else "direct-nats-python"


async def send(jetstream, command):
    """Returns once the broker has stored the message. The id makes it count once, however often it is sent."""
    headers = {"Nats-Msg-Id": str(uuid.uuid4()), "Content-Type": "application/json"}
    if key := os.environ.get("RONDA_API_KEY"):
        headers["X-API-Key"] = key
    for attempt in range(1, 6):
        try:
            await jetstream.publish(f"ronda.in.{TENANT}.{SCHEDULER}", json.dumps(command).encode(), headers=headers)
            return
        except (TimeoutError, NoStreamResponseError, APIError):
            if attempt == 5:
                raise
            await asyncio.sleep(attempt)


async def main():
    connection = await nats.connect(
        os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
        user=os.environ.get("NATS_USER"),
        password=os.environ.get("NATS_PASSWORD"),
        # Where confirmations come to: what this user may subscribe to.
        inbox_prefix=os.environ.get("NATS_INBOX_PREFIX", "_INBOX").encode(),
    )
    jetstream = connection.jetstream()
    run = {"scheduler_id": SCHEDULER, "run_id": str(uuid.uuid4())}
    await send(jetstream, {"type": "register", "id": SCHEDULER, "heartbeat_timeout_seconds": 60})
    await send(jetstream, {"type": "status", **run, "status": "running"})
    for done in (1, 2, 3):
        # … the job's work …
        await send(jetstream, {"type": "heartbeat", **run, "progress": {"done": done, "total": 3}})
    await send(jetstream, {"type": "status", **run, "status": "success", "exit_code": 0})
    await connection.close()


asyncio.run(main())

"""A job that reports straight onto RabbitMQ.

    pip install pika
    AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2F PARTITIONS=4 python report_rabbitmq.py nightly-billing

Who may publish is up to the broker's permissions, or to an API key: set RONDA_API_KEY then.
"""

import json
import os
import sys
import time
import uuid

import pika
from pika.exceptions import AMQPError

from partition import partition

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
TENANT = os.environ.get("TENANT", "default")
PARTITIONS = int(os.environ.get("PARTITIONS", "4"))
SCHEDULER = sys.argv[1] if len(sys.argv) > 1 else "direct-rabbitmq-python"


class Reporter:
    """Publishes with confirmations; after a lost connection it connects anew and sends the same message again."""

    def __init__(self):
        self.channel = None

    def connect(self):
        self.channel = pika.BlockingConnection(pika.URLParameters(AMQP_URL)).channel()
        self.channel.confirm_delivery()

    def send(self, command):
        """Returns once the broker has stored the message. The id makes it count once, however often it is sent."""
        headers = {}
        if key := os.environ.get("RONDA_API_KEY"):
            headers["x-api-key"] = key
        properties = pika.BasicProperties(
            content_type="application/json",
            delivery_mode=pika.DeliveryMode.Persistent,
            message_id=str(uuid.uuid4()),
            headers=headers,
        )
        routing_key = f"{partition(TENANT, SCHEDULER, PARTITIONS)}.{TENANT}"
        for attempt in range(1, 6):
            try:
                if self.channel is None or self.channel.is_closed:
                    self.connect()
                # mandatory: an error when no queue takes it, such as with a wrong number of partitions.
                self.channel.basic_publish("ronda.in", routing_key, json.dumps(command).encode(), properties, mandatory=True)
                return
            except AMQPError:
                if attempt == 5:
                    raise
                time.sleep(attempt)


def main():
    reporter = Reporter()
    run = {"scheduler_id": SCHEDULER, "run_id": str(uuid.uuid4())}
    reporter.send({"type": "register", "id": SCHEDULER, "heartbeat_timeout_seconds": 60})
    reporter.send({"type": "status", **run, "status": "running"})
    for done in (1, 2, 3):
        # … the job's work …
        reporter.send({"type": "heartbeat", **run, "progress": {"done": done, "total": 3}})
    reporter.send({"type": "status", **run, "status": "success", "exit_code": 0})
    reporter.channel.connection.close()


main()

"""A job that reports straight onto Amazon SQS.

    pip install boto3
    PARTITIONS=4 python report_sqs.py nightly-billing

Region and credentials come from where boto3 looks for them. Set RONDA_API_KEY where Ronda asks for a key.
"""

import json
import os
import sys
import uuid

import boto3

from partition import partition

TENANT = os.environ.get("TENANT", "default")
PARTITIONS = int(os.environ.get("PARTITIONS", "4"))
SCHEDULER = sys.argv[1] if len(sys.argv) > 1 else "direct-sqs-python"


def send(sqs, queue_url, command):
    """Returns once SQS has stored the message. boto3 tries again by itself; the id makes it count once."""
    attributes = {"content-type": {"DataType": "String", "StringValue": "application/json"}}
    if key := os.environ.get("RONDA_API_KEY"):
        attributes["x-api-key"] = {"DataType": "String", "StringValue": key}
    sqs.send_message(
        QueueUrl=queue_url,
        MessageBody=json.dumps(command),
        MessageGroupId="ronda",
        MessageDeduplicationId=str(uuid.uuid4()),
        MessageAttributes=attributes,
    )


def main():
    sqs = boto3.client("sqs")
    name = f"ronda-commands-{partition(TENANT, SCHEDULER, PARTITIONS)}.fifo"
    queue_url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    run = {"scheduler_id": SCHEDULER, "run_id": str(uuid.uuid4())}
    send(sqs, queue_url, {"type": "register", "id": SCHEDULER, "heartbeat_timeout_seconds": 60})
    send(sqs, queue_url, {"type": "status", **run, "status": "running"})
    for done in (1, 2, 3):
        # … the job's work …
        send(sqs, queue_url, {"type": "heartbeat", **run, "progress": {"done": done, "total": 3}})
    send(sqs, queue_url, {"type": "status", **run, "status": "success", "exit_code": 0})


main()

/** A job that reports straight onto Amazon SQS.
 *
 *      npm install @aws-sdk/client-sqs
 *      PARTITIONS=4 node report_sqs.mts nightly-billing
 *
 *  Region and credentials come from where the AWS SDK looks for them. Set RONDA_API_KEY where Ronda asks for a key. */
import { randomUUID } from "node:crypto";
import { GetQueueUrlCommand, SendMessageCommand, SQSClient, type MessageAttributeValue } from "@aws-sdk/client-sqs";
import { partition } from "./partition.mts";

const tenant = process.env.TENANT ?? "default";
const partitions = Number(process.env.PARTITIONS ?? 4);
const scheduler = process.argv[2] ?? "direct-sqs-typescript";

const sqs = new SQSClient();
const QueueName = `ronda-commands-${partition(tenant, scheduler, partitions)}.fifo`;
const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName }));

/** Resolves once SQS has stored the message. The SDK tries again by itself; the id makes it count once. */
async function send(command: object): Promise<void> {
  const text = (value: string): MessageAttributeValue => ({ DataType: "String", StringValue: value });
  const key = process.env.RONDA_API_KEY;
  await sqs.send(
    new SendMessageCommand({
      QueueUrl,
      MessageBody: JSON.stringify(command),
      MessageGroupId: "ronda",
      MessageDeduplicationId: randomUUID(),
      MessageAttributes: { "content-type": text("application/json"), ...(key && { "x-api-key": text(key) }) },
    }),
  );
}

const run = { scheduler_id: scheduler, run_id: randomUUID() };
await send({ type: "register", id: scheduler, heartbeat_timeout_seconds: 60 });
await send({ type: "status", ...run, status: "running" });
for (const done of [1, 2, 3]) {
  // … the job's work …
  await send({ type: "heartbeat", ...run, progress: { done, total: 3 } });
}
await send({ type: "status", ...run, status: "success", exit_code: 0 });

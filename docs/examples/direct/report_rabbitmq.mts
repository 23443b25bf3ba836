/** A job that reports straight onto RabbitMQ.
 *
 *      npm install amqplib
 *      AMQP_URL=amqp://guest:guest@127.0.0.1:5672/%2F PARTITIONS=4 node report_rabbitmq.mts nightly-billing
 *
 *  Who may publish is up to the broker's permissions, or to an API key: set RONDA_API_KEY then. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type ChannelModel, type ConfirmChannel, type Options } from "amqplib";
import { partition } from "./partition.mts";

const url = process.env.AMQP_URL ?? "amqp://guest:guest@127.0.0.1:5672/%2F";
const tenant = process.env.TENANT ?? "default";
const partitions = Number(process.env.PARTITIONS ?? 4);
const scheduler = process.argv[2] ?? "direct-rabbitmq-typescript";
const routingKey = `${partition(tenant, scheduler, partitions)}.${tenant}`;

let connection: ChannelModel | undefined;
let channel: ConfirmChannel | undefined;

async function open(): Promise<ConfirmChannel> {
  connection = await connect(url);
  // After a lost connection the next try makes a new one.
  connection.on("error", () => {}).on("close", () => (channel = undefined));
  return connection.createConfirmChannel();
}

/** Publishes once; rejects unless the broker has stored the message in a queue. */
async function publish(body: Buffer, options: Options.Publish): Promise<void> {
  channel ??= await open();
  const here = channel;
  await new Promise<void>((resolve, reject) => {
    // A message that no queue takes comes back before its confirmation, such as with a wrong number of partitions.
    const returned = () => reject(new Error(`no queue takes ${routingKey}`));
    here.once("return", returned);
    here.publish("ronda.in", routingKey, body, { ...options, mandatory: true, persistent: true }, (error) => {
      here.off("return", returned);
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Resolves once the broker has stored the message. The id makes it count once, however often it is sent. */
async function send(command: object, tries = 5): Promise<void> {
  const key = process.env.RONDA_API_KEY;
  const options = { messageId: randomUUID(), contentType: "application/json", headers: key ? { "x-api-key": key } : {} };
  for (let attempt = 1; ; attempt++) {
    try {
      return await publish(Buffer.from(JSON.stringify(command)), options);
    } catch (error) {
      if (attempt === tries) throw error;
      await sleep(1000 * attempt);
    }
  }
}

const run = { scheduler_id: scheduler, run_id: randomUUID() };
await send({ type: "register", id: scheduler, heartbeat_timeout_seconds: 60 });
await send({ type: "status", ...run, status: "running" });
for (const done of [1, 2, 3]) {
  // … the job's work …
  await send({ type: "heartbeat", ...run, progress: { done, total: 3 } });
}
await send({ type: "status", ...run, status: "success", exit_code: 0 });
await connection?.close();

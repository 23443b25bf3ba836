/** A job that reports straight onto NATS JetStream.
 *
 *      npm install nats
 *      NATS_URL=nats://127.0.0.1:4222 node report_nats.mts nightly-billing
 *
 *  Who may publish is up to the broker's permissions (NATS_USER, NATS_PASSWORD, and NATS_INBOX_PREFIX where the user may subscribe to
 *  nothing else), or to an API key: set RONDA_API_KEY then. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, headers } from "nats";

const tenant = process.env.TENANT ?? "default";
const scheduler = process.argv[2] ?? "direct-nats-typescript";

const connection = await connect({
  servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222",
  user: process.env.NATS_USER,
  pass: process.env.NATS_PASSWORD,
  // Where confirmations come to: what this user may subscribe to.
  inboxPrefix: process.env.NATS_INBOX_PREFIX ?? "_INBOX",
});
const jetstream = connection.jetstream();

/** Resolves once the broker has stored the message. The id makes it count once, however often it is sent. */
async function send(command: object, tries = 5): Promise<void> {
  const about = headers();
  about.set("Nats-Msg-Id", randomUUID());
  about.set("Content-Type", "application/json");
  if (process.env.RONDA_API_KEY) about.set("X-API-Key", process.env.RONDA_API_KEY);
  for (let attempt = 1; ; attempt++) {
    try {
      await jetstream.publish(`ronda.in.${tenant}.${scheduler}`, JSON.stringify(command), { headers: about });
      return;
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
await connection.drain();

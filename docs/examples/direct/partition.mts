/** Which partition a scheduler's messages go to, on SQS and RabbitMQ. (NATS works it out by itself.)
 *  FNV-1a, 32 bits, of the tenant and then the scheduler's id, modulo the number of partitions. */
export function partition(tenant: string, scheduler: string, partitions: number): number {
  let hash = 2166136261;
  for (const byte of Buffer.from(tenant + scheduler)) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
  return hash % partitions;
}

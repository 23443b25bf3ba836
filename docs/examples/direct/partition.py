"""Which partition a scheduler's messages go to, on SQS and RabbitMQ. (NATS works it out by itself.)"""


def partition(tenant: str, scheduler: str, partitions: int) -> int:
    """FNV-1a, 32 bits, of the tenant and then the scheduler's id, modulo the number of partitions."""
    hash = 2166136261
    for byte in (tenant + scheduler).encode():
        hash = ((hash ^ byte) * 16777619) & 0xFFFFFFFF
    return hash % partitions

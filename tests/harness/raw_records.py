"""Records as some other client library writes them, and no library of ours would."""

import struct

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from harness.topics import Message, Topics

# In a record batch the checksum covers all that follows it (Kafka protocol, RecordBatch).
_CHECKSUM_AT = 17
_CHECKED_FROM = 21


async def publish_with_header_name(topics: Topics, message: Message, name: bytes) -> str:
    """Publishes *message* with one more header, of an empty value and this *name*; its coordinates."""
    placeholder = "x" * len(name)
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers) as producer:
        builder = producer.create_batch()
        headers = [*message.headers, (placeholder, b"")]
        builder.append(timestamp=None, key=message.key_bytes(), value=message.value_bytes(), headers=headers)
        builder.close()
        batch = bytearray(bytes(builder._build()))
        place = batch.index(placeholder.encode())
        batch[place : place + len(name)] = name
        struct.pack_into(">I", batch, _CHECKSUM_AT, calc_crc32c(bytes(batch[_CHECKED_FROM:])))
        builder._buffer = bytes(batch)
        partition = message.partition if message.partition is not None else 0
        done = await (await producer.send_batch(builder, topics.commands, partition=partition))
    return f"{done.topic}:{done.partition}:{done.offset}"

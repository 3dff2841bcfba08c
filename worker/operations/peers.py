"""Asks the other replicas how they are."""

import asyncio
from collections.abc import Collection, Mapping

from worker.operations.replica import Replica, ReplicaUnreadable, from_json
from worker.upstream.connection import BodyTooLarge, Connection, ConnectionLost, NoHTTP

DEADLINE_SECONDS = 1.0
LARGEST_ANSWER_BYTES = 1024 * 1024

Answer = Replica | str
"""What a replica says of itself, or why it is not known."""


async def ask_peers(addresses: Collection[str]) -> Mapping[str, Answer]:
    """What each of them, an "ip:port", says; after a second at most. They are told nothing but that somebody asks."""
    async with asyncio.TaskGroup() as asking:
        asked = {address: asking.create_task(_ask(address)) for address in addresses}
    return {address: task.result() for address, task in asked.items()}


async def _ask(address: str) -> Answer:
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    request = f"GET /api/replica HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode("ascii")
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            _, connection = await loop.create_connection(
                lambda: Connection(lambda _status: LARGEST_ANSWER_BYTES), host.strip("[]"), int(port)
            )
            try:
                received = await connection.ask(request, loop.time() + DEADLINE_SECONDS)
            finally:
                connection.abort()
    except TimeoutError:
        return f"no answer within {DEADLINE_SECONDS:g} s"
    except OSError:
        return "cannot be reached"
    except (ConnectionLost, NoHTTP, BodyTooLarge):
        return "answers in no way that can be read"
    if received.status != 200:
        return f"answers {received.status}"
    try:
        return from_json(received.body)
    except ReplicaUnreadable as error:
        return str(error)

"""Records that are written only if nothing unforeseen stands before them, on a real broker."""

from collections.abc import Iterable, Iterator, Sequence

import pytest

from handlers.record import CommandRecord
from handlers.replay import Outgoing, Place
from harness.topics import Message, Topics
from worker.kafka.errors import KafkaRefused, KafkaUnreachable, WriterFenced
from worker.kafka.guarded_log import GuardedLog

pytestmark = [pytest.mark.real_kafka, pytest.mark.partitions(1)]

OURS = Outgoing(b"key", b"ours", (("a", b"1"), ("b", None)))


def log_of(topics: Topics, **others: object) -> GuardedLog:
    """A guarded log over the test's command topic."""
    options = {"bootstrap.servers": topics.bootstrap_servers}
    arguments = {
        "transactional_id": topics.group_id,
        "topic": topics.commands,
        "partitions": 1,
        "notes_topic": topics.desk,
        "within_seconds": 10.0,
    }
    return GuardedLog(options, **(arguments | others))  # type: ignore[arg-type]  # the arguments of a test


@pytest.fixture
def log(topics: Topics) -> Iterator[GuardedLog]:
    """The only guarded writer."""
    with log_of(topics) as log:
        yield log


class Witness:
    """Looks at what stands before, and answers as it was told."""

    def __init__(self, *, is_overtaken: bool = False) -> None:
        self.seen: list[bytes | None] = []
        self.places: Sequence[Place] = ()
        self._is_overtaken = is_overtaken

    def looks(self, records: Iterable[CommandRecord]) -> bool:
        """Remembers the values."""
        self.seen += [record.value for record in records]
        return self._is_overtaken

    def notes(self, places: Sequence[Place]) -> Sequence[tuple[bytes, bytes]]:
        """One note about each record."""
        self.places = places
        return [(b"place", place.coordinates.encode()) for place in places]


async def read(topics: Topics, topic: str, partitions: int = 1) -> list[bytes | None]:
    """The values of a topic's committed records."""
    assert partitions == 1
    async with topics.reader("read_committed", topic) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        found: list[bytes | None] = []
        while any([await consumer.position(one) < end for one, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [record.value for record in records]
    return found


async def test_records_and_notes_are_committed_together(topics: Topics, log: GuardedLog) -> None:
    """The notes know where the records are."""
    witness = Witness()

    assert log.append([OURS, OURS], witness.looks, witness.notes)

    assert await read(topics, topics.commands) == [b"ours", b"ours"]
    assert await read(topics, topics.desk) == [f"{topics.commands}:0:{offset}".encode() for offset in (0, 1)]
    assert all(place.timestamp_ms > 0 for place in witness.places)


async def test_everything_of_others_that_stands_before_is_looked_at_once(topics: Topics, log: GuardedLog) -> None:
    """Own records are not: neither these nor earlier ones."""
    await topics.publish([Message("key", b"known")])
    log.watch({0: 1})
    await topics.publish([Message("key", b"new")])
    witness = Witness()

    log.append([OURS], witness.looks, witness.notes)
    await topics.publish([Message("key", b"newer")])
    log.append([OURS], witness.looks, witness.notes)

    assert witness.seen == [b"new", b"newer"]


async def test_what_is_overtaken_is_not_written(topics: Topics, log: GuardedLog) -> None:
    """Neither records nor notes, and the next attempt sees none of it."""
    overtaken, witness = Witness(is_overtaken=True), Witness()

    assert not log.append([OURS], overtaken.looks, overtaken.notes)
    assert log.append([OURS._replace(value=b"again")], witness.looks, witness.notes)

    assert witness.seen == []
    assert await read(topics, topics.commands) == [b"again"]
    assert len(await read(topics, topics.desk)) == 1


async def test_notes_without_records_need_no_look(topics: Topics, log: GuardedLog) -> None:
    """A decision that writes no command."""
    witness = Witness()

    assert log.append([], witness.looks, lambda _: [(b"key", b"discarded")])

    assert await read(topics, topics.desk) == [b"discarded"]


async def test_second_writer_fences_the_first(topics: Topics, log: GuardedLog) -> None:
    """Two operators at once: the later one goes on alone."""
    witness = Witness()
    with log_of(topics) as second:
        assert second.append([OURS], witness.looks, witness.notes)

        with pytest.raises(WriterFenced):
            log.append([OURS], witness.looks, witness.notes)

    assert await read(topics, topics.commands) == [b"ours"]


async def test_topic_that_does_not_exist_is_said(topics: Topics) -> None:
    """And how to create it."""
    witness = Witness()
    with log_of(topics, notes_topic=f"{topics.desk}.none") as log, pytest.raises((KafkaRefused, KafkaUnreachable)):
        log.append([OURS], witness.looks, witness.notes)

    assert await read(topics, topics.commands) == []

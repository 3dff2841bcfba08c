"""What the judge goes by: the records of three topics and what the upstream says of itself. Standard library only.

Nothing of the engine, of the meaning of commands or of the tests' harness is imported here or by the judge: a mistake
that they share would hide itself.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """One record as a reader of committed records saw it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def place(self) -> tuple[int, int]:
        """Its partition and offset."""
        return self.partition, self.offset

    def header(self, name: str) -> str:
        """The last header of this name as text, "" where there is none."""
        return next((value.decode(errors="replace") for key, value in reversed(self.headers) if key == name), "")


@dataclass(frozen=True, slots=True)
class Evidence:
    """*commands*, *events* and *dead_letters* in the order of each partition.

    *initial*: the customers that the upstream was given, in the form of its answers. *upstream*: its GET /control at
    the end, with the whole journal. *published* is how many commands there must be. *commands_topic* is the topic's
    name, which is part of the ids of commands that name none.
    """

    commands_topic: str
    published: int
    commands: Sequence[Record]
    events: Sequence[Record]
    dead_letters: Sequence[Record]
    initial: Sequence[Mapping[str, Any]]
    upstream: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """As JSON, to be judged again without Kafka and upstream."""
        path.write_text(json.dumps(asdict(self), default=_encoded), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Evidence":
        """What `save` wrote."""
        document = json.loads(path.read_text(encoding="utf-8"))
        for name in ("commands", "events", "dead_letters"):
            document[name] = [_record(one) for one in document[name]]
        return cls(**document)


def records_by_partition(records: Iterable[Record]) -> list[Record]:
    """*records* in the order of offsets, one partition after the other."""
    return sorted(records, key=lambda record: record.place)


def _encoded(value: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(value).decode()}


def _decoded(value: Mapping[str, str] | None) -> bytes | None:
    return None if value is None else base64.b64decode(value["base64"])


def _record(document: Mapping[str, Any]) -> Record:
    return Record(
        document["partition"],
        document["offset"],
        _decoded(document["key"]),
        _decoded(document["value"]),
        tuple((name, _decoded(value) or b"") for name, value in document["headers"]),
    )

"""The commands of a round, drawn from its seed: good, bad, refused, poisonous, bulk, repeated.

Every value of a field is written by one command only, so that the judge can tell from a value whose it is.
"""

import json
import random
from dataclasses import dataclass
from typing import Any, Final

NUMBER_OF_TAGS: Final = 10
TAGS: Final = [
    {"id": f"7a900000-0000-4000-8000-{number:012d}", "name": f"Tag {number}"} for number in range(NUMBER_OF_TAGS)
]
_FIELDS: Final = ("phone", "note", "city", "contact", "zip", "website", "address_line1", "name", "email", "tags")
# Sets of tags that customers have from the start: none, and the first ones.
_INITIAL_TAGS: Final = 4
_FIRST_TAG_SET: Final = 8
_SOURCE: Final = b"/chaos"
CALM: Final = 24
"""Customers that get commands for as long as others wait: enough for some on every partition."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A record to publish, this many seconds after the round has begun."""

    at_seconds: float
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def customer_id(number: int) -> str:
    """The customer with this number."""
    return f"c4a05000-0000-4000-8000-{number:012d}"


def customers(count: int) -> list[dict[str, Any]]:
    """As many, in the form of the upstream's answers."""
    return [
        {
            "id": customer_id(number),
            "name": f"Customer {number}",
            "email": f"customer{number}@chaos.test",
            "phone": f"+46 {number}",
            "note": "from the start",
            "token": f"token-{number}",
            "createdAt": "2026-01-01 00:00:00+00",
            "tags": TAGS[: number % _INITIAL_TAGS],
        }
        for number in range(count)
    ]


def calm_command(number: int, known: int) -> Planned:
    """One more good command, for one of the CALM customers behind the *known* ones.

    Whether a 500 is a command's own fault shows only where others succeed meanwhile.
    """
    customer = customer_id(known + number % CALM)
    value = json.dumps({"customer_id": customer, "changes": {"phone": f"calm {number}"}}).encode()
    return Planned(0, customer.encode(), value, (("chaos-kind", b"event"),))


class Publisher:
    """Draws one command after the other; *refused* customers are those that the upstream refuses every PATCH of."""

    def __init__(self, chance: random.Random, *, name: str, known: int, refused: frozenset[int]) -> None:
        self._chance = chance
        self._name = name
        self._known = known
        self._refused = refused
        self._tag_sets = dict.fromkeys(range(known), _FIRST_TAG_SET)
        self._originals: list[Planned] = []
        self._drawn = 0

    def draw(self, at_seconds: float, *, bulk: bool = False) -> Planned:
        """The next record."""
        luck = self._chance.random()
        if self._originals and luck < 0.04:
            earlier = self._chance.choice(self._originals[-200:])
            return Planned(at_seconds, earlier.key, earlier.value, earlier.headers)
        drawn = self._new(at_seconds, bulk=bulk)
        if any(name == "ce_id" for name, _ in drawn.headers):
            if self._originals and luck < 0.045:
                # Another command under an id that is taken.
                earlier = self._chance.choice(self._originals[-200:])
                return Planned(at_seconds, earlier.key, earlier.value + b" ", earlier.headers)
            if ("chaos-kind", b"undecodable") not in drawn.headers:
                self._originals.append(drawn)
        return drawn

    def _new(self, at_seconds: float, *, bulk: bool) -> Planned:
        self._drawn += 1
        chance = self._chance
        # Few customers get most of the commands, so that some wait together and others come alone.
        number = int(self._known * chance.random() ** 2)
        luck = chance.random()
        kind = "rejected" if number in self._refused else "event"
        if luck < 0.03:
            kind, number = "unknown_customer", self._known + CALM + chance.randrange(50)
        elif luck < 0.055:
            kind = "undecodable"
        elif luck < 0.08:
            kind = "invalid"
        elif luck < 0.09:
            kind = "expired"
        elif luck < 0.095 and kind == "event":
            kind = "poison"
        changes = self._changes(number, kind)
        name = "customer_id" if chance.random() < 0.8 else "customerId"
        value = json.dumps({name: customer_id(number), "changes": changes}).encode()
        if kind == "undecodable":
            value = value[:-1]
        headers = [("chaos-kind", kind.encode())]
        if bulk or kind == "expired" or chance.random() < 0.6:
            headers += self._attributes(kind, bulk=bulk)
        return Planned(at_seconds, customer_id(number).encode(), value, tuple(headers))

    def _attributes(self, kind: str, *, bulk: bool) -> list[tuple[str, bytes]]:
        attributes = [
            ("ce_specversion", b"1.0"),
            ("ce_type", b"customer.update"),
            ("ce_source", _SOURCE),
            ("ce_id", f"{self._name}-{self._drawn}".encode()),
        ]
        if bulk:
            attributes.append(("ce_priority", b"bulk"))
        if kind == "expired":
            attributes.append(("ce_expirytime", b"2020-01-01T00:00:00Z"))
        return attributes

    def _changes(self, number: int, kind: str) -> dict[str, Any]:
        if kind == "invalid":
            return self._chance.choice([{}, {"shoe_size": "46"}, {"name": None}, {"email": "nobody"}, {"phone": 5}])
        fields = self._chance.sample(_FIELDS, self._chance.choice([1, 1, 1, 2, 3]))
        changes = {name: self._value(number, name) for name in fields}
        if kind == "poison":
            changes["tags"] = [{"id": f"dead0000-0000-4000-8000-{self._drawn:012d}", "name": "Nobody's"}]
        return changes

    def _value(self, number: int, name: str) -> Any:  # noqa: ANN401 -- a text, or a list of tags
        match name:
            case "tags":
                bits = self._tag_sets.get(number, _FIRST_TAG_SET)
                self._tag_sets[number] = bits + 1
                return [tag for position, tag in enumerate(TAGS) if bits >> position & 1]
            case "email":
                return f"c{number}.{self._drawn}@chaos.test"
            case _:
                return f"{name} {self._drawn}"

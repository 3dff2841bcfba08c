"""The commands of one life: what is published, when, and what a reader may expect of each."""

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue

from simulation.upstream import Row
from worker.kafka.partitioner import partition_of

FIELDS = ("note", "phone", "city", "name", "email", "tags")
Headers = list[tuple[str, bytes]]


@dataclass(eq=False, slots=True)
class Sent:
    """One record of the command topic; *offset* is set when it is published."""

    number: int
    kind: str
    customer_id: str
    changes: dict[str, JsonValue]
    identity: str | None
    value: bytes
    headers: Headers
    due: float
    expires_at: float | None = None
    partition: int = 0
    offset: int = -1

    @property
    def key(self) -> bytes:
        """The record's key."""
        return self.customer_id.encode()

    @property
    def command_id(self) -> str:
        """By which its outcome names it."""
        return self.identity or f"customer.update:{self.partition}:{self.offset}"

    def __str__(self) -> str:
        return f"{self.kind} {self.number} ({self.partition}:{self.offset}, customer {self.customer_id[-3:]})"


def customer_id(number: int) -> str:
    """The id of a customer."""
    return f"00000000-0000-4000-8000-{number:012d}"


def first_row(customer: str) -> Row:
    """The customer before any command."""
    nothing = ("phone", "website", "country", "addressLine1", "addressLine2", "city", "state", "zip", "note")
    row: Row = dict.fromkeys((*nothing, "vatNumber", "countryCode", "contact"))
    return row | {
        "id": customer,
        "name": "name 0",
        "email": "mail0@acme.example",
        "createdAt": "2026-11-23 11:35:36.39042+00",
        "token": "",
        "invoiceCount": 0,
        "projectCount": 0,
        "tags": [{"id": "00000000-0000-4000-8000-000000000000", "name": "0"}],
    }


def a_value(field: str, number: int) -> JsonValue:
    """A value of this field that names the command which writes it."""
    match field:
        case "email":
            return f"mail{number}@acme.example"
        case "tags":
            return [{"id": f"00000000-0000-4000-8000-{number:012d}", "name": str(number)}]
        case _:
            return f"{field} {number}"


_KINDS = {
    "plain": 100,
    "copy": 9,
    "reused": 2,
    "undecodable": 3,
    "invalid": 3,
    "unknown": 4,
    "refused": 4,
    "refused unnamed": 3,
    "poison-none": 2,
    "poison-part": 2,
    "large": 1,
    "same": 4,
}
_UNKNOWN_CUSTOMER = 900
_CANARIES = 1000


class Publisher:
    """Draws commands; *partitions* is how many the topic has."""

    def __init__(self, chance: random.Random, partitions: int, *, begins_at: float) -> None:
        self._chance = chance
        self._partitions = partitions
        self._begins_at = begins_at
        self._customers = chance.randint(2, 12)
        self._with_identity = chance.choice((0.2, 0.6, 1.0))
        self._bulk = chance.choice((0.0, 0.3, 0.8))
        self._expiring = chance.choice((0.0, 0.1))
        self._sent: list[Sent] = []

    @property
    def customers(self) -> list[str]:
        """Those that exist upstream."""
        return [customer_id(number) for number in range(1, self._customers + 1)]

    def draw(self, number_of_commands: int) -> list[Sent]:
        """The commands in the order in which they are published."""
        chance = self._chance
        backlog = chance.choice((0.1, 0.5, 0.9))
        span = chance.choice((2.0, 15.0, 40.0))
        dues = sorted(
            self._begins_at + (0 if chance.random() < backlog else chance.uniform(0, span))
            for _ in range(number_of_commands)
        )
        kinds, weights = list(_KINDS), list(_KINDS.values())
        for number, due in enumerate(dues, start=1):
            kind = chance.choices(kinds, weights)[0]
            self._sent.append(self._one(number, kind, due))
        return self._sent

    def canary(self, partition: int, due: float) -> Sent:
        """A plain command of a customer with no other: traffic that goes on, so that a probe finds a good command."""
        number = len(self._sent) + 1
        customer = next(
            customer
            for customer in map(customer_id, range(_CANARIES, _CANARIES + 1000))
            if self._place(customer) == partition
        )
        changes = {"note": a_value("note", number)}
        value = json.dumps({"customer_id": customer, "changes": changes}).encode()
        self._sent.append(Sent(number, "plain", customer, changes, None, value, [], due, None, partition))
        return self._sent[-1]

    def _one(self, number: int, kind: str, due: float) -> Sent:
        chance = self._chance
        if kind in {"copy", "reused"}:
            originals = [sent for sent in self._sent if sent.identity is not None]
            if originals:
                return self._again(chance.choice(originals), number, kind, due)
            kind = "plain"
        # Some customers are asked for more than others.
        customer = customer_id(min(chance.randint(1, self._customers), chance.randint(1, self._customers)))
        if kind == "unknown":
            customer = customer_id(_UNKNOWN_CUSTOMER + chance.randint(0, 2))
        changes = self._changes(number, kind, customer)
        return self._with_attributes(number, kind, customer, changes, due)

    def _changes(self, number: int, kind: str, customer: str) -> dict[str, JsonValue]:
        chance = self._chance
        if kind == "same":
            # Writes once more what an earlier command of the customer writes: nothing differs, perhaps.
            earlier = [sent for sent in self._sent if sent.customer_id == customer and sent.kind == "plain"]
            if earlier:
                return dict(chance.choice(earlier).changes)
        fields = chance.sample(FIELDS, chance.choice((1, 1, 2, 3)))
        changes = {field: a_value(field, number) for field in fields}
        match kind:
            case "refused":
                changes["email"] = f"mail{number}@refused.example"
            case "refused unnamed":
                changes["note"] = f"refused {number}"
            case "poison-none" | "poison-part":
                changes["note"] = f"{kind} {number}"
            case "large":
                changes["note"] = f"note {number} " + "x" * 3500
            case "invalid":
                changes["name"] = None
            case _:
                pass
        return changes

    def _with_attributes(
        self, number: int, kind: str, customer: str, changes: dict[str, JsonValue], due: float
    ) -> Sent:
        chance = self._chance
        value = json.dumps({"customer_id": customer, "changes": changes}).encode()
        if kind == "undecodable":
            value = b"{" + value
        identity, headers, expires_at = None, [], None
        if chance.random() < self._with_identity:
            identity = f"command-{number}"
            headers = [
                ("ce_specversion", b"1.0"),
                ("ce_type", b"customer.update"),
                ("ce_source", b"simulation"),
                ("ce_id", identity.encode()),
            ]
            if chance.random() < self._bulk:
                headers.append(("ce_priority", b"bulk"))
            if chance.random() < self._expiring:
                expires_at = due + chance.choice((-1.0, 1.0, 5.0, 600.0))
                text = datetime.fromtimestamp(expires_at, UTC).isoformat().replace("+00:00", "Z")
                headers.append(("ce_expirytime", text.encode()))
        return Sent(number, kind, customer, changes, identity, value, headers, due, expires_at, self._place(customer))

    def _again(self, original: Sent, number: int, kind: str, due: float) -> Sent:
        value = original.value if kind == "copy" else original.value + b" "
        return Sent(
            number,
            kind,
            original.customer_id,
            dict(original.changes),
            original.identity,
            value,
            original.headers,
            due,
            original.expires_at,
            original.partition,
        )

    def _place(self, customer: str) -> int:
        return partition_of(customer.encode(), self._partitions)

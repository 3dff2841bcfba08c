"""A small firm's day: what is published, what goes wrong upstream meanwhile, and what must become of each command."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

from pydantic import JsonValue

from handlers.errors import Reason
from handlers.fields import CAMEL
from handlers.record import Headers

Changes = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Firm:
    """A customer as the upstream has it in the morning; *fields* by the API's names."""

    id: str
    name: str
    fields: Changes

    def as_json(self) -> dict[str, JsonValue]:
        """In the form of the upstream's control endpoint."""
        return {"id": self.id, "name": self.name, **self.fields}


@dataclass(frozen=True, slots=True)
class Planned:
    """A record to publish. *becomes* is None for an event; *changes* (snake_case) is what an event stands for.

    *id* is the command's id where it is a CloudEvent.
    """

    key: bytes
    value: bytes | None
    headers: Headers = ()
    id: str | None = None
    becomes: Reason | None = None
    changes: Changes | None = None

    @property
    def customer_id(self) -> str:
        """Whose command it is."""
        return self.key.decode()


@dataclass(frozen=True, slots=True)
class Line:
    """Commands that are shown as one: *who* they are about, and *what* is said in them."""

    who: str
    what: str
    commands: tuple[Planned, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """A part of the day. *faults* (rules of the simulated upstream) are in force from its start.

    Where *outage_seconds* is given they end after that time, and *afterwards* is told; otherwise with the scene. Of
    *meanwhile* one line after the other is sent for as long as *lines* are not all done.
    """

    clock: str
    title: str
    narration: str
    lines: tuple[Line, ...]
    meanwhile: tuple[Line, ...] = ()
    faults: tuple[Mapping[str, JsonValue], ...] = ()
    outage_seconds: float | None = None
    afterwards: str = ""
    pause_seconds: float = 0.2
    reading_seconds: float = 1.0


def _firm(number: int, name: str, tags: Sequence[str] = (), **fields: str) -> Firm:
    domain = name.lower().replace(" ", "-")
    return Firm(
        f"ca5e0000-0000-4000-8000-{number:012d}",
        name,
        {"email": f"hello@{domain}.example", "tags": [TAGS[tag] for tag in tags], "country": "Ireland", **fields},
    )


def _tag(number: int, name: str) -> dict[str, JsonValue]:
    return {"id": f"7a900000-0000-4000-8000-{number:012d}", "name": name}


TAGS: Final = {"VIP": _tag(1, "VIP"), "Late": _tag(2, "Late")}
_DELETED_TAG: Final = _tag(9, "Christmas 2024")

AURORA: Final = _firm(1, "Aurora Bakery", ["Late"], phone="+353 1 555 0101")
BIRCH: Final = _firm(2, "Birch Cycles", city="Cork")
COBALT: Final = _firm(3, "Cobalt Dental", ["VIP"], zip="D02 X285")
DUNE: Final = _firm(4, "Dune Travel", website="https://dune.example")
ELM: Final = _firm(5, "Elm Books", ["Late"], note="pays in cash")
FJORD: Final = _firm(6, "Fjord Fish", ["VIP", "Late"], phone="+353 21 555 0106")
GRANITE: Final = _firm(7, "Granite Gym", contact="Nuala")
HARBOUR: Final = _firm(8, "Harbour Inn", city="Galway")
IRIS: Final = _firm(9, "Iris Optics", ["VIP"], phone="+353 1 555 0109")
JUNIPER: Final = _firm(10, "Juniper Tea", website="https://juniper.example")
STRANGER: Final = Firm("ca5e0000-0000-4000-8000-999999999999", "(nobody)", {})

FIRMS: Final = (AURORA, BIRCH, COBALT, DUNE, ELM, FJORD, GRANITE, HARBOUR, IRIS, JUNIPER)
"""Everybody the upstream knows."""


def _body(firm: Firm, changes: Changes, *, camel: bool = False) -> dict[str, Any]:
    if camel:
        return {"customerId": firm.id, "changes": {CAMEL[name]: value for name, value in changes.items()}}
    return {"customer_id": firm.id, "changes": dict(changes)}


def _plain(firm: Firm, changes: Changes, *, camel: bool = False) -> Planned:
    return Planned(firm.id.encode(), json.dumps(_body(firm, changes, camel=camel)).encode(), changes=changes)


def _attributes(event_id: str, source: str) -> dict[str, str]:
    return {"specversion": "1.0", "id": event_id, "source": source, "type": "customer.update"}


def _in_headers(firm: Firm, changes: Changes, event_id: str, source: str, **more: str) -> Planned:
    """CloudEvents 1.0, binary mode."""
    attributes = {**_attributes(event_id, source), **more}
    headers = tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())
    value = json.dumps(_body(firm, changes)).encode()
    return Planned(firm.id.encode(), value, headers, id=event_id, changes=changes)


def _in_envelope(firm: Firm, changes: Changes, event_id: str, source: str) -> Planned:
    """CloudEvents 1.0, structured mode."""
    envelope = {
        **_attributes(event_id, source),
        "datacontenttype": "application/json",
        "data": _body(firm, changes),
    }
    headers = (("content-type", b"application/cloudevents+json"),)
    return Planned(firm.id.encode(), json.dumps(envelope).encode(), headers, id=event_id, changes=changes)


def _dead(command: Planned, becomes: Reason) -> Planned:
    return Planned(command.key, command.value, command.headers, id=command.id, becomes=becomes)


def _broken(firm: Firm, value: object, becomes: Reason = Reason.INVALID) -> Planned:
    encoded = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Planned(firm.id.encode(), encoded, becomes=becomes)


def _line(firm: Firm, what: str, *commands: Planned) -> Line:
    return Line(firm.name, what, commands)


def _fault(firm: Firm | None, effect: Mapping[str, JsonValue], **match: JsonValue) -> Mapping[str, JsonValue]:
    of_customer: dict[str, JsonValue] = {} if firm is None else {"customer_id": firm.id}
    return {"match": {**of_customer, **match}, "effect": dict(effect)}


_FORMS: Final = Scene(
    "08:30",
    "every form",
    "The shop opens. Commands come in every form that is read, the first before the worker is up: Kafka keeps "
    "them. Each becomes an event.",
    (
        _line(AURORA, "phone, plain JSON", _plain(AURORA, {"phone": "+353 1 555 0199"})),
        _line(BIRCH, "zip, in camelCase", _plain(BIRCH, {"zip": "T12 YX57", "address_line1": "2 Quay"}, camel=True)),
        _line(
            COBALT, "e-mail, CloudEvent", _in_headers(COBALT, {"email": "bills@cobalt.example"}, "order-4711", "/shop")
        ),
        _line(DUNE, "contact, envelope", _in_envelope(DUNE, {"contact": "Maeve", "website": None}, "t-0815", "/crm")),
        _line(ELM, "becomes a VIP", _plain(ELM, {"tags": [TAGS["VIP"]]})),
        _line(FJORD, "what it has already", _plain(FJORD, {"phone": "+353 21 555 0106"})),
    ),
    reading_seconds=0.8,
)

_BURST: Final = Scene(
    "10:00",
    "twelve saves",
    "Somebody saves one customer twelve times in a row. What waits is applied as one GET and one PATCH; each "
    "command still gets its own event.",
    (
        _line(GRANITE, "note, 12 times", *(_plain(GRANITE, {"note": f"version {n}"}) for n in range(1, 13))),
        _line(AURORA, "city", _plain(AURORA, {"city": "Dublin"})),
    ),
    reading_seconds=1.2,
)

_MISTAKES: Final = Scene(
    "11:15",
    "publishers' mistakes",
    "Publishers make mistakes. What cannot be applied comes back whole, as a dead letter that says why, and costs "
    "the upstream no request.",
    (
        _line(BIRCH, "no JSON", _broken(BIRCH, b'{"changes": ', Reason.UNDECODABLE)),
        _line(COBALT, "no value at all", Planned(COBALT.id.encode(), None, becomes=Reason.UNDECODABLE)),
        _line(DUNE, "vatnumber", _broken(DUNE, {"customer_id": DUNE.id, "changes": {"vatnumber": "IE1"}})),
        _line(ELM, "an e-mail without @", _broken(ELM, {"customer_id": ELM.id, "changes": {"email": "elm.example"}})),
        _line(FJORD, "key of another", _broken(FJORD, _body(GRANITE, {"note": "whose?"}))),
        _line(HARBOUR, "nothing to change", _broken(HARBOUR, _body(HARBOUR, {}))),
        _line(
            IRIS,
            "a day too late",
            _dead(
                _in_headers(IRIS, {"note": "old"}, "late-1", "/crm", expirytime="2025-01-01T00:00:00Z"), Reason.EXPIRED
            ),
        ),
        _line(JUNIPER, "website", _plain(JUNIPER, {"website": "https://tea.example"})),
    ),
    reading_seconds=1.0,
)

_REFUSALS: Final = Scene(
    "13:30",
    "the upstream says no",
    "The upstream says no: a customer nobody knows, a refused change, an answer that is no customer, a tag deleted "
    "long ago (500, again and again).",
    (
        _line(IRIS, "a deleted tag", _dead(_plain(IRIS, {"tags": [_DELETED_TAG]}), Reason.RETRIES_EXHAUSTED)),
        _line(STRANGER, "note", _dead(_plain(STRANGER, {"note": "who is it?"}), Reason.UNKNOWN_CUSTOMER)),
        _line(GRANITE, "name, while merging", _dead(_plain(GRANITE, {"name": "Granite Club"}), Reason.REJECTED)),
        _line(HARBOUR, "gets a web page", _dead(_plain(HARBOUR, {"phone": "+353 91 555 0108"}), Reason.CONTRACT)),
    ),
    # Only while others get through is it clear whose fault a 500 is.
    meanwhile=tuple(
        _line(firm, "contact", _plain(firm, {"contact": f"clerk {number}"}))
        for number, firm in zip(range(1, 25), cycle((BIRCH, COBALT, DUNE, ELM, FJORD, AURORA)), strict=False)
    ),
    faults=(
        _fault(
            GRANITE,
            {
                "kind": "status",
                "status": 409,
                "body": {"error": "Conflict", "description": "the customer is being merged"},
            },
            method="PATCH",
        ),
        _fault(HARBOUR, {"kind": "wrong_content", "text": "<html>", "content_type": "text/html"}),
    ),
    reading_seconds=0.6,
)

_ONE_FAILS: Final = Scene(
    "14:45",
    "503 for one customer",
    "The upstream answers 503 for one customer. It is tried again after pauses that grow; nobody else waits for it.",
    (
        _line(DUNE, "phone", _plain(DUNE, {"phone": "+353 1 555 0104"})),
        _line(ELM, "note", _plain(ELM, {"note": "pays by card now"})),
        _line(FJORD, "city", _plain(FJORD, {"city": "Kinsale"})),
        _line(AURORA, "zip", _plain(AURORA, {"zip": "D04 V2N9"})),
    ),
    faults=(_fault(DUNE, {"kind": "status", "status": 503}, first=4),),
    pause_seconds=0.15,
    reading_seconds=0.6,
)

_OUTAGE: Final = Scene(
    "16:00",
    "an outage upstream",
    "The upstream fails for everybody, for three seconds. The circuit opens: commands wait, a probe asks now and "
    "then, and nothing is given up.",
    tuple(_line(firm, "the new price list", _plain(firm, {"note": "price list 2"})) for firm in FIRMS),
    faults=(_fault(None, {"kind": "status", "status": 503}),),
    outage_seconds=3.0,
    afterwards="The upstream is back. The next probe finds out, the circuit closes, and everything that waited is "
    "applied.",
    pause_seconds=0.06,
    reading_seconds=0.8,
)

DAY: Final = (_FORMS, _BURST, _MISTAKES, _REFUSALS, _ONE_FAILS, _OUTAGE)

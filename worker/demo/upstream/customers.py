"""The customers and tags of the simulated upstream, and what a PATCH really does to them.

The rules are those of the recorded exchanges: a PATCH creates an id it does not know; tags left out are deleted; an
unknown or repeated tag fails only after the other fields were written (customer and tags are two statements, in no
transaction); a text that PostgreSQL cannot store fails before anything is written; a stored e-mail that today's rule
refuses makes every read of its customer fail. A customer is kept as the JSON it is answered with, because reads are
what happens most.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from worker.demo.upstream.validation import WRITABLE, is_email, is_uuid

Fields: TypeAlias = dict[str, JsonValue]

KNOWN_TAGS: Final[Mapping[str, str]] = {
    "00000000-0000-4000-8000-000000000051": "VIP",
    "00000000-0000-4000-8000-000000000052": "Enterprise",
    "00000000-0000-4000-8000-000000000053": "Late",
}

# The keys of an answer, in its order, with what a new row holds.
_NEW_ROW: Final[Mapping[str, JsonValue]] = {
    "id": "",
    "name": "",
    "email": "",
    "billingEmail": None,
    "phone": None,
    "website": None,
    "createdAt": "2026-01-01 00:00:00+00",
    "country": None,
    "addressLine1": None,
    "addressLine2": None,
    "city": None,
    "state": None,
    "zip": None,
    "note": None,
    "vatNumber": None,
    "countryCode": None,
    "token": "",
    "contact": None,
    "invoiceCount": 0,
    "projectCount": 0,
    "tags": [],
    "description": None,
    "industry": None,
    "companyType": None,
    "employeeCount": None,
    "foundedYear": None,
    "estimatedRevenue": None,
    "fundingStage": None,
    "totalFunding": None,
    "headquartersLocation": None,
    "timezone": None,
    "linkedinUrl": None,
    "twitterUrl": None,
    "instagramUrl": None,
    "facebookUrl": None,
    "logoUrl": None,
    "ceoName": None,
    "financeContact": None,
    "financeContactEmail": None,
    "primaryLanguage": None,
    "fiscalYearEnd": None,
    "enrichmentStatus": None,
    "enrichedAt": None,
}
_SIGNING_KEY: Final = b"simulated upstream"
_POSTGRES_UUID: Final = re.compile(r"(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}")
_GENERATED_PREFIX: Final = "5eed0000-0000-4000-8000-"
_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


def customer_id_for(index: int) -> str:
    """The id of generated customer *index*, counted from 0."""
    return f"{_GENERATED_PREFIX}{index:012d}"


def canonical_id(text: str) -> str | None:
    """The id as PostgreSQL writes it; None where its ``uuid`` type refuses *text* (a 500)."""
    inner = text[1:-1] if text[:1] == "{" and text[-1:] == "}" else text
    inner = inner.lower()
    if not _POSTGRES_UUID.fullmatch(inner):
        return None
    digits = inner.replace("-", "")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@dataclass(frozen=True, slots=True)
class Written:
    """What a PATCH did: *body* is the answer's, None where the service fails with 500."""

    body: bytes | None
    applied: bool
    created: bool = False


class Unreadable(Exception):
    """The stored row does not pass the service's own response schema: a 500 for as long as it stays so."""


class Customers:
    """All customers, by canonical id, and the tags that exist."""

    def __init__(self) -> None:
        self.tags_known: dict[str, str] = dict(KNOWN_TAGS)
        self.generated = 0
        self.created: list[str] = []  # ids that a PATCH created, in order
        self._rows: dict[str, bytes] = {}
        self._unreadable: set[str] = set()
        self._generated_tags = _first_tags(self.tags_known)
        self._carried: dict[str, str] = {}  # tags of the customers given from outside: in a database they exist

    def __len__(self) -> int:
        kept_apart = sum(1 for customer_id in self._rows if not self._is_generated(customer_id))
        return kept_apart + self.generated

    def replace(self, customers: Iterable[Mapping[str, JsonValue]]) -> None:
        """Holds exactly *customers* from now on; keys they lack get what a new row holds."""
        self.generated = 0
        self.created.clear()
        self._rows.clear()
        self._unreadable.clear()
        self._carried.clear()
        for given in customers:
            row = {**_NEW_ROW, **given, "id": canonical_id(str(given["id"])) or str(given["id"])}
            self._carried.update((str(tag["id"]), str(tag["name"])) for tag in _tags_of(row))
            self._store(row)

    def generate(self, count: int) -> None:
        """Has customers 0 to *count* - 1 of ``customer_id_for``, as new; each is made when it is asked for."""
        for customer_id in [known for known in self._rows if known.startswith(_GENERATED_PREFIX)]:
            del self._rows[customer_id]
            self._unreadable.discard(customer_id)
        self.generated = count

    def replace_tags(self, tags: Sequence[tuple[str, str]]) -> None:
        """Knows exactly *tags* (id, name); customers show the new names at once."""
        self.tags_known = {canonical_id(tag_id) or tag_id: name for tag_id, name in tags}
        self._generated_tags = _first_tags(self.tags_known)
        for body in list(self._rows.values()):
            self._store(from_json(body))

    def stored(self) -> list[Fields]:
        """Every customer that is more than a number: given, created or changed, in the form of an answer."""
        return [from_json(body) for body in self._rows.values()]

    def read(self, customer_id: str) -> bytes | None:
        """The answer's body, None where there is no such customer; raises Unreadable. *customer_id* is canonical."""
        body = self._rows.get(customer_id)
        if body is None:
            return self._generated_body(customer_id) if self._is_generated(customer_id) else None
        if customer_id in self._unreadable:
            raise Unreadable
        return body

    def write(self, customer_id: str, patch: Mapping[str, JsonValue], now: float) -> Written:
        """Does what the service does with a *patch* that passed its schema. *now* in seconds dates a row it creates."""
        changes = {field: patch[field] for field in WRITABLE if field in patch}
        if any(isinstance(value, str) and not _storable(value) for value in changes.values()):
            return Written(None, applied=False)
        before = self._rows.get(customer_id)
        if before is None and self._is_generated(customer_id):
            before = self._generated_body(customer_id)
        created = before is None
        if before is None:
            row: Fields = {**_NEW_ROW, "id": customer_id, "createdAt": _database_time(now)}
            self.created.append(customer_id)
        else:
            row = from_json(before)
            row["token"] = row["token"] or _signed_token(customer_id)
        row.update(changes)
        tags = self._replaced_tags(row, patch.get("tags"))
        if tags is not None:
            row["tags"] = tags
        body = self._store(row)
        failed = tags is None or customer_id in self._unreadable
        return Written(None if failed else body, applied=True, created=created)

    def _replaced_tags(self, row: Fields, asked: JsonValue) -> list[JsonValue] | None:
        """The customer's tags after the PATCH; None where the statement fails, which leaves the old ones."""
        wanted = [str(tag["id"]) for tag in _tags_of({"tags": asked})]
        held = {str(tag["id"]) for tag in _tags_of(row)}
        inserted = {tag_id.lower() for tag_id in wanted if tag_id not in held}
        known = all(tag_id in self.tags_known or tag_id in self._carried for tag_id in inserted)
        if len(set(wanted)) < len(wanted) or not known or inserted & held:
            return None
        return [{"id": tag_id, "name": ""} for tag_id in inserted | (held & set(wanted))]

    def _store(self, row: Fields) -> bytes:
        customer_id = str(row["id"])
        names = self.tags_known
        row["tags"] = [
            {"id": tag_id, "name": names.get(tag_id, self._carried.get(tag_id, name))}
            for tag_id, name in sorted((str(tag["id"]), str(tag["name"])) for tag in _tags_of(row))
        ]
        body = self._rows[customer_id] = to_json(row)
        if is_email(str(row["email"])) and is_uuid(customer_id):
            self._unreadable.discard(customer_id)
        else:
            self._unreadable.add(customer_id)
        return body

    def _is_generated(self, customer_id: str) -> bool:
        number = customer_id[len(_GENERATED_PREFIX) :]
        return customer_id.startswith(_GENERATED_PREFIX) and number.isdecimal() and int(number) < self.generated

    def _generated_body(self, customer_id: str) -> bytes:
        index = int(customer_id[len(_GENERATED_PREFIX) :])
        tags = self._generated_tags
        return _GENERATED_BODY % {
            b"id": customer_id.encode(),
            b"index": index,
            b"invoices": index % 7,
            b"tags": tags[index % len(tags)],
        }


def _tags_of(row: Mapping[str, JsonValue]) -> list[Fields]:
    tags = row.get("tags")
    return [tag for tag in tags if isinstance(tag, dict)] if isinstance(tags, list) else []


def _first_tags(tags_known: Mapping[str, str]) -> list[bytes]:
    """No tag, the first tag, the first two, and so on to all: what generated customers carry in turn, encoded."""
    tags = [{"id": tag_id, "name": name} for tag_id, name in sorted(tags_known.items())]
    return [to_json(tags[:count]) for count in range(len(tags) + 1)]


def _storable(text: str) -> bool:
    """Whether PostgreSQL takes *text*: no U+0000, no lone surrogate (those it refuses or loses; here it refuses)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _database_time(now: float) -> str:
    """A moment as the database prints it: a blank for the T, no trailing zeros, an offset without minutes."""
    moment = _EPOCH + timedelta(seconds=now)
    return f"{moment:%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".") + "+00"


def _signed_token(customer_id: str) -> str:
    """A JWT as the service signs one: the same for a customer each time."""
    parts = [to_json({"alg": "HS256"}), to_json({"id": customer_id})]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(_SIGNING_KEY, signed, hashlib.sha256)).rstrip(b"=")
    return (signed + b"." + signature).decode()


def _generated_template() -> bytes:
    row = {
        **_NEW_ROW,
        "id": "%(id)s",
        "name": "Customer %(index)d",
        "email": "customer%(index)d@generated.test",
        "billingEmail": "billing%(index)d@generated.test",
        "phone": "+46 8 %(index)07d",
        "website": "https://customer%(index)d.generated.test",
        "country": "Sweden",
        "addressLine1": "Street %(index)d",
        "city": "Stockholm",
        "zip": "11122",
        "vatNumber": "SE%(index)010d",
        "countryCode": "SE",
        "contact": "Contact %(index)d",
    }
    template = to_json(row)
    template = template.replace(b'"invoiceCount":0', b'"invoiceCount":%(invoices)d')
    return template.replace(b'"tags":[]', b'"tags":%(tags)s')


_GENERATED_BODY: Final = _generated_template()

"""Records that are no commands, each with the reason and the problems that its dead letter must give.

Every row is a mistake that a publisher can make. Published one after another (to one partition as well), each ends in a
dead letter of its own: no two share CloudEvents source and id.

Rows are full of values that must never be repeated: `PERSONAL` lists them.
"""

import base64
import gzip
import json
from dataclasses import dataclass, field

CUSTOMER = "3f0c1d52-7a1e-4c55-9d0a-6b1f2a7c9e10"
OTHER_CUSTOMER = "9a4e7b60-1c2d-4e3f-8a5b-0c6d7e8f9a01"
TAG = "e7a9c1a2-0b3d-4f5e-9c7a-1b2c3d4e5f60"
OTHER_TAG = "c4d5e6f7-8a9b-4c0d-8e1f-2a3b4c5d6e7f"

EMAIL = "jane.roe@private.example"
PHONE = "+46701234567"
PERSON = "Jane Roe"
STREET = "Hidden Street 17"

PERSONAL = (EMAIL, PHONE, PERSON, STREET, "jane", "Hidden", CUSTOMER, OTHER_CUSTOMER, TAG, OTHER_TAG)
"""What no error text may contain. (The id of a customer has headers of its own, and identifies a person as well.)"""

Header = tuple[str, bytes | None]
Found = tuple[str, str]
"""Code and path of a problem."""


@dataclass(frozen=True)
class BadCommand:
    """One row. *command_id* is None where the id is the record's place; *customer_id* is what is still known of it."""

    id: str
    value: bytes | None
    problems: tuple[Found, ...]
    reason: str = "invalid"
    key: bytes | None = CUSTOMER.encode()
    headers: tuple[Header, ...] = ()
    command_id: str | None = None
    customer_id: str | None = field(default=CUSTOMER)


def command(changes: object, **others: object) -> bytes:
    """A plain command's value with *changes*."""
    return json.dumps({"customer_id": CUSTOMER, "changes": changes, **others}).encode()


GOOD = command({"email": EMAIL})


def _undecodable(row_id: str, value: bytes | None, code: str) -> BadCommand:
    return BadCommand(row_id, value, ((code, "$"),), reason="undecodable")


def _changes(row_id: str, changes: object, *problems: Found) -> BadCommand:
    return BadCommand(row_id, command(changes), tuple((code, f"$.changes{path}") for code, path in problems))


def _email(row_id: str, email: str) -> BadCommand:
    return _changes(row_id, {"email": email}, ("email_malformed", ".email"))


def binary_headers(event_id: str, **replacing: bytes | None) -> tuple[Header, ...]:
    """The headers of a good command in binary mode, with *replacing* in them; None makes a null header."""
    attributes = {
        "specversion": b"1.0",
        "id": event_id.encode(),
        "source": b"/crm",
        "type": b"customer.update",
        **replacing,
    }
    return tuple((f"ce_{name}", value) for name, value in attributes.items())


def _binary(
    row_id: str, event_id: str, *problems: Found, identified: bool = True, **replacing: bytes | None
) -> BadCommand:
    headers = binary_headers(event_id, **replacing)
    found = tuple((code, f"header ce_{name}") for code, name in problems)
    return BadCommand(row_id, GOOD, found, headers=headers, command_id=event_id if identified else None)


STRUCTURED: tuple[Header, ...] = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


def envelope(event_id: str, **replacing: object) -> dict[str, object]:
    """A good structured-mode envelope, with *replacing* in it; a value of ... takes an attribute out."""
    attributes = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/crm",
        "type": "customer.update",
        "data": {"customer_id": CUSTOMER, "changes": {"email": EMAIL}},
        **replacing,
    }
    return {name: value for name, value in attributes.items() if value is not ...}


def _structured(
    row_id: str, event_id: str, *problems: Found, identified: bool = True, reason: str = "invalid", **replacing: object
) -> BadCommand:
    value = json.dumps(envelope(event_id, **replacing)).encode()
    found = tuple((code, f"$.{path}") for code, path in problems)
    known = event_id if identified else None
    return BadCommand(row_id, value, found, headers=STRUCTURED, command_id=known, reason=reason)


def _replay(row_id: str, *problems: Found, **headers: bytes) -> BadCommand:
    given = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return BadCommand(row_id, GOOD, tuple((code, f"header {name}") for code, name in problems), headers=given)


_NESTED_200 = b"[" * 200 + b"]" * 200
_NOT_READABLE = (
    _undecodable("a tombstone", None, "value_missing"),
    _undecodable("an empty value", b"", "value_empty"),
    _undecodable("blanks alone", b" \n ", "not_json"),
    _undecodable("a text that is not JSON", b"Jane Roe, +46701234567", "not_json"),
    _undecodable("JSON that is cut off", GOOD[:-7], "not_json"),
    _undecodable("two documents in one value", GOOD + GOOD, "not_json"),
    _undecodable("quotes of another kind", b"{'customer_id': 1}", "not_json"),
    _undecodable("a trailing comma", GOOD[:-1] + b",}", "not_json"),
    _undecodable("a comment", b"// a command\n" + GOOD, "not_json"),
    _undecodable("an unknown escape", rb'{"customer_id": "\x41"}', "not_json"),
    _undecodable("a raw line break in a text", b'{"customer_id": "a\nb"}', "not_json"),
    _undecodable("a raw U+0000 in a text", b'{"customer_id": "a\x00b"}', "not_json"),
    _undecodable("NaN", command({"phone": float("nan")}), "not_json"),
    _undecodable("Infinity", command({"phone": float("inf")}), "not_json"),
    _undecodable("-Infinity", command({"phone": float("-inf")}), "not_json"),
    _undecodable("Latin-1 instead of UTF-8", '{"name": "Åsa"}'.encode("latin-1"), "not_utf8"),
    _undecodable("UTF-16 with a byte order mark", GOOD.decode().encode("utf-16"), "not_utf8"),
    _undecodable("UTF-16 without a byte order mark", GOOD.decode().encode("utf-16-le"), "not_json"),
    _undecodable("UTF-8 with a byte order mark", b"\xef\xbb\xbf" + GOOD, "byte_order_mark"),
    _undecodable("a surrogate encoded as UTF-8", b'{"name": "\xed\xa0\x80"}', "not_utf8"),
    _undecodable("compressed by the publisher itself", gzip.compress(GOOD, mtime=0), "not_utf8"),
    _undecodable("framed for a schema registry", b"\x00\x00\x00\x00\x07" + GOOD, "not_json"),
    _undecodable("200 nested lists", _NESTED_200, "too_deep"),
    _undecodable(
        "200 nested objects as a field", command({}).replace(b"{}", b'{"note":' * 200 + b"}" * 200), "too_deep"
    ),
    _undecodable("100,000 nested lists", b"[" * 100_000 + b"]" * 100_000, "too_deep"),
    _undecodable("100,000 lists that never end", b"[" * 100_000, "too_deep"),
)

_KEYS = (
    BadCommand("no key", GOOD, (("key_missing", "key"),), key=None),
    BadCommand("an empty key", GOOD, (("key_missing", "key"),), key=b""),
    BadCommand("a key that is not UTF-8", GOOD, (("key_not_utf8", "key"),), key=b"\xff\xfe", reason="undecodable"),
    BadCommand("a key that is no UUID", GOOD, (("key_malformed", "key"),), key=b"4711"),
    BadCommand("a key in upper case", GOOD, (("key_malformed", "key"),), key=CUSTOMER.upper().encode()),
    BadCommand("a key in JSON's quotes", GOOD, (("key_malformed", "key"),), key=json.dumps(CUSTOMER).encode()),
    BadCommand("a key with a line break", GOOD, (("key_malformed", "key"),), key=CUSTOMER.encode() + b"\n"),
    BadCommand("a key of 32 digits", GOOD, (("key_malformed", "key"),), key=CUSTOMER.replace("-", "").encode()),
    BadCommand(
        "a key of no version that RFC 9562 knows",
        GOOD,
        (("key_malformed", "key"),),
        key=b"3f0c1d52-7a1e-0c55-9d0a-6b1f2a7c9e10",
    ),
    BadCommand(
        "neither key nor value",
        None,
        (("key_missing", "key"), ("value_missing", "$")),
        key=None,
        reason="undecodable",
        customer_id=None,
    ),
)


def _customer(row_id: str, customer_id: object, code: str) -> BadCommand:
    value = json.dumps({"customer_id": customer_id, "changes": {"email": EMAIL}}).encode()
    return BadCommand(row_id, value, ((code, "$.customer_id"),))


_CUSTOMERS = (
    BadCommand("no customer id", b'{"changes": {"note": "n"}}', (("customer_id_missing", "$.customer_id"),)),
    _customer("a customer id that is null", None, "customer_id_malformed"),
    _customer("a customer id that is a number", 4711, "customer_id_malformed"),
    _customer("a customer id that is no UUID", EMAIL, "customer_id_malformed"),
    _customer("a customer id in upper case", CUSTOMER.upper(), "customer_id_malformed"),
    _customer("key and customer id differ", OTHER_CUSTOMER, "customer_id_differs"),
    BadCommand(
        "neither key nor customer id is a UUID",
        b'{"customer_id": "4711", "changes": {"note": "n"}}',
        (("key_malformed", "key"), ("customer_id_malformed", "$.customer_id")),
        key=b"4711",
        customer_id=None,
    ),
    BadCommand(
        "the customer id in both spellings",
        command({"note": "n"}, customerId=CUSTOMER),
        (("spelled_twice", "$.customer_id"),),
    ),
)

_DOCUMENTS = (
    BadCommand("a list", b"[]", (("wrong_type", "$"),)),
    BadCommand("a text", b'"+46701234567"', (("wrong_type", "$"),)),
    BadCommand("a number", b"4711", (("wrong_type", "$"),)),
    BadCommand("null", b"null", (("wrong_type", "$"),)),
    BadCommand("an empty object", b"{}", (("customer_id_missing", "$.customer_id"), ("changes_missing", "$.changes"))),
    BadCommand("no changes", json.dumps({"customer_id": CUSTOMER}).encode(), (("changes_missing", "$.changes"),)),
    _changes("changes that are null", None, ("wrong_type", "")),
    _changes("changes that are a list", [{"email": EMAIL}], ("wrong_type", "")),
    _changes("changes that are a text", PHONE, ("wrong_type", "")),
    _changes("empty changes", {}, ("changes_empty", "")),
    BadCommand(
        "fields beside changes instead of in them",
        command({"note": "n"}, email=EMAIL, phone=PHONE),
        (("unknown_field", "$.email"), ("unknown_field", "$.phone")),
    ),
    BadCommand(
        "a name repeated at the top",
        GOOD[:-1] + b', "changes": {"note": "n"}}',
        (("name_repeated", "$.changes"),),
    ),
    BadCommand(
        "a field repeated in the changes",
        command({}).replace(b"{}", b'{"city": "Oslo", "note": "n", "city": "Bergen"}'),
        (("name_repeated", "$.changes.city"),),
    ),
    BadCommand(
        "a name repeated in a tag",
        command({}).replace(b"{}", b'{"tags": [{"id": "%s", "name": "a", "name": "a"}]}' % TAG.encode()),
        (("name_repeated", "$.changes.tags[0].name"),),
    ),
)

_FIELDS = (
    _changes("a misspelled field", {"emial": EMAIL}, ("unknown_field", ".emial")),
    _changes("a field that commands do not have", {"billing_email": EMAIL}, ("unknown_field", ".billing_email")),
    _changes("a field that the upstream keeps itself", {"invoiceCount": 3}, ("unknown_field", ".invoiceCount")),
    _changes("an unknown field that is null", {"fax": None}, ("unknown_field", ".fax")),
    _changes("a person's address as a field's name", {EMAIL: "x"}, ("unknown_field", ".<name 1, not shown>")),
    _changes(
        "a phone number as a field's name", {"city": "Oslo", PHONE: "x"}, ("unknown_field", ".<name 2, not shown>")
    ),
    _changes("a field whose name is empty", {"": "x"}, ("unknown_field", ".<name 1, not shown>")),
    _changes("a field of another case", {"Email": EMAIL}, ("unknown_field", ".Email")),
    _changes(
        "one field in both spellings",
        {"address_line1": STREET, "addressLine1": STREET},
        ("spelled_twice", ".address_line1"),
    ),
    _changes(
        "one field in both spellings, cleared",
        {"vatNumber": None, "vat_number": None},
        ("spelled_twice", ".vat_number"),
    ),
    _changes("a name that is null", {"name": None}, ("null_not_allowed", ".name")),
    _changes("an e-mail address that is null", {"email": None}, ("null_not_allowed", ".email")),
    _changes("tags that are null", {"tags": None}, ("null_not_allowed", ".tags")),
    _changes("a name that is a number", {"name": 4711}, ("wrong_type", ".name")),
    _changes("a phone number that is a number", {"phone": 46701234567}, ("wrong_type", ".phone")),
    _changes("a note that is true", {"note": True}, ("wrong_type", ".note")),
    _changes("a note that is a list", {"note": [STREET]}, ("wrong_type", ".note")),
    _changes("a contact that is an object", {"contact": {"name": PERSON}}, ("wrong_type", ".contact")),
    _changes("an e-mail address that is a list", {"email": [EMAIL]}, ("wrong_type", ".email")),
    _changes("a number beyond 64 bits", {"zip": 2**64}, ("wrong_type", ".zip")),
    BadCommand(
        "a number of 5,000 digits",
        command({"zip": "digits"}).replace(b'"digits"', b"4" * 5_000),
        (("wrong_type", "$.changes.zip"),),
    ),
    BadCommand(
        "a number beyond the largest double",
        command({"zip": "digits"}).replace(b'"digits"', b"-4e999"),
        (("wrong_type", "$.changes.zip"),),
    ),
    _changes("an empty name", {"name": ""}, ("name_blank", ".name")),
    _changes("a blank name", {"name": " \t\u00a0"}, ("name_blank", ".name")),
    _changes("U+0000 in a note", {"note": f"{STREET}\0"}, ("text_nul", ".note")),
    _changes("U+0000 in a name that is otherwise blank", {"name": "\0"}, ("text_nul", ".name")),
    _changes("U+0000 in an e-mail address", {"email": f"{EMAIL}\0"}, ("text_nul", ".email")),
    _changes("the first half of a surrogate pair", {"note": "\ud83d"}, ("text_lone_surrogate", ".note")),
    _changes("the second half of a surrogate pair", {"city": "a\ude00b"}, ("text_lone_surrogate", ".city")),
    _changes(
        "U+0000 and half a surrogate pair in one text",
        {"note": "\0\ud83d"},
        ("text_nul", ".note"),
        ("text_lone_surrogate", ".note"),
    ),
)

_EMAILS = (
    _email("an empty e-mail address", ""),
    _email("an e-mail address without @", "jane.roe"),
    _email("an e-mail address with a blank after it", f"{EMAIL} "),
    _email("an e-mail address with a line break after it", f"{EMAIL}\n"),
    _email("an e-mail address without a top-level domain", "jane@localhost"),
    _email("an international domain", "jane@bücher.example"),
    _email("an international local part", "jané@private.example"),
    _email("a display name around an e-mail address", f"{PERSON} <{EMAIL}>"),
    _email("two e-mail addresses", f"{EMAIL},{EMAIL}"),
    _email("two dots in a row in an e-mail address", "jane..roe@private.example"),
    _email("an e-mail address that starts with a dot", ".jane@private.example"),
    _email("an e-mail address with a dot before its @", "jane.@private.example"),
    _email("an underscore in the domain", "jane@private_.example"),
    _email("a digit in the top-level domain", "jane@private.e2"),
    _email("an address in brackets", "jane@[127.0.0.1]"),
)

_TAG = {"id": TAG, "name": "VIP"}
_TAGS = (
    _changes("tags that are a text", {"tags": "VIP"}, ("wrong_type", ".tags")),
    _changes("tags that are an object", {"tags": _TAG}, ("wrong_type", ".tags")),
    _changes("tags that are texts", {"tags": ["VIP", TAG]}, ("wrong_type", ".tags[0]"), ("wrong_type", ".tags[1]")),
    _changes("a tag that is null", {"tags": [_TAG, None]}, ("wrong_type", ".tags[1]")),
    _changes("a tag without its id", {"tags": [{"name": "VIP"}]}, ("tag_incomplete", ".tags[0].id")),
    _changes("a tag without its name", {"tags": [{"id": TAG}]}, ("tag_incomplete", ".tags[0].name")),
    _changes(
        "a tag that is empty",
        {"tags": [{}]},
        ("tag_incomplete", ".tags[0].id"),
        ("tag_incomplete", ".tags[0].name"),
    ),
    _changes("a tag whose name is null", {"tags": [{"id": TAG, "name": None}]}, ("wrong_type", ".tags[0].name")),
    _changes("a tag whose id is a number", {"tags": [{"id": 7, "name": "VIP"}]}, ("wrong_type", ".tags[0].id")),
    _changes(
        "a tag whose id is no UUID", {"tags": [{"id": "VIP", "name": "VIP"}]}, ("tag_id_malformed", ".tags[0].id")
    ),
    _changes(
        "a tag with more than id and name", {"tags": [{**_TAG, "color": "red"}]}, ("unknown_field", ".tags[0].color")
    ),
    _changes("one tag twice", {"tags": [_TAG, _TAG]}, ("tag_repeated", ".tags[1].id")),
    _changes(
        "one tag twice, once in upper case",
        {"tags": [_TAG, {"id": TAG.upper(), "name": "Other"}]},
        ("tag_repeated", ".tags[1].id"),
    ),
    _changes("U+0000 in a tag's name", {"tags": [{"id": TAG, "name": "\0"}]}, ("text_nul", ".tags[0].name")),
    _changes(
        "half a surrogate pair in a tag's name",
        {"tags": [{"id": TAG, "name": "\ud800"}]},
        ("text_lone_surrogate", ".tags[0].name"),
    ),
)

_BINARY_MODE = (
    _binary("no specversion", "bad-b01", ("attribute_missing", "specversion"), specversion=None),
    _binary("no source", "bad-b02", ("attribute_missing", "source"), identified=False, source=None),
    _binary("no type", "bad-b03", ("attribute_missing", "type"), type=None),
    _binary("no id", "bad-b04", ("attribute_missing", "id"), identified=False, id=None),
    BadCommand(
        "an id alone",
        GOOD,
        tuple(("attribute_missing", f"header ce_{name}") for name in ("specversion", "source", "type")),
        headers=(("ce_id", b"bad-b05"),),
    ),
    _binary("CloudEvents 0.3", "bad-b06", ("specversion_unsupported", "specversion"), specversion=b"0.3"),
    _binary("an event instead of a command", "bad-b07", ("type_unsupported", "type"), type=b"customer.updated"),
    _binary("an empty id", "bad-b08", ("attribute_malformed", "id"), identified=False, id=b""),
    _binary("an empty source", "bad-b09", ("attribute_malformed", "source"), identified=False, source=b""),
    _binary("an id that is not UTF-8", "bad-b10", ("attribute_malformed", "id"), identified=False, id=b"\xff"),
    _binary("an id with a line break", "bad-b11", ("attribute_malformed", "id"), identified=False, id=b"a\nb"),
    _binary("an id of 1,025 characters", "bad-b12", ("attribute_malformed", "id"), identified=False, id=b"i" * 1025),
    _binary("a priority nobody knows", "bad-b13", ("priority_malformed", "priority"), priority=b"urgent"),
    _binary("a priority in upper case", "bad-b14", ("priority_malformed", "priority"), priority=b"BULK"),
    _binary("an empty priority", "bad-b15", ("priority_malformed", "priority"), priority=b""),
    _binary(
        "an expirytime without an offset",
        "bad-b16",
        ("expirytime_malformed", "expirytime"),
        expirytime=b"2026-11-23T18:00:00",
    ),
    _binary(
        "an expirytime without a time", "bad-b17", ("expirytime_malformed", "expirytime"), expirytime=b"2026-11-23"
    ),
    _binary(
        "an expirytime on February 30",
        "bad-b18",
        ("expirytime_malformed", "expirytime"),
        expirytime=b"2026-02-30T18:00:00Z",
    ),
    _binary("an expirytime in seconds", "bad-b19", ("expirytime_malformed", "expirytime"), expirytime=b"1795456800"),
    _binary("an empty correlationid", "bad-b20", ("attribute_malformed", "correlationid"), correlationid=b""),
    BadCommand(
        "an id given twice",
        GOOD,
        (("header_repeated", "header ce_id"),),
        headers=(*binary_headers("bad-b21"), ("ce_id", b"bad-b21")),
        command_id="bad-b21",
    ),
    BadCommand(
        "a malformed priority without the other attributes",
        GOOD,
        (("priority_malformed", "header ce_priority"),),
        headers=(("ce_priority", b"low"),),
    ),
)

_STRUCTURED_MODE = (
    BadCommand(
        "a plain command labelled as an envelope",
        GOOD,
        (
            ("unknown_field", "$.customer_id"),
            ("unknown_field", "$.changes"),
            *(("attribute_missing", f"$.{name}") for name in ("specversion", "id", "source", "type")),
            ("data_missing", "$.data"),
        ),
        headers=STRUCTURED,
    ),
    _structured("an envelope without source", "bad-s01", ("attribute_missing", "source"), identified=False, source=...),
    _structured(
        "an envelope with a source that is null",
        "bad-s02",
        ("attribute_missing", "source"),
        identified=False,
        source=None,
    ),
    _structured(
        "an envelope of CloudEvents 1.1", "bad-s03", ("specversion_unsupported", "specversion"), specversion="1.1"
    ),
    _structured(
        "a specversion that is a number", "bad-s04", ("specversion_unsupported", "specversion"), specversion=1.0
    ),
    _structured("an envelope of another type", "bad-s05", ("type_unsupported", "type"), type="customer.delete"),
    _structured("an id that is a number", "bad-s06", ("attribute_malformed", "id"), identified=False, id=4711),
    _structured(
        "half a surrogate pair in an id", "bad-s07", ("attribute_malformed", "id"), identified=False, id="\ud800"
    ),
    _structured("an envelope's malformed priority", "bad-s08", ("priority_malformed", "priority"), priority=5),
    _structured(
        "an envelope's malformed expirytime", "bad-s09", ("expirytime_malformed", "expirytime"), expirytime="tomorrow"
    ),
    _structured("an extension that is an object", "bad-s10", ("attribute_malformed", "meta"), meta={"a": EMAIL}),
    BadCommand(
        "an extension whose name is an address",
        json.dumps({**envelope("bad-s11"), EMAIL: []}).encode(),
        (("attribute_malformed", "$.<name 6, not shown>"),),
        command_id="bad-s11",
    ),
    _structured("an extension beyond 64 bits", "bad-s12", ("attribute_malformed", "sequence"), sequence=-(2**64)),
    _structured("an envelope without data", "bad-s13", ("data_missing", "data"), data=...),
    _structured("data that is null", "bad-s14", ("data_missing", "data"), data=None),
    _structured("data that is a list", "bad-s15", ("wrong_type", "data"), data=[GOOD.decode()]),
    _structured("data that is a text with JSON in it", "bad-s16", ("wrong_type", "data"), data=GOOD.decode()),
    _structured("data twice", "bad-s17", ("data_twice", "data_base64"), data_base64=base64.b64encode(GOOD).decode()),
    _structured(
        "data_base64 that is not base64",
        "bad-s18",
        ("base64_malformed", "data_base64"),
        reason="undecodable",
        data=...,
        data_base64="%%%",
    ),
    _structured(
        "data_base64 without its padding",
        "bad-s19",
        ("base64_malformed", "data_base64"),
        reason="undecodable",
        data=...,
        data_base64="eyJhIjoxfQ",
    ),
    _structured(
        "data_base64 that is a number",
        "bad-s20",
        ("base64_malformed", "data_base64"),
        reason="undecodable",
        data=...,
        data_base64=4711,
    ),
    _structured(
        "data_base64 that is empty",
        "bad-s21",
        ("value_empty", "data_base64"),
        reason="undecodable",
        data=...,
        data_base64="",
    ),
    _structured(
        "data_base64 of a text",
        "bad-s22",
        ("not_json", "data_base64"),
        reason="undecodable",
        data=...,
        data_base64=base64.b64encode(PERSON.encode()).decode(),
    ),
    _structured(
        "data_base64 of bytes that are not UTF-8",
        "bad-s23",
        ("not_utf8", "data_base64"),
        reason="undecodable",
        data=...,
        data_base64="/w==",
    ),
    _structured(
        "changes beside data",
        "bad-s24",
        ("unknown_field", "changes"),
        changes={"email": EMAIL},
    ),
    _structured(
        "a malformed field in an envelope",
        "bad-s25",
        ("email_malformed", "data.changes.email"),
        data={"customerId": CUSTOMER, "changes": {"email": PERSON}},
    ),
    _structured(
        "a malformed field in data_base64",
        "bad-s26",
        ("email_malformed", "data_base64.changes.email"),
        data=...,
        data_base64=base64.b64encode(command({"email": PERSON})).decode(),
    ),
    BadCommand(
        "a name repeated in an envelope",
        json.dumps(envelope("bad-s27")).encode()[:-1] + b', "id": "bad-s27"}',
        (("name_repeated", "$.id"),),
        headers=STRUCTURED,
        command_id="bad-s27",
    ),
    BadCommand(
        "an envelope in binary mode whose id is another",
        json.dumps(envelope("bad-s28")).encode(),
        (("attribute_conflict", "header ce_id"),),
        headers=binary_headers("bad-s28-other"),
        command_id="bad-s28",
    ),
    BadCommand(
        "a batch of envelopes",
        json.dumps([envelope("bad-s29")]).encode(),
        (("wrong_type", "$"),),
        headers=(("content-type", b"application/cloudevents-batch+json"),),
    ),
    BadCommand(
        "an envelope in an envelope",
        json.dumps(envelope("bad-s30", data=envelope("bad-s31"))).encode(),
        (
            ("customer_id_missing", "$.data.customer_id"),
            ("changes_missing", "$.data.changes"),
            *(("unknown_field", f"$.data.{name}") for name in ("specversion", "id", "source", "type", "data")),
        ),
        headers=STRUCTURED,
        command_id="bad-s30",
    ),
)

_REPLAYS = (
    _replay("a replay without its number", ("replay_malformed", "dlq-replay"), dlq_command_id=b"a"),
    _replay("a replay without its id", ("replay_malformed", "dlq-command-id"), dlq_replay=b"1"),
    _replay("a replay's number that is 0", ("replay_malformed", "dlq-replay"), dlq_command_id=b"a", dlq_replay=b"0"),
    _replay("a replay's number that is -1", ("replay_malformed", "dlq-replay"), dlq_command_id=b"a", dlq_replay=b"-1"),
    _replay(
        "a replay's number that is a word", ("replay_malformed", "dlq-replay"), dlq_command_id=b"a", dlq_replay=b"one"
    ),
    _replay(
        "a replay's number in other digits",
        ("replay_malformed", "dlq-replay"),
        dlq_command_id=b"a",
        dlq_replay="\u0661".encode(),
    ),
    _replay("a replay's id that is empty", ("replay_malformed", "dlq-command-id"), dlq_command_id=b"", dlq_replay=b"1"),
    BadCommand(
        "a replay's number given twice",
        GOOD,
        (("header_repeated", "header dlq-replay"),),
        headers=(("dlq-command-id", b"a"), ("dlq-replay", b"1"), ("dlq-replay", b"2")),
        command_id="a#1",
    ),
)

_MANY_AT_ONCE = (
    BadCommand(
        "every part wrong in its own way",
        json.dumps(
            {
                "customer_id": OTHER_CUSTOMER.upper(),
                "changes": {
                    "name": " ",
                    "email": PERSON,
                    "phone": 46701234567,
                    "tags": [{"id": PERSON, "name": None}, _TAG, _TAG],
                    "addres_line1": STREET,
                    "vat_number": "1",
                    "vatNumber": "2",
                },
                "customer": PERSON,
            }
        ).encode(),
        (
            ("key_malformed", "key"),
            ("attribute_missing", "header ce_type"),
            ("specversion_unsupported", "header ce_specversion"),
            ("customer_id_malformed", "$.customer_id"),
            ("name_blank", "$.changes.name"),
            ("email_malformed", "$.changes.email"),
            ("wrong_type", "$.changes.phone"),
            ("wrong_type", "$.changes.tags[0].name"),
            ("tag_id_malformed", "$.changes.tags[0].id"),
            ("tag_repeated", "$.changes.tags[2].id"),
            ("unknown_field", "$.changes.addres_line1"),
            ("spelled_twice", "$.changes.vat_number"),
            ("unknown_field", "$.customer"),
        ),
        key=PERSON.encode(),
        headers=(("ce_specversion", b"1"), ("ce_id", b"bad-m01"), ("ce_source", b"/crm")),
        command_id="bad-m01",
        customer_id=None,
    ),
    BadCommand(
        "more wrong fields than anybody wants to read",
        command({f"field_{'abcdefghij'[n % 10]}_{'abcdefghij'[n // 10 % 10]}{n // 100}": EMAIL for n in range(1000)}),
        (
            *(
                ("unknown_field", f"$.changes.field_{'abcdefghij'[n % 10]}_{'abcdefghij'[n // 10]}0")
                for n in range(100)
            ),
            ("more_problems", "$"),
        ),
    ),
)

BAD_COMMANDS = (
    *_NOT_READABLE,
    *_KEYS,
    *_CUSTOMERS,
    *_DOCUMENTS,
    *_FIELDS,
    *_EMAILS,
    *_TAGS,
    *_BINARY_MODE,
    *_STRUCTURED_MODE,
    *_REPLAYS,
    *_MANY_AT_ONCE,
)

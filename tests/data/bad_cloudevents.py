"""CloudEvents and replays with what is wrong with each."""

import base64
import json

from data.command_rows import (
    CUSTOMER,
    EMAIL,
    GOOD,
    PERSON,
    STRUCTURED,
    BadCommand,
    Found,
    binary_headers,
    command,
    envelope,
)


def _binary(
    row_id: str, event_id: str, *problems: Found, identified: bool = True, **replacing: bytes | None
) -> BadCommand:
    headers = binary_headers(event_id, **replacing)
    found = tuple((code, f"header ce_{name}") for code, name in problems)
    return BadCommand(row_id, GOOD, found, headers=headers, command_id=event_id if identified else None)


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
        "a malformed extension in the headers of a good envelope",
        json.dumps(envelope("bad-s32")).encode(),
        (("priority_malformed", "header ce_priority"),),
        headers=(("ce_priority", b"low"),),
        command_id="bad-s32",
    ),
    BadCommand(
        "an unlabelled envelope without data",
        json.dumps(envelope("bad-s33", data=...)).encode(),
        (("data_missing", "$.data"),),
        command_id="bad-s33",
    ),
    BadCommand(
        "an unlabelled envelope without specversion",
        json.dumps(envelope("bad-s34", specversion=...)).encode(),
        (("attribute_missing", "$.specversion"),),
        command_id="bad-s34",
    ),
    BadCommand(
        "an unlabelled envelope without specversion, with base64",
        json.dumps(
            envelope("bad-s35", specversion=..., data=..., data_base64=base64.b64encode(GOOD).decode())
        ).encode(),
        (("attribute_missing", "$.specversion"),),
        command_id="bad-s35",
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

CLOUDEVENTS = (*_BINARY_MODE, *_STRUCTURED_MODE, *_REPLAYS)

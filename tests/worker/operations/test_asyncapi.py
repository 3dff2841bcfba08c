"""The AsyncAPI document, held to the records that the code writes."""

from handlers.command import decode
from handlers.customer import Customer
from handlers.dead_letter import dead_letter_record
from handlers.event import EventFormat, event_record
from handlers.faults import Reason
from handlers.record import CommandRecord
from worker.operations.asyncapi import asyncapi_document, command_headers, dead_letter_headers, event_headers

CUSTOMER = "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
COMMAND = CommandRecord(
    "customer.update",
    0,
    0,
    0,
    CUSTOMER.encode(),
    f'{{"customer_id": "{CUSTOMER}", "changes": {{"note": "x"}}}}'.encode(),
    (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"//crm"),
        ("ce_type", b"customer.update"),
        ("ce_priority", b"bulk"),
        ("ce_expirytime", b"2999-01-01T00:00:00Z"),
        ("ce_correlationid", b"c"),
        ("traceparent", TRACEPARENT),
    ),
)


def test_command_with_every_header_is_read() -> None:
    """What the document offers to publishers, the decoder takes."""
    assert {name for name, _ in COMMAND.headers} == set(command_headers()["properties"])

    command = decode(COMMAND)

    assert (command.priority, command.correlation_id) == ("bulk", "c")


def test_event_has_the_headers_that_are_documented() -> None:
    """With and without what a command may lack."""
    customer = Customer({"id": CUSTOMER}, "2024-05-01T12:34:56.789Z")
    full = event_record(decode(COMMAND), customer, EventFormat(), value=b"{}")
    plain_command = decode(CommandRecord("t", 0, 0, 0, COMMAND.key, COMMAND.value))
    plain = event_record(plain_command, customer, EventFormat(), value=b"{}")

    assert {name for name, _ in full.headers} == set(event_headers()["properties"])
    assert {name for name, _ in plain.headers} == set(event_headers()["required"])


def test_dead_letter_has_the_headers_that_are_documented() -> None:
    """Besides those of its command."""
    record = CommandRecord("t", 0, 0, 0, None, None, (("dlq-command-id", b"1"), ("dlq-replay", b"2")))

    letter = dead_letter_record(
        record, command_id="1#2", reason=Reason.INVALID, error="", status=None, attempts=0, worker="w"
    )

    assert {name for name, _ in letter.headers} == set(dead_letter_headers()["properties"])
    assert dead_letter_headers()["properties"]["dlq-reason"]["enum"] == [reason.value for reason in Reason]


def test_topics_and_names_are_those_in_effect() -> None:
    """A document of other topics would mislead everybody."""
    document = asyncapi_document(
        version="1.2.3", commands_topic="a", events_topic="b", dead_letter_topic="c", field_case="camel"
    )

    assert document["info"]["version"] == "1.2.3"
    assert [channel["address"] for channel in document["channels"].values()] == ["a", "b", "c"]
    event = document["components"]["messages"]["event"]["payload"]["schema"]
    assert "vatNumber" in event["properties"]

"""CloudEvents attributes of commands, from headers or from an envelope."""

from collections.abc import Callable

import pytest
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.http import CloudEvent as OldCloudEvent
from cloudevents.v1.kafka import KafkaMessage as OldKafkaMessage
from cloudevents.v1.kafka import to_binary as old_to_binary
from cloudevents.v1.kafka import to_structured as old_to_structured

from data.command_rows import CUSTOMER, binary_headers, envelope
from data.good_commands import (
    BINARY_HEADERS,
    CHANGES,
    ENVELOPE_LABEL,
    IN_BASE64,
    IN_ENVELOPE,
    TRACEPARENT,
    plain,
    record,
)
from handlers.command import Command, Priority, decode
from handlers.errors import CommandRefused
from handlers.record import CommandRecord


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(record(plain(), BINARY_HEADERS), id="binary mode"),
        pytest.param(record(IN_ENVELOPE, (ENVELOPE_LABEL,)), id="an envelope by its label"),
        pytest.param(record(IN_ENVELOPE), id="an envelope by its looks"),
        pytest.param(record(IN_ENVELOPE, (("content-type", b"application/json"),)), id="an envelope labelled as JSON"),
        pytest.param(record(IN_BASE64, (ENVELOPE_LABEL,)), id="an envelope with base64"),
        pytest.param(record(IN_BASE64 | {"data": None}), id="an envelope with base64 and data that is null"),
        pytest.param(
            record(IN_ENVELOPE, (*BINARY_HEADERS, ENVELOPE_LABEL)), id="an envelope whose headers say the same"
        ),
        pytest.param(
            record(IN_ENVELOPE, (("ce_type", b"customer.update"),)), id="an envelope with one header to route by"
        ),
        pytest.param(
            record(plain(), tuple((name.title(), value) for name, value in BINARY_HEADERS)),
            id="headers of another case",
        ),
    ],
)
def test_every_mode_says_the_same(sent: CommandRecord) -> None:
    """Id, source, priority, expiry, correlation and trace, whatever the mode; unknown extensions are let be."""
    assert decode(sent) == Command(
        id="order-17",
        source="/crm",
        customer_id=CUSTOMER,
        changes=CHANGES,
        priority=Priority.BULK,
        expires_at_ms=1_795_453_200_000,
        traceparent=TRACEPARENT,
        correlation_id="case-9",
        replay=0,
        record=sent,
    )


def test_two_copies_have_one_identity_and_two_sources_have_two() -> None:
    """CloudEvents: source and id together identify an event."""
    first, copy, other = (
        decode(record(plain(), binary_headers("order-17", source=source))).identity
        for source in (b"/crm", b"/crm", b"/shop")
    )

    assert first == copy == ("/crm", "order-17")
    assert other == ("/shop", "order-17")


def test_a_refused_command_keeps_its_identity() -> None:
    """A copy of a command that ended in a dead letter is a copy as well."""
    with pytest.raises(CommandRefused) as refused:
        decode(record(plain({}), binary_headers("order-17")))

    assert refused.value.identity == ("/crm", "order-17")


def test_an_id_without_its_source_identifies_nothing() -> None:
    """Two publishers may both have an order 17: neither is a copy of the other."""
    with pytest.raises(CommandRefused) as refused:
        decode(record(plain(), (("ce_id", b"order-17"),)))

    assert refused.value.identity == (None, "customer.update:3:42")


def test_an_extension_counts_without_the_other_attributes() -> None:
    """A plain command may be bulk or expire."""
    command = decode(record(plain(), (("ce_priority", b"bulk"), ("ce_expirytime", b"2026-11-23T17:00:00.0019Z"))))

    assert (command.id, command.priority) == ("customer.update:3:42", Priority.BULK)
    assert command.expires_at_ms == 1_795_453_200_001


def test_an_extension_in_a_header_counts_beside_an_envelope() -> None:
    """Whoever forwards an envelope can mark it as bulk without opening it."""
    command = decode(record(envelope("order-17", data=plain()), (("ce_priority", b"bulk"),)))

    assert (command.id, command.priority) == ("order-17", Priority.BULK)


def test_two_traces_are_no_conflict() -> None:
    """Tracing must not cost anybody a change."""
    earlier = TRACEPARENT.replace("b7ad", "b7ae")
    sent = record(envelope("order-17", data=plain(), traceparent=TRACEPARENT), (("ce_traceparent", earlier.encode()),))

    assert decode(sent).traceparent == TRACEPARENT


def test_a_null_header_counts_as_absent() -> None:
    """Kafka knows null values of headers; CloudEvents does not."""
    command = decode(record(plain(), (("ce_id", None), ("ce_priority", None), ("traceparent", None))))

    assert command.id == "customer.update:3:42"


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_the_official_sdk_is_understood(mode: str) -> None:
    """Commands as the CloudEvents SDK for Python writes them."""
    event = CloudEvent(
        {"id": "order-17", "source": "/crm", "type": "customer.update", "datacontenttype": "application/json"},
        plain(),
    )
    message = sdk.to_binary(event, JSONFormat()) if mode == "binary" else sdk.to_structured(event, JSONFormat())

    command = decode(record(message.value, tuple(message.headers.items())))

    assert (command.identity, command.changes) == (("/crm", "order-17"), CHANGES)


@pytest.mark.parametrize("convert", [old_to_binary, old_to_structured])
def test_the_official_sdks_older_interface_is_understood(convert: Callable[[OldCloudEvent], OldKafkaMessage]) -> None:
    """It labels its envelopes application/json."""
    event = OldCloudEvent(
        {"id": "order-17", "source": "/crm", "type": "customer.update", "datacontenttype": "application/json"},
        plain(),
    )
    message = convert(event)

    command = decode(record(message.value, tuple(message.headers.items())))

    assert (command.identity, command.changes) == (("/crm", "order-17"), CHANGES)


@pytest.mark.parametrize(
    "traceparent",
    [
        pytest.param(TRACEPARENT.upper(), id="upper case"),
        pytest.param("ff" + TRACEPARENT[2:], id="the version that is forbidden"),
        pytest.param("00-" + "0" * 32 + TRACEPARENT[35:], id="no trace"),
        pytest.param(TRACEPARENT[:36] + "0" * 16 + "-01", id="no parent"),
        pytest.param(TRACEPARENT + "-more", id="more than version 00 has"),
        pytest.param(TRACEPARENT[:-1], id="cut off"),
        pytest.param("", id="empty"),
        pytest.param("nonsense", id="nonsense"),
    ],
)
def test_a_malformed_traceparent_is_ignored(traceparent: str) -> None:
    """W3C Trace Context, section 3.2.2: then a trace begins anew. The change is made all the same."""
    assert decode(record(plain(), (("traceparent", traceparent.encode()),))).traceparent is None
    assert decode(record(envelope("a", data=plain(), traceparent=traceparent))).traceparent is None


def test_a_traceparent_of_a_later_version_is_carried_on() -> None:
    """Later versions may append parts."""
    later = f"01{TRACEPARENT[2:]}-and.more"

    assert decode(record(plain(), (("traceparent", later.encode()),))).traceparent == later


def test_the_trace_of_the_sending_comes_before_that_of_the_event() -> None:
    """The header is the last hop; the CloudEvents extension is where the event was made."""
    earlier = TRACEPARENT.replace("b7ad", "b7ae").encode()
    both = (("ce_traceparent", earlier), ("traceparent", TRACEPARENT.encode()))

    assert decode(record(plain(), both)).traceparent == TRACEPARENT
    assert decode(record(plain(), both[:1])).traceparent == earlier.decode()

"""Events: CloudEvents in binary mode, byte for byte the same for the same command and the same answer."""

import json
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from cloudevents.core.bindings import kafka as sdk
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from data.command_rows import CUSTOMER
from data.good_commands import BINARY_HEADERS, TRACEPARENT, plain, record
from handlers.command import Command, decode
from handlers.customer import Customer, UpdateCustomerResponse
from handlers.event import EventFormat, event_id, event_record, event_value
from handlers.record import CommandRecord, OutcomeKind, OutcomeRecord

BODY: dict[str, Any] = {
    "projectCount": 1,
    "invoiceCount": 12.5,
    "zeta": None,
    "ceoName": "Ö",
    "tags": [{"name": "VIP", "id": "00000000-0000-4000-8000-000000000051", "color": "red"}],
    **dict.fromkeys(["contact", "countryCode", "vatNumber", "zip", "state", "city", "addressLine2", "country"]),
    "addressLine1": "",
    "website": 'https://"quoted".test/\u2028',
    "phone": None,
    "note": "Zürich 🙂\n",
    "token": "signed",
    "createdAt": "2026-11-23 12:35:36.39042+01",
    "email": "billing@acme.test",
    "name": "Åcme",
    "id": CUSTOMER,
}
ANSWER = Customer.parse(json.dumps(BODY).encode())
COMMAND = decode(record(plain(), BINARY_HEADERS))
PLAIN_COMMAND = decode(record(plain()))


def headers_of(event: OutcomeRecord) -> dict[str, str]:
    """The headers by name, which occur once each."""
    assert len(dict(event.headers)) == len(event.headers)
    return {name: (value or b"").decode() for name, value in event.headers}


def test_an_event_is_these_bytes() -> None:
    """A change here is a change for every subscriber."""
    event = event_record(COMMAND, ANSWER, EventFormat(source="//customer-sync"))

    assert event == OutcomeRecord(
        OutcomeKind.EVENT,
        CUSTOMER.encode(),
        (
            '{"id":"3f0c1d52-7a1e-4c55-9d0a-6b1f2a7c9e10","name":"Åcme","email":"billing@acme.test","phone":null,'
            '"website":"https://\\"quoted\\".test/\u2028","created_at":"2026-11-23T11:35:36.390Z","country":null,'
            '"address_line1":"","address_line2":null,"city":null,"state":null,"zip":null,"note":"Zürich 🙂\\n",'
            '"vat_number":null,"country_code":null,"token":"signed","contact":null,"invoice_count":12.5,'
            '"project_count":1,"tags":[{"id":"00000000-0000-4000-8000-000000000051","name":"VIP"}]}'
        ).encode(),
        (
            ("ce_specversion", b"1.0"),
            ("ce_type", b"customer.updated"),
            ("ce_source", b"//customer-sync"),
            ("ce_id", b"5276f4ca-b442-519f-8f1d-5c9df0f310e5"),
            ("ce_subject", CUSTOMER.encode()),
            ("ce_time", b"2026-11-23T11:35:36.390Z"),
            ("ce_causationid", b"order-17"),
            ("ce_correlationid", b"case-9"),
            ("content-type", b"application/json"),
            ("traceparent", TRACEPARENT.encode()),
        ),
    )


def test_correlation_and_trace_are_there_only_where_the_command_had_them() -> None:
    """An invented trace would lead nowhere."""
    headers = headers_of(event_record(PLAIN_COMMAND, ANSWER, EventFormat()))

    assert list(headers) == [
        *("ce_specversion", "ce_type", "ce_source", "ce_id", "ce_subject", "ce_time", "ce_causationid", "content-type")
    ]
    assert headers["ce_causationid"] == "customer.update:3:42"


def test_extra_fields_come_last_sorted_and_only_on_request() -> None:
    """They may be personal or financial data that no subscriber asked for."""
    dropped = json.loads(event_value(ANSWER, EventFormat()))
    kept = json.loads(event_value(ANSWER, EventFormat(keep_extra_fields=True)))
    camel = json.loads(event_value(ANSWER, EventFormat(field_case="camel", keep_extra_fields=True)))

    assert len(dropped) == 20
    assert list(kept) == [*dropped, "ceo_name", "zeta"]
    assert list(camel)[20:] == ["ceoName", "zeta"]
    assert camel["createdAt"] == "2026-11-23T11:35:36.390Z"
    assert "addressLine1" in camel


def test_a_value_made_once_serves_every_command_of_a_fold() -> None:
    """Each command has its own event; the payload is one object in memory."""
    value = event_value(ANSWER, EventFormat())
    events = [event_record(command, ANSWER, EventFormat(), value=value) for command in (COMMAND, PLAIN_COMMAND)]

    assert events[0].value is events[1].value is value
    assert headers_of(events[0])["ce_id"] != headers_of(events[1])["ce_id"]


def test_the_official_sdk_reads_an_event() -> None:
    """Subscribers need nothing of ours."""
    event = event_record(COMMAND, ANSWER, EventFormat())
    message = sdk.KafkaMessage({name: value or b"" for name, value in event.headers}, event.key, event.value or b"")

    read = sdk.from_binary(message, JSONFormat())
    assert (read.get_type(), read.get_subject(), read.get_source()) == ("customer.updated", CUSTOMER, "customer-sync")
    assert read.get_extension("causationid") == "order-17"
    assert UpdateCustomerResponse.model_validate(read.get_data()).name == "Åcme"


def test_the_id_is_the_same_however_often_the_work_is_repeated() -> None:
    """Also when the copy of the command lies elsewhere and the answer is another: subscribers deduplicate by it."""
    copy = decode(CommandRecord("customer.update", 7, 99, 0, COMMAND.record.key, COMMAND.record.value, BINARY_HEADERS))

    assert event_id(copy) == event_id(COMMAND) == "5276f4ca-b442-519f-8f1d-5c9df0f310e5"


def test_every_source_id_and_replay_has_an_event_id_of_its_own() -> None:
    """Also where running the parts together would give the same text."""
    commands = [
        replace(COMMAND, source=source, id=command_id, replay=replay)
        for source, command_id, replay in [
            (None, "a", 0),
            ("a", "b", 0),
            ("ab", "", 0),
            ("a", "b:0", 0),
            ("a", "b", 1),
            ("a", "b#1", 0),
            ("a:b", "c", 0),
            ("a", "b:c", 0),
        ]
    ]

    assert all(event_id(one) != event_id(other) for one, other in combinations(commands, 2))


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_timestamp_of_a_record_gives_a_time(timestamp_ms: int) -> None:
    """-1 stands for none; what lies before 1970 is none either."""
    command = replace(COMMAND, record=replace(COMMAND.record, timestamp_ms=timestamp_ms))
    time = headers_of(event_record(command, ANSWER, EventFormat()))["ce_time"]

    assert len(time) == len("2024-05-01T12:34:56.789Z")
    assert timestamp_ms > 0 or time == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("command", [COMMAND, PLAIN_COMMAND], ids=["CloudEvents", "plain"])
def test_building_an_event_twice_gives_the_same_bytes(command: Command) -> None:
    """No clock and no chance in it."""
    assert event_record(command, ANSWER, EventFormat()) == event_record(command, ANSWER, EventFormat())

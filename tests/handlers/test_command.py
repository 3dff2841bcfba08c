"""Commands as publishers send them: plain ones, replayed ones, and what holding them costs."""

import gc
import json
import time
import tracemalloc

import pytest

from data.bad_commands import BAD_COMMANDS, BadCommand
from data.command_rows import CUSTOMER, OTHER_TAG, TAG, binary_headers, envelope
from data.good_commands import BINARY_HEADERS, CHANGES, plain, record
from handlers.command import Command, Priority, decode, held_bytes
from handlers.errors import CommandRefused
from handlers.fields import CAMEL, CHANGEABLE_FIELDS, CLEARABLE_FIELDS
from handlers.record import CommandRecord, Headers


def test_a_plain_command_is_known_by_its_place() -> None:
    """Without CloudEvents attributes the id is topic, partition and offset, and nothing else is assumed."""
    sent = record(plain())

    assert decode(sent) == Command(
        id="customer.update:3:42",
        source=None,
        customer_id=CUSTOMER,
        changes=CHANGES,
        priority=Priority.LIVE,
        expires_at_ms=None,
        traceparent=None,
        correlation_id=None,
        replay=0,
        record=sent,
    )


@pytest.mark.parametrize("field", CHANGEABLE_FIELDS)
def test_each_field_is_read_in_both_spellings(field: str) -> None:
    """snake_case as in the contract and camelCase as in the API; inside there is only the first."""
    value: object = {"name": "Acme", "email": "o'Hara+1@X-y.ie", "tags": [{"id": TAG, "name": ""}]}.get(field, "")

    for spelling, customer_id in ((field, "customer_id"), (CAMEL[field], "customerId")):
        command = decode(record({customer_id: CUSTOMER, "changes": {spelling: value}}))

        assert command.changes == {field: value}


@pytest.mark.parametrize("field", CLEARABLE_FIELDS)
def test_null_clears_and_an_empty_text_is_a_text(field: str) -> None:
    """The two are stored apart upstream, so they are kept apart here."""
    assert decode(record(plain({field: None}))).changes == {field: None}
    assert decode(record(plain({field: ""}))).changes == {field: ""}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"note": "n" * 2**20}, id="a note of 1 MiB"),
        pytest.param({"name": "名前 🙂 \u202e \ufffe"}, id="any character of Unicode"),
        pytest.param({"note": "a\r\n\t\u0001b\u2028"}, id="control characters other than U+0000"),
        pytest.param({"tags": []}, id="no tags at all"),
        pytest.param(
            {"tags": [{"id": TAG, "name": "VIP"}, {"id": OTHER_TAG, "name": "VIP"}]}, id="two tags of one name"
        ),
        pytest.param({"email": "BILLING@ACME.TEST"}, id="an e-mail address in upper case"),
        pytest.param({"email": "a@b.co"}, id="a short e-mail address"),
        pytest.param({"email": f"{'a' * 200_000}@{'b.' * 100_000}test"}, id="a very long e-mail address"),
        pytest.param({"name": " Acme "}, id="blanks around a name"),
        pytest.param({"zip": "0150", "country_code": "no", "website": "nonsense"}, id="texts that nobody checks"),
    ],
)
def test_what_the_upstream_takes_is_taken(changes: dict[str, object]) -> None:
    """A rule of our own would refuse what the upstream stores."""
    assert decode(record(plain(changes))).changes == changes
    assert decode(record(json.dumps(plain(changes), ensure_ascii=False).encode())).changes == changes


def test_a_tags_id_is_kept_in_lower_case() -> None:
    """The upstream's database compares UUIDs without case and answers in lower case."""
    command = decode(record(plain({"tags": [{"id": TAG.upper(), "name": "VIP"}]})))

    assert command.changes == {"tags": [{"id": TAG, "name": "VIP"}]}


@pytest.mark.parametrize(
    "customer_id", ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
)
def test_nil_and_max_are_uuids(customer_id: str) -> None:
    """RFC 9562 sections 5.9 and 5.10; whether such a customer exists is for the upstream to say."""
    sent = record({"customer_id": customer_id, "changes": CHANGES}, key=customer_id.encode())

    assert decode(sent).customer_id == customer_id


class TestReplays:
    """A dead letter that was put back."""

    replayed = (("dlq-command-id", b"order-17"), ("dlq-replay", b"2"))

    def test_a_replay_is_bulk_does_not_expire_and_has_an_id_of_its_own(self) -> None:
        """Its bytes are those of the first time, so what they say about urgency is out of date."""
        headers = (*binary_headers("order-17", priority=b"live", expirytime=b"2020-01-01T00:00:00Z"), *self.replayed)
        command = decode(record(plain(), headers))

        assert (command.identity, command.replay) == (("/crm", "order-17#2"), 2)
        assert (command.priority, command.expires_at_ms) == (Priority.BULK, None)

    def test_replays_of_one_dead_letter_are_one_command_without_cloudevents_too(self) -> None:
        """A replay that was interrupted and repeated happens once, wherever its copies are."""
        headers = (("dlq-command-id", b"customer.update:0:7"), ("dlq-replay", b"1"))
        sent = record(plain())
        copies = [CommandRecord("customer.update", 3, at, 0, sent.key, sent.value, headers) for at in (50, 60)]

        identities = [decode(copy).identity for copy in copies]

        assert identities == [(None, "customer.update:0:7#1")] * 2

    def test_a_malformed_expirytime_does_not_matter_any_more(self) -> None:
        """Nobody could correct it: a replay has the original bytes."""
        headers = (*binary_headers("order-17", expirytime=b"tomorrow"), *self.replayed)

        assert decode(record(plain(), headers)).expires_at_ms is None
        assert decode(record(envelope("order-17", data=plain(), expirytime=5), self.replayed)).expires_at_ms is None

    def test_a_refused_replay_says_which(self) -> None:
        """The dead letter of a replay belongs to the replay, not to the first time."""
        with pytest.raises(CommandRefused) as refused:
            decode(record(plain({}), (*binary_headers("order-17"), *self.replayed)))

        assert (refused.value.identity, refused.value.replay) == (("/crm", "order-17#2"), 2)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"email": "billing@acme.test"}, id="one field"),
        pytest.param({"note": "n" * 5_000, "name": "Acme"}, id="a long note"),
        pytest.param({"note": "é🙂" * 2_000}, id="a long note with characters of four bytes"),
        pytest.param(
            {"tags": [{"id": f"{n:08x}-0b3d-4f5e-9c7a-1b2c3d4e5f60", "name": "VIP"} for n in range(50)]}, id="tags"
        ),
        pytest.param(dict.fromkeys(CLEARABLE_FIELDS, "some text"), id="many fields"),
    ],
)
@pytest.mark.parametrize("headers", [(), BINARY_HEADERS], ids=["plain", "CloudEvents"])
def test_held_bytes_is_near_what_python_holds(changes: dict[str, object], headers: Headers) -> None:
    """Reading ahead is bounded by this estimate, so it must not be far below the truth."""
    value = json.dumps(plain(changes)).encode()

    def fresh(offset: int) -> Command:
        # As Kafka's client would: every name, key and value an object of its own.
        copies = tuple((bytes(name, "utf-8").decode(), bytes(bytearray(content or b""))) for name, content in headers)
        key = bytes(bytearray(CUSTOMER.encode()))
        copy = bytes(bytearray(value))
        return decode(CommandRecord("customer.update", 3, 10_000 + offset, 1_795_433_736_390, key, copy, copies))

    one = fresh(0)
    gc.collect()  # empties Python's free lists: what is taken from them would not be counted
    tracemalloc.start()
    try:
        held = [fresh(offset) for offset in range(200)]
        truth = tracemalloc.get_traced_memory()[0] / len(held)
    finally:
        tracemalloc.stop()

    assert 0.9 <= held_bytes(one) / truth <= 1.25


def test_very_many_mistakes_in_one_command_do_not_stall_the_others() -> None:
    """A megabyte of unknown fields gets a hundred hints and not one more: within a second."""
    sent = record(plain({f"ab{'cd' * 12}{number}": "x" for number in range(30_000)}))

    began = time.process_time()
    with pytest.raises(CommandRefused):
        decode(sent)

    assert time.process_time() - began < 1


@pytest.mark.parametrize("row", BAD_COMMANDS, ids=lambda row: row.id)
def test_no_bad_command_stalls_the_others(row: BadCommand) -> None:
    """All partitions share one loop: the costliest row of the table takes less than 0.2 s of it."""
    sent = CommandRecord("customer.update", 3, 42, 0, row.key, row.value, row.headers)

    began = time.process_time()
    with pytest.raises(CommandRefused):
        decode(sent)

    assert time.process_time() - began < 0.2

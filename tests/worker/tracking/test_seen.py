"""Records that are about a sought command are told from a million others by a glance at their bytes."""

import json

import pytest

from handlers.record import CommandRecord, Headers
from worker.tracking.seen import Family, Place, changes_in, read_command, read_death

CUSTOMER = "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"
BODY = {"customer_id": CUSTOMER, "changes": {"city": "Ghent"}}


def a_record(value: object, headers: Headers = ()) -> CommandRecord:
    """A record of the customer's."""
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return CommandRecord("customer.update", 0, 7, 1_000, CUSTOMER.encode(), content, headers)


def binary(command_id: str) -> Headers:
    """CloudEvents headers."""
    said = {"specversion": "1.0", "id": command_id, "source": "/crm", "type": "customer.update"}
    return tuple((f"ce_{name}", value.encode()) for name, value in said.items())


def envelope(command_id: str) -> dict[str, object]:
    """CloudEvents in structured mode."""
    return {"specversion": "1.0", "id": command_id, "source": "/crm", "type": "customer.update", "data": BODY}


IDS = ["crm-1", 'with "quotes" and \\', "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "a/b", "1", "crm-1#2"]


class TestFamilies:
    """A command and its replays."""

    @pytest.mark.parametrize("command_id", IDS)
    @pytest.mark.parametrize("mode", ["binary", "structured", "structured, escaped throughout"])
    def test_glance_misses_no_command(self, command_id: str, mode: str) -> None:
        """Whatever its publisher's JSON encoder escapes."""
        record = a_record(BODY, binary(command_id)) if mode == "binary" else a_record(envelope(command_id))
        if mode.endswith("throughout"):
            escaped = "".join(f"\\u{ord(character):04x}" for character in command_id)
            record = a_record(json.dumps(envelope("ID")).replace("ID", escaped).encode())

        assert read_command(record).id == command_id
        assert Family(command_id).may_be_in(record.headers, record.value)

    def test_replays_belong_to_their_command(self) -> None:
        """Asked for by the id of any of them."""
        replay = a_record(BODY, (*binary("crm-1"), ("dlq-command-id", b"crm-1"), ("dlq-replay", b"2")))
        event: Headers = (("ce_id", b"0"), ("ce_causationid", b"crm-1#2"))

        for asked in ("crm-1", "crm-1#1", "crm-1#2"):
            assert read_command(replay).id in Family(asked)
            assert Family(asked).may_be_in(replay.headers, None)
            assert Family(asked).may_be_in(event, None)

    def test_others_do_not(self) -> None:
        """An id is no prefix."""
        record = a_record(BODY, binary("crm-12"))

        assert "crm-12" not in Family("crm-1")
        assert not Family("crm-1").may_be_in(record.headers, record.value)


class TestReading:
    """What records say, and what they leave out."""

    def test_fields_of_a_bad_command_are_those_that_the_contract_knows(self) -> None:
        """Another name may be a personal value."""
        bad = a_record({"customer_id": CUSTOMER, "changes": {"vatNumber": 1, "anna@home.example": 1}})

        assert read_command(bad).fields == ("vat_number",)
        assert changes_in(bad.value) == {"vat_number": 1}

    @pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff", b'{"data": 1}', b'{"changes": []}', b"[" * 100_000])
    def test_value_that_is_no_command_has_no_fields(self, value: bytes) -> None:
        """Whatever it is."""
        assert read_command(a_record(value)).fields == ()

    def test_record_of_another_program_is_no_dead_letter(self) -> None:
        """Headers may be missing, or be no numbers."""
        assert read_death(a_record(BODY, (("dlq-offset", b"x"), ("dlq-status", b""), ("dlq-reason", None)))) is None

    def test_dead_letter_of_a_replay_carries_its_number(self) -> None:
        """The command's id stays what the number counts from."""
        said = {
            "reason": "invalid",
            "command-id": "crm-1",
            "replay": "2",
            "topic": "customer.update",
            "partition": "3",
            "offset": "9",
        }
        death = read_death(a_record(BODY, tuple((f"dlq-{name}", text.encode()) for name, text in said.items())))

        assert death is not None
        assert (death.id, death.died) == ("crm-1#2", Place("customer.update", 3, 9))

"""`watch`: outcomes as subscribers see them, and no personal data unless it is asked for."""

import json

import pytest
from aiokafka import AIOKafkaProducer

from harness.command_line import CommandLine
from harness.topics import Message, Topics

CUSTOMER = "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"
OTHER = "00000000-0000-4000-8000-000000000001"
EMAIL = "planted@home.example"
TO_THE_END = ("watch", "--from-beginning", "--no-follow")

EVENT = Message(CUSTOMER, {"id": CUSTOMER, "email": EMAIL}, [("ce_causationid", b"c-1")], timestamp_ms=1_000)
DEAD_LETTER = Message(
    CUSTOMER,
    {"customer_id": CUSTOMER, "changes": {"vatNumber": EMAIL, "name": EMAIL, EMAIL: 1}},
    [("dlq-command-id", b"c-2"), ("dlq-reason", b"invalid"), ("dlq-error", b"$.changes: nobody knows this field")],
    timestamp_ms=2_000,
)


@pytest.fixture
async def watched(on_topics: CommandLine, topics: Topics) -> CommandLine:
    """The command line on topics that hold an event and a dead letter."""
    await topics.publish([EVENT], topic=topics.events)
    await topics.publish([DEAD_LETTER], topic=topics.dead_letter)
    return on_topics


async def test_outcomes_are_listed_by_time_without_personal_data(watched: CommandLine) -> None:
    """Ids, reasons, errors and the names of known fields: enough to act, fit for a shared screen."""
    finished = await watched.along(*TO_THE_END)

    assert finished.exit_code == 0, finished.errors
    assert [line.split()[1:] for line in finished.output.splitlines() if "1970" in line] == [
        ["event", CUSTOMER, "command", "c-1"],
        ["dead", "letter", CUSTOMER, "command", "c-2"],
    ]
    assert "invalid: $.changes: nobody knows this field" in finished.output
    assert "fields: name, vat_number" in finished.output
    assert EMAIL not in finished.output


async def test_payloads_are_shown_when_asked_for(watched: CommandLine) -> None:
    """--reveal is the decision of whoever types it."""
    finished = await watched.along(*TO_THE_END, "--reveal")

    assert finished.output.count(EMAIL) == 4


async def test_json_holds_all_of_an_outcome(watched: CommandLine) -> None:
    """An object a line, for jq."""
    finished = await watched.along(*TO_THE_END, "--json")

    event, dead_letter = (json.loads(line) for line in finished.output.splitlines())
    assert (event["outcome"], event["command_id"], event["value"]) == ("event", "c-1", EVENT.value)
    assert (dead_letter["outcome"], dead_letter["reason"]) == ("dead_letter", "invalid")
    assert dead_letter["value"] == DEAD_LETTER.value
    assert dead_letter["time"] == "1970-01-01T00:00:02Z"


async def test_only_one_customer_if_one_is_named(watched: CommandLine, topics: Topics) -> None:
    """Among a million outcomes."""
    await topics.publish([Message(OTHER, {}, [("ce_causationid", b"c-3")])], topic=topics.events)

    finished = await watched.along(*TO_THE_END, "--customer", OTHER, "--json")

    assert [json.loads(line)["command_id"] for line in finished.output.splitlines()] == ["c-3"]


async def test_count_ends_it(watched: CommandLine) -> None:
    """For scripts that wait for the next outcome."""
    finished = await watched.along("watch", "--from-beginning", "--count", "1")

    assert finished.exit_code == 0
    assert finished.output.count("1970") == 1


async def test_end_of_empty_topics_is_reached(on_topics: CommandLine) -> None:
    """Nothing to show is no reason to wait."""
    finished = await on_topics.along(*TO_THE_END)

    assert (finished.exit_code, finished.output) == (0, "")


async def test_value_that_is_no_json_is_carried_whole(on_topics: CommandLine, topics: Topics) -> None:
    """Dead letters hold whatever a publisher sent: text, bytes, nothing."""
    values = [b"{", b"\xff", None, b"null", b""]
    messages = [
        Message(CUSTOMER, value, [("dlq-command-id", b"%d" % number)], timestamp_ms=number)
        for number, value in enumerate(values)
    ]
    await topics.publish(messages, topic=topics.dead_letter)

    finished = await on_topics.along(*TO_THE_END, "--json")

    documents = [json.loads(line) for line in finished.output.splitlines()]
    assert [(one.get("value", "-"), one.get("text"), one.get("base64")) for one in documents] == [
        ("-", "{", None),
        ("-", None, "/w=="),
        (None, None, None),
        ("-", "null", None),
        ("-", "", None),
    ]


async def test_text_of_others_cannot_move_the_cursor(on_topics: CommandLine, topics: Topics) -> None:
    """Keys, ids and errors are chosen by publishers: a terminal must not obey them."""
    evil = b"\x1b[2J\x07\xe2\x80\xae"
    headers = [("dlq-command-id", evil), ("dlq-reason", evil), ("dlq-error", evil)]
    await topics.publish([Message(evil, evil, headers)], topic=topics.dead_letter)

    finished = await on_topics.along(*TO_THE_END, "--reveal")

    assert finished.exit_code == 0, finished.errors
    assert not {"\x1b", "\x07", "\u202e"} & set(finished.output)


@pytest.mark.real_kafka
async def test_what_is_not_committed_is_not_shown(watched: CommandLine, topics: Topics) -> None:
    """An aborted transaction never happened, and the end is found behind its marker."""
    async with AIOKafkaProducer(
        bootstrap_servers=topics.bootstrap_servers, transactional_id=f"{topics.group_id}.test"
    ) as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topics.events, b"{}", key=CUSTOMER.encode())
        await producer.abort_transaction()

    finished = await watched.along(*TO_THE_END, "--json")

    assert [json.loads(line)["command_id"] for line in finished.output.splitlines()] == ["c-1", "c-2"]

"""`trace`: what became of a command, told from the topics alone, against real workers."""

import json
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from handlers.replay import Place
from harness.command_line import CommandLine, Finished
from harness.commands import cloud_event, command
from harness.desk_letters import publish_decisions
from harness.follower import follow
from harness.settling import CUSTOMERS, failing, new_customer, only_outcomes, settle, status
from harness.stage import Stage
from harness.topics import Message, Outcome, Topics
from harness.upstream_process import UpstreamProcess
from worker.desk.decisions import Action, Decision
from worker.progress import Progress, Tried, encode

PLANTED = "planted@home.example"


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def _worker(stage: Stage) -> None:
    await stage.upstream.control(generate_customers=CUSTOMERS)
    await stage.start_ready_worker()


@pytest.fixture
def on_stage(customer_sync: CommandLine, stage: Stage, worker_environment: dict[str, str]) -> CommandLine:
    """The command line, pointed at the topics of the stage."""
    customer_sync.give(**stage.topics.environment(), **worker_environment)
    return customer_sync


async def settle_named(stage: Stage, name: str, message: Message) -> Outcome:
    """Publishes a command that has an id of its own, and returns its outcome."""
    async with follow(stage.topics) as follower:
        await stage.topics.publish([message])
        (outcome,) = await only_outcomes(follower, [name])
    return outcome


async def traced(command_line: CommandLine, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON."""
    finished = await command_line.along("trace", *arguments, "--json")
    assert finished.output, finished.errors
    return finished.exit_code, json.loads(finished.output)


class TestApplied:
    """The command has its event."""

    async def test_by_its_id(self, on_stage: CommandLine, stage: Stage) -> None:
        """Where and when, how long it took, and nothing that is personal."""
        customer = new_customer()
        event = await settle_named(
            stage, "applied-1", command(customer, cloud_event("applied-1", source="/crm"), email=PLANTED)
        )

        code, found = await traced(on_stage, "applied-1")
        finished = await on_stage.along("trace", "applied-1")

        (story,) = found["stories"]
        assert (code, found["found"], story["fate"]) == (0, "command", "applied")
        assert (story["event"]["partition"], story["event"]["offset"]) == (event.partition, event.offset)
        assert (story["command"]["source"], story["command"]["customer_id"]) == ("/crm", customer)
        assert story["command"]["fields"] == ["email"]
        assert story["took_ms"] >= 0
        assert finished.exit_code == 0
        assert f"event in {stage.topics.events}, partition {event.partition}, offset {event.offset}" in finished.output
        assert PLANTED not in json.dumps(found) + finished.output + finished.errors

    async def test_by_its_place(self, on_stage: CommandLine, stage: Stage) -> None:
        """Coordinates of the command's record, of its event, or the plain id that they are."""
        (event,) = await settle(stage, command(new_customer(), city="Ghent"))

        _, by_record = await traced(on_stage, event.command_id)
        _, by_event = await traced(on_stage, f"{event.topic}:{event.partition}:{event.offset}")

        assert by_record["stories"] == by_event["stories"]
        assert by_record["stories"][0]["command"]["id"] == event.command_id

    async def test_values_are_shown_when_they_are_asked_for(self, on_stage: CommandLine, stage: Stage) -> None:
        """--reveal is the decision of whoever types it."""
        (event,) = await settle(stage, command(new_customer(), note=PLANTED))

        _, found = await traced(on_stage, event.command_id, "--reveal")
        finished = await on_stage.along("trace", event.command_id, "--reveal")

        assert found["stories"][0]["command"]["changes"] == {"note": PLANTED}
        assert found["stories"][0]["payload"]["note"] == PLANTED
        assert finished.output.count(PLANTED) == 2

    async def test_id_that_json_writes_otherwise_is_found(self, on_stage: CommandLine, stage: Stage) -> None:
        """A structured envelope, with an escaped character in its id."""
        customer = new_customer()
        envelope = (
            '{"specversion": "1.0", "type": "customer.update", "source": "/crm", "id": "caf\\u00e9-1", "data": '
            f'{{"customer_id": "{customer}", "changes": {{"city": "Ghent"}}}}}}'
        )
        name = "caf\N{LATIN SMALL LETTER E WITH ACUTE}-1"
        headers = [("content-type", b"application/cloudevents+json")]
        await settle_named(stage, name, Message(customer, envelope.encode(), headers))

        code, found = await traced(on_stage, name)

        assert (code, found["stories"][0]["fate"]) == (0, "applied")


class TestDead:
    """The command has its dead letter."""

    async def test_with_its_reason(self, on_stage: CommandLine, stage: Stage) -> None:
        """What the dead letter says, and no value of the command."""
        message = Message(new_customer(), {"changes": {PLANTED: 1, "email": PLANTED}}, cloud_event("dead-1"))
        letter = await settle_named(stage, "dead-1", message)

        code, found = await traced(on_stage, "dead-1")
        finished = await on_stage.along("trace", "dead-1")

        (story,) = found["stories"]
        assert (code, story["fate"], story["dead_letter"]["reason"]) == (1, "dead_letter", "invalid")
        assert (story["dead_letter"]["partition"], story["dead_letter"]["offset"]) == (letter.partition, letter.offset)
        assert story["command"]["fields"] == ["email"]
        assert letter.headers["dlq-error"] in finished.output
        assert PLANTED not in json.dumps(found) + finished.output + finished.errors

    async def test_with_what_became_of_its_replay(self, on_stage: CommandLine, stage: Stage) -> None:
        """By the command's id, by the replay's, and by the dead letter's place; the replay's fate counts."""
        stranger = new_customer()
        await stage.upstream.control(faults=[failing(stranger, status(404))])
        message = command(stranger, cloud_event("replayed-1"), city="Ghent")
        letter = await settle_named(stage, "replayed-1", message)
        await stage.upstream.control(faults=[])
        replay = Message(
            stranger, message.value, [*message.headers, ("dlq-command-id", b"replayed-1"), ("dlq-replay", b"1")]
        )
        await settle_named(stage, "replayed-1#1", replay)

        answers = [
            await traced(on_stage, asked)
            for asked in ("replayed-1", "replayed-1#1", f"{letter.topic}:{letter.partition}:{letter.offset}")
        ]
        by_record = await traced(
            on_stage, f"{stage.topics.commands}:{letter.headers['dlq-partition']}:{letter.headers['dlq-offset']}"
        )

        for code, found in [*answers, by_record]:
            assert code == 0
            assert [(one["command"]["id"], one["fate"]) for one in found["stories"]] == [
                ("replayed-1", "dead_letter"),
                ("replayed-1#1", "applied"),
            ]

    async def test_with_what_the_desk_has_decided(self, on_stage: CommandLine, stage: Stage) -> None:
        """Given up by whom, when and why."""
        letter = await settle_named(stage, "discarded-1", Message(new_customer(), b"{", cloud_event("discarded-1")))
        died = Place(
            *(letter.headers["dlq-topic"], int(letter.headers["dlq-partition"])),
            *(int(letter.headers["dlq-offset"]), int(letter.headers["dlq-timestamp"])),
        )
        decision = Decision(died, died, Action.DISCARDED, "discarded-1", 1_000, "anna@desk", note="sent in error")
        await publish_decisions(stage.topics, [decision])

        code, found = await traced(on_stage, "discarded-1")
        finished = await on_stage.along("trace", "discarded-1")

        assert (code, found["stories"][0]["decision"]["action"]) == (1, "discarded")
        assert "discarded by anna@desk, 1970-01-01T00:00:01.000Z: sent in error" in finished.output

    async def test_record_without_a_key(self, on_stage: CommandLine, stage: Stage) -> None:
        """Nothing about it can be read, and it has a place all the same."""
        (letter,) = await settle(stage, Message(None, b"no JSON", partition=0))

        code, found = await traced(on_stage, letter.command_id)

        assert (code, found["stories"][0]["dead_letter"]["reason"]) == (1, "undecodable")


class TestCopies:
    """The same command, published twice."""

    async def test_copy_was_settled_with_the_first(self, on_stage: CommandLine, stage: Stage) -> None:
        """By the id both are told, by its place the copy alone."""
        customer = new_customer()
        copies = [command(customer, cloud_event("copied-1"), city="Ghent")] * 2
        first, second = await stage.topics.publish(copies)
        await settle(stage, command(customer, city="Bruges"))

        _, by_id = await traced(on_stage, "copied-1")
        code, by_place = await traced(on_stage, second)
        finished = await on_stage.along("trace", second)

        assert [one["fate"] for one in by_id["stories"]] == ["applied", "repeated"]
        assert code == 0
        (story,) = by_place["stories"]
        original = story["original"]
        assert f"{original['topic']}:{original['partition']}:{original['offset']}" == first
        assert "a copy of" in finished.output


class TestCustomers:
    """By the customer's id: the latest commands."""

    async def test_latest_commands_with_their_outcomes(self, on_stage: CommandLine, stage: Stage) -> None:
        """The oldest first, and a word about those that are left out; no value."""
        customer = new_customer()
        for number in range(3):
            name = f"{customer}-{number}"
            await settle_named(stage, name, command(customer, cloud_event(name), note=f"{PLANTED} {number}"))
        await settle_named(stage, f"{customer}-3", Message(customer, b"{", cloud_event(f"{customer}-3")))

        code, found = await traced(on_stage, customer, "--last", "3")
        finished = await on_stage.along("trace", customer, "--last", "3")
        revealed = await on_stage.along("trace", customer, "--reveal")

        assert (code, found["found"], found["left_out"]) == (0, "customer", 1)
        assert [(one["command"]["id"][-1], one["fate"]) for one in found["stories"]] == [
            ("1", "applied"),
            ("2", "applied"),
            ("3", "dead_letter"),
        ]
        assert finished.output.count("applied") == 2
        assert "1 older commands are left out" in finished.output
        assert PLANTED not in json.dumps(found) + finished.output + finished.errors
        assert revealed.output.count(PLANTED) == 3


class TestNothing:
    """There is nothing to tell."""

    async def test_never_seen(self, on_stage: CommandLine) -> None:
        """An exit code of its own, and where it was looked for."""
        finished = await on_stage.along("trace", "nobody-published-this")

        assert (finished.exit_code, finished.output) == (5, "")
        assert "nobody-published-this is no command, place or customer on" in finished.errors

    async def test_not_within_the_bounds(self, on_stage: CommandLine, stage: Stage) -> None:
        """Neither the command nor its outcome lies in them."""
        await settle_named(stage, "bounded-1", command(new_customer(), cloud_event("bounded-1"), city="Ghent"))

        within, _ = await traced(on_stage, "bounded-1", "--since", "1h")
        after, _ = await traced(on_stage, "bounded-1", "--since", "2999-01-01T00:00:00Z")

        assert (within, after) == (0, 5)

    async def test_of_a_command_out_of_bounds_its_outcome_is_told(self, on_stage: CommandLine, stage: Stage) -> None:
        """As of one that retention has deleted."""
        await settle_named(stage, "bounded-2", command(new_customer(), cloud_event("bounded-2"), city="Ghent"))

        code, found = await traced(on_stage, "bounded-2", "--from-offset", "1000000")
        finished = await on_stage.along("trace", "bounded-2", "--from-offset", "1000000")

        assert (code, found["stories"][0]["fate"], found["stories"][0].get("command")) == (0, "applied", None)
        assert "no longer on the command topic, or out of the bounds given" in finished.output

    @pytest.mark.parametrize("option", [("--since", "yesterday"), ("--from-offset", "x:1"), ("--last", "0")])
    def test_bounds_that_cannot_be_read_are_a_usage_error(
        self, customer_sync: CommandLine, option: tuple[str, str]
    ) -> None:
        """Before anything is read."""
        assert customer_sync("trace", "x", *option).exit_code == 2

    def test_without_kafka(self, customer_sync: CommandLine) -> None:
        """Its own exit code, as everywhere."""
        customer_sync.give(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

        finished = customer_sync("trace", "x")

        assert finished.exit_code == 3
        assert "127.0.0.1:1" in finished.errors


async def commit(topics: Topics, partition: int, offset: int, progress: Progress) -> None:
    """Commits for the test's group, as a worker does."""
    place = TopicPartition(topics.commands, partition)
    async with AIOKafkaConsumer(
        bootstrap_servers=topics.bootstrap_servers, group_id=topics.group_id, enable_auto_commit=False
    ) as consumer:
        consumer.assign([place])
        await consumer.commit({place: OffsetAndMetadata(offset, encode(progress))})


class TestWaiting:
    """The command is not settled."""

    async def test_where_no_worker_has_been(self, on_topics: CommandLine, topics: Topics) -> None:
        """Nothing is known of it but its place."""
        await topics.publish([command(new_customer(), cloud_event("waiting-1"), email=PLANTED)])

        code, found = await traced(on_topics, "waiting-1")
        finished = await on_topics.along("trace", "waiting-1")

        assert (code, found["stories"][0]["fate"]) == (4, "waiting")
        assert found["stories"][0]["waiting"]["committed"] is None
        assert "has a worker run?" in finished.output
        assert PLANTED not in json.dumps(found) + finished.output + finished.errors

    @pytest.mark.real_kafka
    async def test_behind_others(self, on_topics: CommandLine, topics: Topics) -> None:
        """How many wait before it, how many of its customer, and what has failed for that one."""
        customer, other = new_customer(), new_customer()
        owners = [other, customer, other, customer, customer, other]
        places = await topics.publish([command(owner, partition=0, note=str(n)) for n, owner in enumerate(owners)])
        # Offsets 0 and 2 are settled; two attempts for the customer of offset 1 have failed.
        await commit(topics, 0, 1, Progress(0b10010, 5000, ((0, Tried(attempts=2, elapsed_seconds=3.5)),)))

        code, found = await traced(on_topics, places[4])
        finished = await on_topics.along("trace", places[4])

        assert code == 4
        assert found["stories"][0]["waiting"] == {
            "committed": 1,
            "before": 2,
            "of_customer_before": 2,
            "may_be_under_way": True,
            "overtaken_by": 1,
            "failed_attempts": 2,
            "failing_for_seconds": 3.5,
            "copy_of": None,
        }
        assert "2 commands before it in its partition, 2 of them of the same customer" in finished.output
        assert "2 attempts for its customer failed in 3.5 s" in finished.output


@pytest.mark.real_kafka
async def test_commands_that_were_applied_together_are_named(
    customer_sync: CommandLine,
    topics: Topics,
    upstream: UpstreamProcess,
    start_worker: Any,  # noqa: ANN401 -- a fixture
) -> None:
    """They wait for a worker, and it applies them by one GET and one PATCH."""
    await upstream.control(generate_customers=CUSTOMERS)
    customer, other = new_customer(), new_customer()
    await topics.publish(
        [
            command(customer, cloud_event("folded-1"), city="Ghent"),
            command(other, cloud_event("folded-other"), city="Ghent"),
            command(customer, cloud_event("folded-2"), phone="1"),
            command(customer, cloud_event("folded-3"), phone="2"),
        ]
    )
    worker = start_worker()
    await worker.wait_ready()
    await topics.read_outcomes(4)
    customer_sync.give(**topics.environment())

    _, found = await traced(customer_sync, "folded-2")
    finished: Finished = await customer_sync.along("trace", "folded-2")

    (story,) = found["stories"]
    assert (story["folded_with"], story["perhaps_folded_with"]) == (["folded-1", "folded-3"], [])
    assert "with folded-1, folded-3" in finished.output

"""`topics create`: topics that lose nothing, made once, never changed."""

import json
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from harness.broker import Broker, unique
from harness.command_line import CommandLine

pytestmark = pytest.mark.real_kafka


@pytest.fixture
def new_names(customer_sync: CommandLine, broker: Broker) -> dict[str, str]:
    """Names of topics that do not exist yet, in effect for the command line."""
    names = {variable: unique("create") for variable in ("COMMANDS_TOPIC", "EVENTS_TOPIC", "DEAD_LETTER_TOPIC")}
    customer_sync.give(KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers, **names)
    return names


def by_name(output: str) -> dict[str, dict[str, Any]]:
    """The topics of a report."""
    return {topic["topic"]: topic for topic in json.loads(output)["topics"]}


def test_topics_are_created_with_what_was_decided(customer_sync: CommandLine, new_names: dict[str, str]) -> None:
    """No compaction; a month for dead letters; room in them for a command and its headers."""
    finished = customer_sync("topics", "create", "--partitions", "2", "--dead-letter-retention", "14d", "--json")

    assert finished.exit_code == 0, finished.errors
    topics = by_name(finished.output)
    assert {topic["state"] for topic in topics.values()} == {"created"}
    desk = topics.pop(f"{new_names['DEAD_LETTER_TOPIC']}.desk")
    assert (desk["partitions"], desk["configs"]["retention.ms"]) == (1, str(21 * 86_400_000))
    assert {topic["partitions"] for topic in topics.values()} == {2}
    dead_letters = topics[new_names["DEAD_LETTER_TOPIC"]]["configs"]
    commands = topics[new_names["COMMANDS_TOPIC"]]["configs"]
    assert commands["cleanup.policy"] == dead_letters["cleanup.policy"] == "delete"
    assert dead_letters["retention.ms"] == str(14 * 86_400_000)
    assert int(dead_letters["max.message.bytes"]) >= int(commands["max.message.bytes"]) + 65_536
    checked = customer_sync("check", "--no-upstream")
    assert checked.exit_code == 0, checked.output


@pytest.mark.usefixtures("new_names")
def test_second_run_changes_nothing_and_finds_nothing_to_say(customer_sync: CommandLine) -> None:
    """An init container may run it at every start."""
    customer_sync("topics", "create")

    finished = customer_sync("topics", "create", "--json")

    assert finished.exit_code == 0
    assert {(topic["state"], *topic["notes"]) for topic in by_name(finished.output).values()} == {("exists",)}


@pytest.mark.usefixtures("new_names")
def test_existing_topics_are_compared_and_left_alone(customer_sync: CommandLine) -> None:
    """Who wants another retention has to change it knowingly."""
    customer_sync("topics", "create", "--partitions", "2")

    finished = customer_sync("topics", "create", "--partitions", "3", "--commands-retention", "forever")

    assert finished.exit_code == 0
    assert finished.output.count("partitions is 2, planned 3") == 3
    assert "retention.ms is 604800000, planned -1" in finished.output
    assert customer_sync("topics", "create", "--partitions", "2").output.count("\n") == 4


async def test_existing_topic_that_loses_data_is_a_failure(
    customer_sync: CommandLine, new_names: dict[str, str], broker: Broker
) -> None:
    """A compacted command topic: whoever runs this in a pipeline has to notice."""
    client = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await client.start()
    compacted = NewTopic(new_names["COMMANDS_TOPIC"], 1, 1, topic_configs={"cleanup.policy": "compact"})
    await client.create_topics([compacted])
    await client.close()

    created = await customer_sync.along("topics", "create")
    checked = await customer_sync.along("check", "--no-upstream")

    assert created.exit_code == checked.exit_code == 1
    assert "LOSES DATA" in created.output
    assert f"failed   topic {new_names['COMMANDS_TOPIC']}: cleanup.policy is compact" in checked.output


def test_dry_run_asks_and_creates_nothing(customer_sync: CommandLine, new_names: dict[str, str]) -> None:
    """The brokers' own answer, without the deed."""
    refused = customer_sync("topics", "create", "--dry-run", "--replication", "99")
    finished = customer_sync("topics", "create", "--dry-run")

    assert refused.exit_code == 1
    assert refused.output.count("refused") == 4
    assert finished.exit_code == 0
    assert finished.output.count("would be created") == 4
    assert customer_sync("check", "--no-upstream").output.count("does not exist") == len(new_names)


@pytest.mark.parametrize("option", ["--commands-retention", "--events-retention", "--dead-letter-retention"])
def test_span_that_is_none_is_a_usage_error(customer_sync: CommandLine, option: str) -> None:
    """Before anything is created."""
    finished = customer_sync("topics", "create", option, "soon")

    assert finished.exit_code == 2
    assert option in finished.errors

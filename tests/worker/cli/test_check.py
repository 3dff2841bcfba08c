"""`check`: a verdict a line, nothing changed anywhere."""

import json
import uuid
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from harness.command_line import CommandLine
from harness.polling import eventually
from harness.topics import Topics
from harness.upstream_process import UpstreamProcess
from worker.cli.check_upstream import clock_verdict
from worker.cli.verdict import Mark
from worker.demo.upstream import NONE_TOKEN, RO_TOKEN

SECRET = "planted-secret-4711"


@pytest.fixture
def everything(on_topics: CommandLine, upstream: UpstreamProcess) -> CommandLine:
    """The command line, pointed at good topics and a good upstream."""
    on_topics.give(**upstream.environment())
    return on_topics


def verdicts(output: str) -> dict[str, list[dict[str, Any]]]:
    """The verdicts of `--json`, by subject."""
    found: dict[str, list[dict[str, Any]]] = {}
    for verdict in json.loads(output)["verdicts"]:
        found.setdefault(verdict["subject"], []).append(verdict)
    return found


def mark_of(output: str, subject: str) -> str:
    """The mark of the one verdict about *subject*."""
    (verdict,) = verdicts(output)[subject]
    return str(verdict["mark"])


@pytest.mark.real_kafka
class TestKafka:
    """Brokers, topics, group, transactions."""

    async def test_all_is_well(self, everything: CommandLine, topics: Topics) -> None:
        """Exit code 0, and not one verdict that failed."""
        await _configure(topics, topics.dead_letter, {"max.message.bytes": "2000000"})

        finished = await everything.along("check", "--json")

        assert finished.exit_code == 0, finished.output
        report = verdicts(finished.output)
        assert {"settings", "kafka", f"topic {topics.commands}", f"group {topics.group_id}", "transactions"} < set(
            report
        )
        assert Mark.FAILED not in {verdict["mark"] for group in report.values() for verdict in group}

    async def test_every_bad_topic_is_found_at_once(self, on_topics: CommandLine, topics: Topics) -> None:
        """Compaction, impossible replicas, a topic that is missing: each with what to do."""
        await _configure(topics, topics.commands, {"cleanup.policy": "compact,delete"})
        await _configure(topics, topics.dead_letter, {"min.insync.replicas": "2", "retention.ms": "-1"})
        on_topics.give(EVENTS_TOPIC=f"{topics.events}.typo")

        finished = await on_topics.along("check", "--no-upstream", "--json")

        assert finished.exit_code == 1
        report = verdicts(finished.output)
        failed = {
            (subject, verdict["text"].split(" is ")[0], verdict["fix"])
            for subject, group in report.items()
            for verdict in group
            if verdict["mark"] == Mark.FAILED
        }
        assert (f"topic {topics.commands}", "cleanup.policy", "set cleanup.policy=delete") in failed
        assert (f"topic {topics.events}.typo", "does not exist", "customer-sync topics create") in failed
        assert (f"topic {topics.dead_letter}", "min.insync.replicas", "set min.insync.replicas=1") in failed

    async def test_transactions_are_not_asked_for_in_vain(self, on_topics: CommandLine) -> None:
        """At least once needs none, so their absence is no fault then."""
        on_topics.give(DELIVERY="at_least_once")

        finished = await on_topics.along("check", "--no-upstream", "--json")

        assert mark_of(finished.output, "transactions") == Mark.SKIPPED


class TestUpstream:
    """Address, token, scopes, limit; in every case nothing is written."""

    @pytest.fixture(autouse=True)
    def _no_kafka(self, customer_sync: CommandLine) -> None:
        customer_sync.give(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

    def point(self, customer_sync: CommandLine, upstream: UpstreamProcess, **variables: str) -> None:
        """Points the command line at the upstream."""
        customer_sync.give(**{**upstream.environment(), **variables})

    async def test_good_token_is_found_good_for_two_requests(
        self, customer_sync: CommandLine, upstream: UpstreamProcess
    ) -> None:
        """One GET and one PATCH with the token, which create and change nothing."""
        self.point(customer_sync, upstream)

        finished = await customer_sync.along("check", "--json")

        assert mark_of(finished.output, "scope customers.read") == Mark.OK
        assert mark_of(finished.output, "scope customers.write") == Mark.OK
        assert mark_of(finished.output, "clock") == Mark.OK
        state = await upstream.state()
        assert state["customers"] == []
        counted = [entry["method"] for entry in state["journal"] if entry["status"] != 401]
        assert counted == ["GET", "PATCH"]

    @pytest.mark.parametrize(
        ("token", "failed"),
        [
            pytest.param(SECRET, {"token"}, id="a token that nobody knows"),
            pytest.param(RO_TOKEN, {"scope customers.write"}, id="a token that may only read"),
            pytest.param(NONE_TOKEN, {"scope customers.read", "scope customers.write"}, id="a token without scopes"),
        ],
    )
    async def test_bad_token_is_told_by_what_it_lacks(
        self, customer_sync: CommandLine, upstream: UpstreamProcess, token: str, failed: set[str]
    ) -> None:
        """The token itself appears nowhere."""
        self.point(customer_sync, upstream, UPSTREAM_TOKEN=token)

        finished = await customer_sync.along("check", "--json")

        assert finished.exit_code == 1
        report = verdicts(finished.output)
        bad = {name for name, group in report.items() if any(verdict["mark"] == Mark.FAILED for verdict in group)}
        assert bad - {"kafka"} == failed
        assert token not in finished.output + finished.errors

    @pytest.mark.parametrize("path", ["/v2", "/customers"])
    async def test_wrong_address_is_not_taken_for_an_unknown_customer(
        self, customer_sync: CommandLine, upstream: UpstreamProcess, path: str
    ) -> None:
        """A GET's 404 alone would look good."""
        self.point(customer_sync, upstream, UPSTREAM_BASE_URL=f"{upstream.url}{path}")

        finished = await customer_sync.along("check", "--json")

        (verdict,) = verdicts(finished.output)["upstream"]
        assert verdict["mark"] == Mark.FAILED
        assert "UPSTREAM_BASE_URL" in verdict["fix"]

    async def test_upstream_that_is_away_is_told(self, customer_sync: CommandLine) -> None:
        """With the address, since that is the first suspect."""
        customer_sync.give(UPSTREAM_BASE_URL="http://127.0.0.1:9", UPSTREAM_TOKEN=SECRET)

        finished = await customer_sync.along("check", "--json")

        (verdict,) = verdicts(finished.output)["upstream"]
        assert verdict["mark"] == Mark.FAILED
        assert "http://127.0.0.1:9 does not answer" in verdict["text"]

    async def test_limit_above_the_upstreams_is_pointed_out(
        self, customer_sync: CommandLine, upstream: UpstreamProcess
    ) -> None:
        """The upstream's figure counts in any case; the setting only misleads."""
        await upstream.control(rate_limit=1000)
        self.point(customer_sync, upstream, UPSTREAM_RATE_LIMIT="5000")

        finished = await customer_sync.along("check", "--json")

        (verdict,) = verdicts(finished.output)["rate limit"]
        assert verdict["mark"] == Mark.WARNING
        assert "998 of 1000 requests left" in verdict["text"]

    async def test_used_up_limit_is_no_verdict_about_the_token(
        self, customer_sync: CommandLine, upstream: UpstreamProcess
    ) -> None:
        """A 429 says nothing about scopes: check again later."""
        await upstream.control(rate_limit=0)
        self.point(customer_sync, upstream)

        finished = await customer_sync.along("check", "--json")

        assert mark_of(finished.output, "scope customers.read") == Mark.WARNING


class TestSettings:
    """Faults of the environment are verdicts like all others."""

    def test_every_fault_is_a_verdict(self, customer_sync: CommandLine) -> None:
        """And the rest waits until they are mended."""
        customer_sync.give(HTTP_PORT="x", UPSTREAM_TOKEN=f"Bearer {SECRET}")

        finished = customer_sync("check", "--json")

        assert finished.exit_code == 1
        report = verdicts(finished.output)
        assert [verdict["text"].split(":")[0] for verdict in report["settings"]] == ["UPSTREAM_TOKEN", "HTTP_PORT"]
        assert SECRET not in finished.output
        assert mark_of(finished.output, "everything else") == Mark.SKIPPED

    def test_lines_are_for_people(self, customer_sync: CommandLine) -> None:
        """Mark, subject, reason; the fix below."""
        customer_sync.give(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", KAFKA_GRUOP_ID="x")

        finished = customer_sync("check", "--no-upstream")

        lines = finished.output.splitlines()
        assert lines[0].startswith("ok       settings: ")
        assert "warning  settings: KAFKA_GRUOP_ID: is not a setting; did you mean KAFKA_GROUP_ID?" in lines
        assert any(line.startswith("failed   kafka: ") for line in lines)


@pytest.mark.parametrize(
    ("seconds_off", "mark"),
    [(0, Mark.OK), (-4, Mark.OK), (30, Mark.WARNING), (-30, Mark.WARNING), (90, Mark.FAILED), (-90, Mark.FAILED)],
)
def test_clock_is_judged_by_the_date_of_an_answer(seconds_off: float, mark: Mark) -> None:
    """`expirytime` is judged by this machine's clock: a minute off is too much."""
    there = 784_111_777  # the example of RFC 9110 section 5.6.7

    assert clock_verdict("Sun, 06 Nov 1994 08:49:37 GMT", there + 0.5 + seconds_off).mark is mark


@pytest.mark.parametrize("date", ["", "yesterday", str(uuid.UUID(int=0))])
def test_clock_is_not_judged_without_a_date(date: str) -> None:
    """A proxy may drop the header."""
    assert clock_verdict(date, 0).mark is Mark.SKIPPED


async def _configure(topics: Topics, topic: str, configs: dict[str, str]) -> None:
    """Changes a topic's configuration; returns when the broker goes by it."""
    client = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap_servers)
    await client.start()
    await client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])

    async def is_in_effect() -> bool:
        (answer,) = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        found = {name: value for name, value, *_ in answer.resources[0][4]}
        return configs.items() <= found.items()

    await eventually(is_in_effect, within_seconds=20, what=f"{configs} in effect")
    await client.close()

"""How the whole group is looked at."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from harness.groups import IDLE, NOW_MS, a_group
from harness.virtual_time import now, run_virtually
from worker.kafka.errors import CommitFailed
from worker.kafka.members import Group
from worker.operations import watcher as watching
from worker.operations.group import GroupView
from worker.operations.replica import Replica
from worker.operations.watcher import FRESH_SECONDS, KAFKA_SECONDS, Watcher


@dataclass
class ScriptedKafka:
    """Tells of one group after another, the last one for ever; or hangs, or fails."""

    groups: list[Group | Exception | None] = field(default_factory=list)
    hangs: bool = False

    def group_reader(self, _topic: str) -> "ScriptedKafka":
        """Itself."""
        return self

    def offsets(self) -> None:
        """Nobody asks: without a consumer there are no partitions."""

    async def group(self) -> Group | None:
        """The next one."""
        if self.hangs:
            await asyncio.Event().wait()
        found = self.groups.pop(0) if len(self.groups) > 1 else self.groups[0]
        if isinstance(found, Exception):
            raise found
        return found


class Scene:
    """A watcher, and how often its own replica was asked."""

    def __init__(self, kafka: ScriptedKafka) -> None:
        self.reports = 0
        self.watcher = Watcher(
            report=self.report,
            kafka=kafka,  # type: ignore[arg-type]  # as much of it as is asked
            consumer=lambda: None,
            address=lambda: "10.0.0.9:80",
            group_id="customer-sync",
            topic="customer.update",
            now=now,
            now_ms=lambda: NOW_MS,
        )

    async def report(self) -> Replica:
        """Its own."""
        self.reports += 1
        await asyncio.sleep(0.1)
        return IDLE


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Replica | str]:
    """What peers say by their addresses; others say nothing."""
    answers: dict[str, Replica | str] = {}

    async def ask(addresses: set[str]) -> dict[str, Replica | str]:
        return {address: answers.get(address, "cannot be reached") for address in addresses}

    monkeypatch.setattr(watching, "ask_peers", ask)
    return answers


def test_everybody_who_looks_at_once_gets_one_look() -> None:
    """And a new one only when that is two seconds old."""

    async def scenario() -> tuple[int, int]:
        scene = Scene(ScriptedKafka([None]))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(scene.watcher.view())
        at_once = scene.reports
        await asyncio.sleep(FRESH_SECONDS)
        await scene.watcher.view()
        return at_once, scene.reports

    assert run_virtually(scenario()) == (1, 2)


@pytest.mark.parametrize("kafka", [ScriptedKafka(hangs=True), ScriptedKafka([CommitFailed("no coordinator")])])
def test_kafka_that_does_not_answer_holds_nobody_up(kafka: ScriptedKafka) -> None:
    """What the replica itself knows is shown, and that Kafka does not answer."""

    async def scenario() -> tuple[GroupView, float]:
        return await Scene(kafka).watcher.view(), now()

    view, took = run_virtually(scenario())

    assert not view.kafka_answers
    assert view.replicas == (IDLE,)
    assert took < KAFKA_SECONDS + 0.5


def test_broker_that_cannot_tell_of_groups_is_no_trouble() -> None:
    """The embedded one: this replica is all there is to be seen."""
    view = run_virtually(Scene(ScriptedKafka([None])).watcher.view())

    assert (view.kafka_answers, view.state, view.silent) == (True, "", ())


def test_peers_are_found_in_the_group_and_itself_is_not_asked(peers: dict[str, Replica | str]) -> None:
    """By the addresses that they have announced."""
    peers["10.0.0.1:80"] = replace(IDLE, worker="sync-1")
    view = run_virtually(Scene(ScriptedKafka([a_group("10.0.0.9:80", "10.0.0.1:80")])).watcher.view())

    assert [replica.worker for replica in view.replicas] == ["sync-0", "sync-1"]
    assert view.silent == ()


def test_addresses_and_names_are_remembered_through_a_rebalance(peers: dict[str, Replica | str]) -> None:
    """The coordinator tells no addresses then, and a replica that has gone does not tell its name."""
    peers["10.0.0.1:80"] = replace(IDLE, worker="sync-1")
    kafka = ScriptedKafka(
        [
            a_group("10.0.0.9:80", "10.0.0.1:80"),
            a_group(None, None, state="PreparingRebalance"),
            a_group("10.0.0.9:80", "10.0.0.1:80"),
        ]
    )

    async def scenario() -> list[GroupView]:
        scene = Scene(kafka)
        views = [await scene.watcher.view()]
        for _ in range(2):
            await asyncio.sleep(2)
            views.append(await scene.watcher.view())
            peers.clear()
        return views

    before, meanwhile, after = run_virtually(scenario())

    assert len(before.replicas) == len(meanwhile.replicas) == 2
    assert meanwhile.state == "PreparingRebalance"
    assert [(silent.name, silent.why) for silent in after.silent] == [("sync-1", "cannot be reached")]

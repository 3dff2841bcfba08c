"""A round carried out: workers, load and faults, then calm until all is settled, then the judge."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from chaos.commands import CALM, TAGS, customers
from chaos.plan import REPLICAS, Fault, Plan, Strike
from chaos.replica import Replica
from chaos.traffic import Traffic
from harness.broker import Broker
from harness.polling import NotInTimeError, eventually
from harness.reaper import Reaper
from harness.topics import Topics, create_topics
from harness.upstream_process import UpstreamProcess

SETTLE_SECONDS = 120.0
JUDGE_SECONDS = 180.0
# What is published twice comes right behind what it repeats.
LINGER_SECONDS = 0.5
Say = Callable[[str], None]


@dataclass(slots=True)
class Result:
    """What came of a round; *figures* and *breaches* are the judge's, *notes* what else is worth a look."""

    seconds: float = 0.0
    settle_seconds: float = 0.0
    figures: Mapping[str, int] = field(default_factory=dict)
    breaches: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Round:
    """One round of *plan* on *broker*; whatever it writes lies in *folder*. *say* is told what happens."""

    def __init__(self, plan: Plan, *, broker: Broker, reaper: Reaper, folder: Path, say: Say) -> None:
        self._plan = plan
        self._broker = broker
        self._reaper = reaper
        self._folder = folder
        self._say = say
        self._replicas: list[Replica] = []
        self._result = Result()
        self._where: dict[str, Any] = {}

    async def run(self) -> Result:
        """Carries it out. Topics that were judged without a breach are deleted."""
        begun = time.monotonic()
        topics = await create_topics(self._broker, partitions=self._plan.partitions)
        upstream = UpstreamProcess(log=self._folder / "upstream.log", reaper=self._reaper)
        try:
            await self._set_up(topics, upstream)
            await self._storm(topics, upstream)
            self._say("the judge reads")
            await asyncio.to_thread(self._judge)
        finally:
            for replica in self._replicas:
                await asyncio.to_thread(replica.process.end)
            upstream.end()
        if not self._result.breaches:
            await _delete(topics)
        self._result.seconds = time.monotonic() - begun
        return self._result

    async def _set_up(self, topics: Topics, upstream: UpstreamProcess) -> None:
        plan = self._plan
        given = customers(plan.customers + CALM)
        await upstream.control(
            tags_known=TAGS, customers=given, latency_seconds=plan.latency_seconds, faults=list(plan.rules)
        )
        self._where = {
            "bootstrap_servers": topics.bootstrap_servers,
            "topics": {"commands": topics.commands, "events": topics.events, "dead_letters": topics.dead_letter},
            "upstream": upstream.url,
            "customers": given,
            "seed": plan.seed,
            "is_static": plan.is_static,
            "settings": plan.settings,
            "strikes": [str(strike) for strike in plan.strikes],
        }
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
        for number in range(REPLICAS):
            environment = {
                **inherited,
                **topics.environment(),
                **upstream.environment(),
                "UPSTREAM_TIMEOUT_SECONDS": "2",
                **plan.settings,
                **({"KAFKA_GROUP_INSTANCE_ID": f"replica-{number + 1}"} if plan.is_static else {}),
            }
            self._replicas.append(Replica(number, environment=environment, folder=self._folder, reaper=self._reaper))
        self._say("the workers start")
        await self._replicas[0].process.wait_ready(within_seconds=60)

    async def _storm(self, topics: Topics, upstream: UpstreamProcess) -> None:
        """Load and strikes, calm, and the end of the workers."""
        traffic = Traffic(topics, self._plan.commands, known=self._plan.customers)
        try:
            async with asyncio.TaskGroup() as tasks:
                supervisors = [tasks.create_task(replica.supervise()) for replica in self._replicas]
                async with asyncio.TaskGroup() as strikes:
                    for strike in self._plan.strikes:
                        strikes.create_task(self._strike(strike, upstream))
                await upstream.control(faults=list(self._plan.calm_rules))
                await self._settle(traffic)
                for supervisor in supervisors:
                    supervisor.cancel()
            await asyncio.sleep(LINGER_SECONDS)
            async with asyncio.TaskGroup() as ends:
                for replica in self._replicas:
                    ends.create_task(replica.end())
        finally:
            await asyncio.to_thread(traffic.end)
        self._where["commands"] = len(self._plan.commands) + traffic.calm_commands
        (self._folder / "round.json").write_text(json.dumps(self._where, indent=1), encoding="utf-8")
        self._result.notes += traffic.refused[:3]
        self._result.notes += [note for replica in self._replicas for note in replica.ended_by_itself]

    async def _strike(self, strike: Strike, upstream: UpstreamProcess) -> None:
        await asyncio.sleep(strike.at_seconds)
        self._say(str(strike))
        with (self._folder / "strikes.log").open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(tz=UTC).isoformat()} {time.monotonic():.3f} {strike}\n")
        replica = self._replicas[strike.replica or 0]
        match strike.fault:
            case Fault.KILL:
                await replica.kill(strike.seconds)
            case Fault.FREEZE:
                await replica.freeze(strike.seconds)
            case Fault.TERMINATE:
                await replica.terminate(strike.seconds)
            case Fault.BROKER_STOP | Fault.BROKER_KILL:
                gracefully = strike.fault is Fault.BROKER_STOP
                await asyncio.to_thread(self._broker.stop, gracefully=gracefully)
                await asyncio.sleep(strike.seconds)
                await asyncio.to_thread(self._broker.start)
            case Fault.UPSTREAM:
                await upstream.control(faults=list(strike.rules))
                await asyncio.sleep(strike.seconds)
                await upstream.control(faults=list(self._plan.rules))

    async def _settle(self, traffic: Traffic) -> None:
        begun = time.monotonic()
        copies = _copies(self._plan)

        async def planned_out() -> bool:
            self._say(
                f"{len(self._plan.commands)} to publish, {traffic.published} published, {traffic.outcomes} settled"
            )
            return traffic.is_published and traffic.outcomes >= len(self._plan.commands) - copies

        async def calm_out() -> bool:
            return traffic.calm_outcomes >= traffic.calm_commands

        try:
            await eventually(planned_out, within_seconds=SETTLE_SECONDS, what="all is settled")
            traffic.calm()
            await asyncio.sleep(LINGER_SECONDS)
            await eventually(calm_out, within_seconds=SETTLE_SECONDS, what="the last are settled")
        except NotInTimeError:
            self._result.notes.append(
                f"not settled within {SETTLE_SECONDS:.0f} s: {traffic.published} published, {copies} copies, "
                f"{traffic.outcomes} outcomes"
            )
            self._result.notes += [await replica.status() for replica in self._replicas]
        self._result.settle_seconds = time.monotonic() - begun

    def _judge(self) -> None:
        """The judge is a process of its own; when it cannot judge, that is a breach as well."""
        command = [sys.executable, "-m", "chaos.judge", str(self._folder)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        judged = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=JUDGE_SECONDS, check=False
        )
        (self._folder / "verdict.json").write_text(judged.stdout + judged.stderr, encoding="utf-8")
        try:
            verdict: dict[str, Any] = json.loads(judged.stdout)
        except ValueError:
            self._result.breaches = [{"promise": "evidence", "facts": judged.stderr[-2000:]}]
            return
        self._result.figures = verdict["figures"]
        self._result.breaches = verdict["breaches"]


def _copies(plan: Plan) -> int:
    seen: set[tuple[bytes, bytes, bytes]] = set()
    copies = 0
    for one in plan.commands:
        identity = dict(one.headers).get("ce_id")
        if identity is not None:
            copies += (identity, one.key, one.value) in seen
            seen.add((identity, one.key, one.value))
    return copies


async def _delete(topics: Topics) -> None:
    """A broker that has thousands of partitions takes long to come up again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap_servers)
    await admin.start()
    try:
        with contextlib.suppress(TimeoutError):
            await admin.delete_topics([topics.commands, topics.events, topics.dead_letter])
    finally:
        await admin.close()

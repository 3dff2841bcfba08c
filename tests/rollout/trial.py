"""A rolling update of the built image under load, its pods set as the manifests say, and what came of it."""

import asyncio
import subprocess
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
import yaml

from harness.docker_broker import INSIDE, NAME, DockerBroker
from harness.follower import follow, reading
from harness.judging import lost, moved_back, out_of_order, repeated, surprises
from harness.load import Load, Published, load
from harness.reaper import Reaper
from harness.topics import Outcome, Topics, create_topics
from harness.upstream_process import UpstreamControl
from manifests.schemas import Manifest
from rollout.cluster import UPSTREAM_PORT, address_of, upstream, volumes
from rollout.controller import Controller, Strategy, strategy_of
from rollout.history import settle_before
from rollout.pod import Node, Pod
from rollout.pod_template import PodTemplate, pod_template
from worker.demo.upstream import RW_TOKEN

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes" / "rendered" / "example.yaml"

CUSTOMERS = 5_000
PARTITIONS = 12
LATENCY_SECONDS = 0.05
STEADY_SECONDS = 8.0
SETTLE_SECONDS = 120.0
LONGEST_START_SECONDS = 120.0
LONGEST_ROLL_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What was published, what came of it and when, and how it went with the pods."""

    strategy: Strategy
    load: Load
    outcomes: Sequence[Outcome]
    arrived: Mapping[str, float]
    pods: Sequence[Pod]
    logs: Mapping[str, str]
    rolled: tuple[float, float]
    """From when to when the rolling update went on, in monotonic seconds."""
    moved_back: int
    requests_overlapping: int

    def delays(self) -> list[tuple[float, Published]]:
        """From each command's publication to its outcome's arrival, longest first."""
        found = [(self.arrived[one.command_id] - one.sent_at, one) for one in self.load.published]
        return sorted(found, key=lambda delay: -delay[0])

    def longest_seconds(self) -> float:
        """From command to outcome."""
        return self.delays()[0][0]

    def faults(self) -> dict[str, int]:
        """How often each thing happened that must never happen."""
        published, outcomes = self.load.published, self.outcomes
        return {
            "lost": len(lost(published, outcomes)),
            "twice": len(repeated(outcomes)),
            "out of order": len(out_of_order(outcomes)),
            "with another outcome": len(surprises(published, outcomes)),
            "times a customer moved back": self.moved_back,
            "requests overlapping": self.requests_overlapping,
            "pods restarted or killed": sum(pod.course.restarts > 0 or pod.course.exit_code != 0 for pod in self.pods),
        }

    def report(self) -> str:
        """The figures."""
        delays = [seconds for seconds, _ in self.delays()]
        begun, ended = self.rolled
        shares = {"99.9 %": 0.999, "99 %": 0.99, "half": 0.5}
        seconds, replicas, commands = ended - begun, len(self.pods) // 2, len(self.load.published)
        lines = [
            f"rolling update of {replicas} pods ({self.strategy}) in {seconds:.0f} s, {commands} commands:",
            "  " + ", ".join(f"{number} {what}" for what, number in self.faults().items()),
            f"  from command to outcome: longest {delays[0]:.2f} s, "
            + ", ".join(f"{name} {_share(delays, share):.2f} s" for name, share in shares.items()),
        ]
        return "\n".join(lines + [f"  {_course(pod, begun)}" for pod in self.pods])


async def try_rollout(
    broker: DockerBroker,
    reaper: Reaper,
    *,
    per_second: float,
    history: int = 0,
    strategy: Strategy | None = None,
    say: Callable[[str], None] = print,
) -> Trial:
    """Rolls the example overlay's deployment, or as *strategy* says, and judges nothing.

    Each partition holds *history* commands that were settled before. *say* is told how it goes.
    """
    client = docker.from_env()
    image = await asyncio.to_thread(build_image)
    topics = await create_topics(broker, partitions=PARTITIONS)
    if history:
        say(f"{history} commands in each of {PARTITIONS} partitions were settled before")
        await settle_before(topics, per_partition=history)
    deployment, others = _manifests(topics)
    template = pod_template(deployment, others)
    strategy = strategy or strategy_of(deployment)
    kafka = address_of(client.containers.get(broker.container_id))
    try:
        with (
            volumes(client, image, reaper, template) as mounted,
            upstream(client, image, reaper, customers=CUSTOMERS) as (address, control),
        ):
            await control.control(latency_seconds=LATENCY_SECONDS)
            node = Node(client, image, mounted, {NAME: kafka, "upstream": address}, reaper)
            return await _roll(
                deployment=deployment,
                template=template,
                strategy=strategy,
                node=node,
                topics=topics,
                control=control,
                per_second=per_second,
                say=say,
            )
    finally:
        client.close()


def build_image() -> str:
    """The id of the image of this tree; a moment where it was built before."""
    built = subprocess.run(["docker", "build", "--quiet", str(ROOT)], capture_output=True, text=True, check=True)
    return built.stdout.strip()


async def _roll(
    *,
    deployment: Manifest,
    template: PodTemplate,
    strategy: Strategy,
    node: Node,
    topics: Topics,
    control: UpstreamControl,
    per_second: float,
    say: Callable[[str], None],
) -> Trial:
    pods: list[Pod] = []
    logs: dict[str, str] = {}
    try:
        async with follow(topics) as follower, asyncio.TaskGroup() as tasks:
            controller = Controller(
                replicas=deployment["spec"]["replicas"],
                strategy=strategy,
                make_pod=lambda name: Pod(name, template, node),
                tasks=tasks,
            )
            pods = controller.pods
            say("pods start")
            async with asyncio.timeout(LONGEST_START_SECONDS):
                await controller.start()
            say(f"{per_second:g} commands a second")
            async with reading(follower), load(topics, customers=CUSTOMERS, per_second=per_second, seed=1) as commands:
                await asyncio.sleep(STEADY_SECONDS)
                say("rolling update")
                begun = time.monotonic()
                async with asyncio.timeout(LONGEST_ROLL_SECONDS):
                    await controller.roll()
                ended = time.monotonic()
                say("rolled")
                await asyncio.sleep(STEADY_SECONDS)
            say("what is published is settled")
            await follower.of(commands.command_ids, within_seconds=SETTLE_SECONDS)
            await controller.end()
            state = await control.state()
        logs = {pod.name: pod.log() for pod in pods}
        return Trial(
            strategy=strategy,
            load=commands,
            outcomes=await topics.all_outcomes(within_seconds=60),
            arrived=follower.arrived,
            pods=pods,
            logs=logs,
            rolled=(begun, ended),
            moved_back=moved_back(state["journal"]),
            requests_overlapping=state["overlaps"],
        )
    finally:
        for pod in pods:
            pod.remove()


def _manifests(topics: Topics) -> tuple[Manifest, list[Manifest]]:
    """The deployment and all else; only what names another Kafka and another upstream is put in its place."""
    manifests = list(yaml.safe_load_all(MANIFESTS.read_text(encoding="utf-8")))
    (deployment,) = (one for one in manifests if one["kind"] == "Deployment")
    for one in manifests:
        if one["kind"] == "ConfigMap":
            one["data"] |= {
                **topics.environment(),
                "KAFKA_BOOTSTRAP_SERVERS": INSIDE,
                "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
                **dict.fromkeys(("KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME_FILE", "KAFKA_SASL_PASSWORD_FILE"), ""),
                "KAFKA_SSL_CAFILE": "",
                "UPSTREAM_BASE_URL": f"http://upstream:{UPSTREAM_PORT}",
                "UPSTREAM_RATE_LIMIT": "0",
            }
        if one["kind"] == "Secret" and "token" in one["data"]:
            one["data"]["token"] = b64encode(RW_TOKEN.encode()).decode()
    return deployment, manifests


def _share(delays: Sequence[float], share: float) -> float:
    """The delay that this share of commands does not exceed; *delays* are longest first."""
    return delays[int(len(delays) * (1 - share))]


def _course(pod: Pod, begun: float) -> str:
    course = pod.course

    def at(moment: float | None) -> str:
        return "never" if moment is None else f"{moment - begun:+.1f} s"

    took = (course.ended_at or 0) - (course.terminated_at or 0)
    ready_after = (course.ready_at or 0) - course.created_at
    return (
        f"{pod.name}: created {at(course.created_at)}, ready {ready_after:.1f} s later, told to end "
        f"{at(course.terminated_at)}, gone {took:.1f} s later with {course.exit_code}; {course.restarts} restarts, "
        f"{course.unready} times not ready, {course.peak_memory_bytes / 2**20:.0f} MiB at most"
    )

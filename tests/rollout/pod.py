"""A pod on Docker: its container under the manifest's restrictions, and the kubelet's care for it.

The kubelet asks the probes, restarts a container that ends or is not alive, and ends it with the grace that the
manifest gives. The pod's port is published on this machine's loopback address, where the probes are asked.
"""

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp
from docker import DockerClient
from docker.models.containers import Container

from harness.reaper import Reaper
from rollout.pod_template import POD_NAME, PodTemplate, Probe

# How much of a CPU's share one requested CPU is, as the kubelet tells cgroups.
_SHARES_OF_A_CPU = 1024
# How often it looks whether the container still runs.
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Node:
    """What pods run on: an engine, the image, the volumes' container, and names that stand in for cluster DNS."""

    client: DockerClient
    image: str
    volumes: str
    hosts: dict[str, str]
    reaper: Reaper


@dataclass(slots=True)
class Course:
    """What happened to a pod; moments are monotonic seconds."""

    created_at: float = 0.0
    ready_at: float | None = None
    unready: int = 0
    """How often it went from ready to not ready before its end was asked for."""
    restarts: int = 0
    failed_probes: list[str] = field(default_factory=list)
    terminated_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    was_out_of_memory: bool = False
    peak_memory_bytes: int = 0


class Pod:
    """One pod; live() from its creation to its end."""

    def __init__(self, name: str, template: PodTemplate, node: Node) -> None:
        self.name = name
        self.course = Course()
        self.is_ready = False
        self.ready_since: float | None = None
        self._template = template
        self._node = node
        self._terminating = asyncio.Event()
        self._container: Container | None = None
        self._published: dict[int, int] = {}

    @property
    def is_terminating(self) -> bool:
        """Whether its end was asked for."""
        return self._terminating.is_set()

    def available(self, min_ready_seconds: float) -> bool:
        """Ready, for as long as a Deployment wants to see it ready."""
        return self.ready_since is not None and time.monotonic() - self.ready_since >= min_ready_seconds

    def terminate(self) -> None:
        """Asks for its end."""
        self._terminating.set()

    async def live(self) -> None:
        """Returns when the pod is gone."""
        self.course.created_at = time.monotonic()
        self._container = await asyncio.to_thread(self._start)
        await asyncio.to_thread(self._note_ports)
        async with asyncio.TaskGroup() as tasks:
            caring = [tasks.create_task(self._ask_probes()), tasks.create_task(self._restart_when_ended())]
            watching = tasks.create_task(self._watch_memory())
            await self._terminating.wait()
            self.course.terminated_at = time.monotonic()
            for task in caring:
                task.cancel()
            await self._end()
            watching.cancel()

    def log(self) -> str:
        """What it has written."""
        written: bytes = self._running().logs()
        return written.decode(errors="replace")

    def remove(self) -> None:
        """Forgets its container."""
        if self._container is not None:
            self._container.remove(force=True)
            self._node.reaper.forget("container", self._container.id)

    def _start(self) -> Container:
        template = self._template
        container: Container = self._node.client.containers.run(
            self._node.image,
            list(template.arguments) or None,
            detach=True,
            hostname=self.name,
            environment={
                name: self.name if value == POD_NAME else value for name, value in template.environment.items()
            },
            user=template.user,
            group_add=[str(template.group)],
            read_only=template.is_read_only,
            cap_drop=list(template.dropped_capabilities),
            security_opt=[] if template.may_gain_privileges else ["no-new-privileges:true"],
            mem_limit=template.memory_bytes,
            memswap_limit=template.memory_bytes,
            nano_cpus=int(template.cpus * 10**9),
            cpu_shares=int(template.cpus_requested * _SHARES_OF_A_CPU),
            volumes_from=[f"{self._node.volumes}:ro"],
            extra_hosts=self._node.hosts,
            ports={f"{template.http_port}/tcp": ("127.0.0.1", None)},
        )
        self._node.reaper.watch("container", container.id)
        return container

    async def _ask_probes(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                await self._until_started(session)
                async with asyncio.TaskGroup() as both:
                    asking = both.create_task(self._ask_readiness(session))
                    await self._until_not_alive(session)
                    asking.cancel()
                await self._restart()

    async def _until_started(self, session: aiohttp.ClientSession) -> None:
        failures = 0
        await asyncio.sleep(self._template.startup.initial_delay_seconds)
        while not await self._passes(session, self._template.startup):
            failures += 1
            if failures == self._template.startup.failure_threshold:
                self.course.failed_probes.append("startup")
                await self._restart()
                failures = 0
            await asyncio.sleep(self._template.startup.period_seconds)

    async def _until_not_alive(self, session: aiohttp.ClientSession) -> None:
        failures = 0
        await asyncio.sleep(self._template.liveness.initial_delay_seconds)
        while failures < self._template.liveness.failure_threshold:
            failures = 0 if await self._passes(session, self._template.liveness) else failures + 1
            await asyncio.sleep(self._template.liveness.period_seconds)
        self.course.failed_probes.append("liveness")

    async def _ask_readiness(self, session: aiohttp.ClientSession) -> None:
        failures = successes = 0
        await asyncio.sleep(self._template.readiness.initial_delay_seconds)
        while True:
            if await self._passes(session, self._template.readiness):
                failures, successes = 0, successes + 1
                if successes >= self._template.readiness.success_threshold:
                    self._is_now(ready=True)
            else:
                failures, successes = failures + 1, 0
                if failures >= self._template.readiness.failure_threshold:
                    self._is_now(ready=False)
            await asyncio.sleep(self._template.readiness.period_seconds)

    def _is_now(self, *, ready: bool) -> None:
        if ready and self.ready_since is None:
            self.ready_since = time.monotonic()
            self.course.ready_at = self.course.ready_at or self.ready_since
        if not ready and self.ready_since is not None:
            self.ready_since = None
            self.course.unready += 1

    async def _passes(self, session: aiohttp.ClientSession, probe: Probe) -> bool:
        if probe.port not in self._published:
            return False  # between two lives of the container
        url = f"http://127.0.0.1:{self._published[probe.port]}{probe.path}"
        try:
            async with session.get(url, timeout=aiohttp.ClientTimeout(total=probe.timeout_seconds)) as answer:
                return 200 <= answer.status < 400
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _restart_when_ended(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.to_thread(self._running().reload)
            if self._running().status == "exited":
                self.course.exit_code = self._running().attrs["State"]["ExitCode"]
                await self._restart()

    async def _restart(self) -> None:
        """A container that ended, or that a probe found wanting, in the same pod."""
        self.course.restarts += 1
        self._is_now(ready=False)
        self._published.clear()
        await asyncio.to_thread(self._running().restart, timeout=self._template.grace_seconds)
        await asyncio.to_thread(self._note_ports)

    def _note_ports(self) -> None:
        """Which ports of this machine they are published at; a container that is started again gets others."""
        container = self._running()
        container.reload()
        for port, addresses in container.ports.items():
            if addresses:
                self._published[int(port.removesuffix("/tcp"))] = int(addresses[0]["HostPort"])

    async def _watch_memory(self) -> None:
        while True:
            usage = await asyncio.to_thread(self._running().stats, stream=False, one_shot=True)
            memory = usage.get("memory_stats", {})
            used = memory.get("max_usage") or memory.get("usage", 0)  # the first where cgroups keep it
            self.course.peak_memory_bytes = max(self.course.peak_memory_bytes, used)
            await asyncio.sleep(2)

    async def _end(self) -> None:
        await asyncio.sleep(self._template.pre_stop_seconds)
        grace_seconds = max(self._template.grace_seconds - self._template.pre_stop_seconds, 0)
        await asyncio.to_thread(self._running().stop, timeout=int(grace_seconds))
        self.course.ended_at = time.monotonic()
        container = self._running()
        await asyncio.to_thread(container.reload)
        self.course.exit_code = container.attrs["State"]["ExitCode"]
        self.course.was_out_of_memory = container.attrs["State"]["OOMKilled"]

    def _running(self) -> Container:
        if self._container is None:
            message = f"{self.name} was not started"
            raise RuntimeError(message)
        return self._container

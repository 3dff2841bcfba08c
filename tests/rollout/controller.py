"""Rolling updates, as the controllers of Deployments and StatefulSets carry them out."""

import asyncio
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from manifests.schemas import Manifest
from rollout.pod import Pod

RECONCILE_SECONDS = 0.05

MakePod = Callable[[str], Pod]


@dataclass(frozen=True, slots=True)
class Strategy:
    """How many pods a rolling update may have more and fewer than wanted."""

    max_surge: int
    max_unavailable: int
    min_ready_seconds: float
    is_ordered: bool = False
    """As a StatefulSet: one pod after the other, from the last, each replaced under its own name."""

    def __str__(self) -> str:
        """As "surge 1, unavailable 0"."""
        names = "StatefulSet" if self.is_ordered else f"surge {self.max_surge}, unavailable {self.max_unavailable}"
        return f"{names}, ready for {self.min_ready_seconds:g} s"


def strategy_of(deployment: Manifest) -> Strategy:
    """What the manifest says; shares of the replicas are rounded as Kubernetes does, surges up and the others down."""
    spec = deployment["spec"]
    rolling = spec["strategy"]["rollingUpdate"]
    return Strategy(
        max_surge=_pods(rolling["maxSurge"], spec["replicas"], math.ceil),
        max_unavailable=_pods(rolling["maxUnavailable"], spec["replicas"], math.floor),
        min_ready_seconds=spec.get("minReadySeconds", 0),
    )


class Controller:
    """Keeps as many pods as are wanted, and replaces them."""

    def __init__(self, *, replicas: int, strategy: Strategy, make_pod: MakePod, tasks: asyncio.TaskGroup) -> None:
        """*make_pod* is given a pod's name; *tasks* is where pods live."""
        self._replicas = replicas
        self._strategy = strategy
        self._make_pod = make_pod
        self._tasks = tasks
        self._numbers = itertools.count(1)
        self._living: dict[Pod, asyncio.Task[None]] = {}
        self.pods: list[Pod] = []
        """All there ever were."""

    async def start(self) -> None:
        """Returns when all wanted pods are available."""
        for number in range(self._replicas):
            self._create(f"customer-sync-{number}" if self._strategy.is_ordered else None)
        await self._until(lambda: self._available(self._current()) == self._replicas)

    async def roll(self) -> None:
        """Replaces every pod; returns when the last new one is available and the last old one gone."""
        old = list(self._current())
        if self._strategy.is_ordered:
            await self._roll_in_order(old)
        else:
            await self._roll(old)
        await self._until(lambda: all(self._living[pod].done() for pod in old))

    async def end(self) -> None:
        """Ends all pods; returns when they are gone."""
        for pod in self._current():
            pod.terminate()
        await self._until(lambda: all(task.done() for task in self._living.values()))

    async def _roll(self, old: Sequence[Pod]) -> None:
        """The Deployment controller's arithmetic; pods that are terminating count no more."""
        strategy = self._strategy
        while True:
            before = [pod for pod in old if not pod.is_terminating]
            new = [pod for pod in self._current() if pod not in before]
            if not before and self._available(new) == self._replicas:
                return
            room = self._replicas + strategy.max_surge - len(before) - len(new)
            for _ in range(min(room, self._replicas - len(new))):
                self._create()
                new = [pod for pod in self._current() if pod not in before]
            spare = self._available(before) + self._available(new) - (self._replicas - strategy.max_unavailable)
            for pod in sorted(before, key=lambda pod: pod.available(strategy.min_ready_seconds))[: max(spare, 0)]:
                pod.terminate()
            await asyncio.sleep(RECONCILE_SECONDS)

    async def _roll_in_order(self, old: Sequence[Pod]) -> None:
        for pod in reversed(old):
            pod.terminate()
            await self._until(self._living[pod].done)
            self._create(pod.name)
            await self._until(lambda: self._available(self._current()) == self._replicas)

    def _create(self, name: str | None = None) -> None:
        pod = self._make_pod(name or f"customer-sync-{next(self._numbers)}")
        self.pods.append(pod)
        self._living[pod] = self._tasks.create_task(pod.live())

    def _current(self) -> list[Pod]:
        return [pod for pod in self.pods if not pod.is_terminating]

    def _available(self, pods: Sequence[Pod]) -> int:
        return sum(pod.available(self._strategy.min_ready_seconds) for pod in pods)

    async def _until(self, fact: Callable[[], bool]) -> None:
        while not fact():  # noqa: ASYNC110 -- the facts are those of other processes
            await asyncio.sleep(RECONCILE_SECONDS)


def _pods(number: int | str, replicas: int, round_: Callable[[float], int]) -> int:
    return number if isinstance(number, int) else round_(replicas * float(number.removesuffix("%")) / 100)

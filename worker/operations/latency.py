"""How long things took lately, from histograms that only ever grow. Pure."""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.registry import Collector

NOTE_SECONDS = 30.0
LATELY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Distribution:
    """How many took at most each of *bounds* (seconds) and more than the one before; the last of *counts* longer."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]

    def quantile(self, part: float) -> float | None:
        """The seconds that *part* (0 to 1) of them took at most, as Prometheus estimates it; None without any.

        Within a bucket they are taken to be spread evenly; beyond the last bound nothing is known.
        """
        wanted = part * sum(self.counts)
        below, lower = 0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            if count and below + count >= wanted:
                return lower + (bound - lower) * (wanted - below) / count
            below, lower = below + count, bound
        return lower if sum(self.counts) else None

    def plus(self, other: "Distribution") -> "Distribution":
        """Both together; this one alone where the bounds are others, as between versions."""
        if other.bounds != self.bounds:
            return self
        return Distribution(self.bounds, tuple(map(sum, zip(self.counts, other.counts, strict=True))))

    def minus(self, other: "Distribution") -> "Distribution":
        """What has been added since the *other*."""
        pairs = zip(self.counts, other.counts, strict=True)
        return Distribution(self.bounds, tuple(count - before for count, before in pairs))


def distributions(collector: Collector) -> dict[str, Distribution]:
    """A Prometheus histogram, by the value of its label; by an empty string where it has none."""
    cumulated: dict[str, list[tuple[float, int]]] = {}
    for family in collector.collect():
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                label = next((value for name, value in sample.labels.items() if name != "le"), "")
                cumulated.setdefault(label, []).append((float(sample.labels["le"]), int(sample.value)))
    return {
        label: Distribution(
            bounds=tuple(bound for bound, _ in series if bound != math.inf),
            counts=tuple(
                count - before for (_, count), before in zip(series, [0, *(c for _, c in series)], strict=False)
            ),
        )
        for label, series in cumulated.items()
    }


def added_up(several: Iterable[Mapping[str, Distribution]]) -> dict[str, Distribution]:
    """Those of several replicas as one, by kind."""
    total: dict[str, Distribution] = {}
    for by_kind in several:
        for kind, one in by_kind.items():
            total[kind] = total[kind].plus(one) if kind in total else one
    return total


class RecentLatencies:
    """Remembers what the histograms were, up to five minutes ago. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, Mapping[str, Distribution]]] = deque()

    def is_due(self, now: float) -> bool:
        """Whether it is time for another note."""
        return not self._notes or now - self._notes[-1][0] >= NOTE_SECONDS

    def note(self, totals: Mapping[str, Distribution], now: float) -> None:
        """The histograms by kind, as they are now."""
        self._notes.append((now, totals))
        # The note that is just too old is what the others are compared with.
        while len(self._notes) > 1 and now - self._notes[1][0] >= LATELY_SECONDS:
            self._notes.popleft()

    def lately(self, totals: Mapping[str, Distribution]) -> dict[str, Distribution]:
        """What has been added in the last five minutes or so."""
        before = self._notes[0][1] if self._notes else {}
        return {kind: one.minus(before[kind]) if kind in before else one for kind, one in totals.items()}

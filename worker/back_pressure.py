"""Which partitions read on, by the memory that waiting commands hold.

A partition stops above its bound and goes on below half of it, so that it does not flicker. When the process as a
whole is above its bound, all stop but those with nothing waiting, and those that hold no more than half of an even
share go on first.

While the upstream as a whole is not asked (an open circuit, a hold), reading ends once enough customers wait to find
out with when it is back. Until then it goes on, also beyond a partition's bound: the commands in sight may all be
poison, and then only somebody else's can show that the upstream is well. Pure.
"""

from collections.abc import Mapping

# The commands of some customers may themselves be what fails: so many as a publisher gets wrong in one go, whose
# unknown customers look like a wrong address until somebody else's command comes into view.
CUSTOMERS_TO_PROBE_WITH = 100


class BackPressure:
    """Decides which partitions are paused. Bytes are counted as held in memory."""

    def __init__(self, *, partition_bytes: int, process_bytes: int) -> None:
        self._partition_bytes = partition_bytes
        self._process_bytes = process_bytes

    def paused(
        self, held: Mapping[int, int], paused_now: frozenset[int], *, upstream_is_asked: bool, customers: int
    ) -> frozenset[int]:
        """Those that should be paused: *held* maps each assigned partition to its bytes; so many *customers* wait."""
        if not upstream_is_asked and customers >= CUSTOMERS_TO_PROBE_WITH:
            return frozenset(partition for partition, size in held.items() if size)
        if sum(held.values()) >= self._process_bytes:
            return frozenset(partition for partition, size in held.items() if size)
        even_share = self._process_bytes / max(len(held), 1)
        bound: float = self._partition_bytes if upstream_is_asked else self._process_bytes
        low = min(bound, even_share) / 2 if upstream_is_asked else bound
        return frozenset(
            partition for partition, size in held.items() if size >= bound or (partition in paused_now and size > low)
        )

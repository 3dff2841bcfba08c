"""Which partitions read on, by the memory that waiting commands hold.

A partition stops above its bound and goes on below half of it, so that it does not flicker. When the process as a
whole is above its bound, the partitions that hold more than an even share stop; one with nothing waiting always
reads. While the upstream as a whole is not asked (an open circuit, a hold), hardly more is read than the commands that
find out when it is back: hardly, because those in sight may all be poison, and then only somebody else's command can
show that the upstream is well. Pure.
"""

from collections.abc import Mapping

# While the upstream as a whole is not asked, so much is read all the same: a few dozen commands.
PROBING_BYTES = 64 * 1024


class BackPressure:
    """Decides which partitions are paused. Bytes are counted as held in memory."""

    def __init__(self, *, partition_bytes: int, process_bytes: int) -> None:
        self._partition_bytes = partition_bytes
        self._process_bytes = process_bytes

    def paused(self, held: Mapping[int, int], paused_now: frozenset[int], *, upstream_is_asked: bool) -> frozenset[int]:
        """The partitions that should be paused: *held* maps each assigned one to its bytes."""
        even_share = self._process_bytes / max(len(held), 1)
        bound = self._partition_bytes
        if sum(held.values()) >= self._process_bytes:
            bound = int(min(bound, even_share))
        if not upstream_is_asked:
            bound = min(bound, PROBING_BYTES)
        return frozenset(
            partition
            for partition, size in held.items()
            if size >= bound or (partition in paused_now and size > min(bound, even_share) / 2)
        )

"""The right to send: a member of the group has its partitions only as long as the group believes that it lives.

A process that was frozen, or cut off from Kafka, cannot know that its partitions have been given to another one. But
it can know when the group last heard from it: as long as that is less than the session timeout ago, nobody else has
been given anything. So this is checked immediately before each request to the upstream. What remains possible is a
request that was already on its way.

Pure: `now` is monotonic seconds.
"""

import math


class Lease:
    """Valid for the session timeout after the last heartbeat that the group accepted."""

    __slots__ = ("_renewed_at", "_seconds")

    def __init__(self, *, seconds: float) -> None:
        """*seconds*: the group's session timeout."""
        self._seconds = seconds
        self._renewed_at = -math.inf

    @property
    def renewed_at(self) -> float:
        """When the last accepted heartbeat was sent."""
        return self._renewed_at

    def renew(self, at: float) -> None:
        """The group accepted a heartbeat, or a join, that was sent *at*."""
        self._renewed_at = max(self._renewed_at, at)

    def is_valid(self, now: float) -> bool:
        """Whether the group cannot yet have given the partitions to anybody else."""
        return now < self._renewed_at + self._seconds

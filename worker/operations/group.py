"""The whole group as one: what its replicas say of themselves, and Kafka of those that do not answer. Pure."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import TypeAdapter

from worker.kafka.members import Group
from worker.operations import history, latency
from worker.operations.history import Hour
from worker.operations.latency import Distribution
from worker.operations.peers import Answer
from worker.operations.replica import Budget, Customers, HeldPartition, Replica, WaitingCustomer
from worker.pacing.forecast import Supply, seconds_to_drain
from worker.telemetry.recent import DeadLetters, Rebalance

LONGEST_LANES: Final = 10
LATEST_FAULTS: Final = 12
LATEST_REBALANCES: Final = 12
OF_ONE_REPLICA: Final = frozenset({"KAFKA_GROUP_INSTANCE_ID", "KAFKA_CLIENT_ID", "HTTP_HOST", "HTTP_PORT"})
"""Settings in which replicas may well differ."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of the group at one moment (milliseconds since 1970), before it is put together.

    *own* is the replica that looked. *answers* of its peers are by address, *names* are those that addresses had
    earlier. *group* is None where Kafka does not tell; *lags* are Kafka's, of the partitions that no replica told of.
    """

    at_ms: int
    group_id: str
    topic: str
    kafka_answers: bool
    group: Group | None
    own: Replica
    answers: Mapping[str, Answer]
    names: Mapping[str, str]
    partitions: int
    lags: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Silent:
    """A member that does not answer: its name or address, why it is not known, and the partitions it has."""

    name: str
    why: str
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GroupPartition:
    """One partition, whoever has it. *replica* is empty where nobody has; what is not known is None.

    *drained_in_seconds* is infinite where nothing can be sent.
    """

    partition: int
    replica: str
    lag: int | None
    drained_in_seconds: float | None
    waiting: int | None = None
    in_flight: int | None = None
    retrying: int | None = None


@dataclass(frozen=True, slots=True)
class RebalanceOf:
    """A rebalance, and whom it concerned."""

    replica: str
    rebalance: Rebalance


@dataclass(frozen=True, slots=True)
class GroupView:
    """The document of `/api/group`, and all that the page shows. No personal data.

    *state* is Kafka's word for the group, empty where it does not tell. *here* names the replica that looked.
    *circuits* show the worst of each kind. *differing* maps settings in which replicas differ to the value each has.
    """

    at_ms: int
    group_id: str
    topic: str
    state: str
    kafka_answers: bool
    here: str
    replicas: tuple[Replica, ...]
    silent: tuple[Silent, ...]
    partitions: tuple[GroupPartition, ...]
    lag: int
    drained_in_seconds: float | None
    customers: Customers
    budget: Budget | None
    circuits: dict[str, str]
    held_for: str
    outcomes: dict[str, dict[str, int]]
    requests: dict[str, dict[str, int]]
    latencies: dict[str, Distribution]
    hour: Hour
    dead_letters: tuple[DeadLetters, ...]
    rebalances: tuple[RebalanceOf, ...]
    differing: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def own(self) -> Replica:
        """The replica that looked."""
        return next(replica for replica in self.replicas if replica.worker == self.here)


_VIEW: Final = TypeAdapter(GroupView)


def to_json(view: GroupView) -> bytes:
    """The document; what is infinite is null in it."""
    return _VIEW.dump_json(view)


def put_together(look: Look) -> GroupView:
    """The group from everything that was seen of it."""
    replicas = _each_once([look.own, *(answer for answer in look.answers.values() if isinstance(answer, Replica))])
    budget = _tightest(replicas)
    partitions = _partitions(look, replicas, budget)
    return GroupView(
        at_ms=look.at_ms,
        group_id=look.group_id,
        topic=look.topic,
        state=look.group.state if look.group is not None else "",
        kafka_answers=look.kafka_answers,
        here=look.own.worker,
        replicas=replicas,
        silent=_silent(look),
        partitions=partitions,
        lag=sum(partition.lag or 0 for partition in partitions),
        drained_in_seconds=_last(partitions),
        customers=_customers(replicas),
        budget=budget,
        circuits=_worst(replica.circuits for replica in replicas),
        held_for=next((replica.held_for for replica in replicas if replica.held_for), ""),
        outcomes=_added_up(replica.outcomes for replica in replicas),
        requests=_added_up(replica.requests for replica in replicas),
        latencies=latency.added_up(replica.latencies for replica in replicas),
        hour=history.together((replica.hour for replica in replicas), look.at_ms),
        dead_letters=_faults(replicas),
        rebalances=tuple(
            sorted(
                (RebalanceOf(replica.worker, rebalance) for replica in replicas for rebalance in replica.rebalances),
                key=lambda one: -one.rebalance.at_ms,
            )[:LATEST_REBALANCES]
        ),
        differing=_differing(replicas),
    )


def drain_order(lags: Sequence[int], lag: int) -> int:
    """Commands that one replica settles until a partition of *lag* is empty, its partitions taking turns.

    *lags* are those of all its partitions.
    """
    return sum(min(other, lag) for other in lags)


def _each_once(replicas: Iterable[Replica]) -> tuple[Replica, ...]:
    by_name: dict[str, Replica] = {}
    for replica in replicas:
        by_name.setdefault(replica.worker, replica)
    return tuple(by_name[name] for name in sorted(by_name))


def _silent(look: Look) -> tuple[Silent, ...]:
    if look.group is None:
        return ()
    silent = []
    for member in look.group.members:
        if member.address is None:
            # The id is the member's client id or instance id, and a UUID.
            silent.append(Silent(member.member_id[:-37], "has not said where it answers", member.partitions))
            continue
        answer = look.answers.get(member.address)
        if isinstance(answer, str):
            silent.append(Silent(look.names.get(member.address, member.address), answer, member.partitions))
    return tuple(silent)


def _partitions(look: Look, replicas: Sequence[Replica], budget: Budget | None) -> tuple[GroupPartition, ...]:
    known = {
        held.partition: _partition_of(replica, held, budget) for replica in replicas for held in replica.partitions
    }
    for silent in _silent(look):
        for number in silent.partitions:
            known.setdefault(number, GroupPartition(number, silent.name, look.lags.get(number), None))
    for number in range(look.partitions):
        known.setdefault(number, GroupPartition(number, "", look.lags.get(number), None))
    return tuple(known[number] for number in sorted(known))


def _partition_of(replica: Replica, held: HeldPartition, budget: Budget | None) -> GroupPartition:
    return GroupPartition(
        held.partition,
        replica.worker,
        held.lag,
        _drained_in(replica, held.lag, budget),
        held.waiting,
        held.in_flight,
        held.retrying,
    )


def _can_send(replica: Replica) -> bool:
    return not replica.held_for and all(state == "closed" for state in replica.circuits.values())


def _drained_in(replica: Replica, lag: int | None, budget: Budget | None) -> float | None:
    """When a partition of *lag* will be empty at the pace of its replica, and with its share of what is left."""
    if not lag:
        return lag
    if not _can_send(replica):
        return math.inf
    pace = replica.pace
    supply = Supply(math.inf, math.inf, 1.0, math.inf)
    if budget is not None and replica.budget is not None:
        whole = Supply(budget.left, budget.limit, budget.window_seconds, budget.resets_in_seconds)
        supply = whole.shared(replica.budget.share)
    return seconds_to_drain(
        drain_order([other.lag or 0 for other in replica.partitions], lag) * pace.requests_per_command,
        supply,
        arriving=pace.commands_per_second * pace.requests_per_command,
        speed=math.inf if pace.requests_per_second is None else pace.requests_per_second,
    )


def _last(partitions: Iterable[GroupPartition]) -> float | None:
    """When the last of them will be empty; None where that is known of none that is not."""
    known = [partition.drained_in_seconds for partition in partitions if partition.lag]
    if not known:
        return 0.0
    return max((seconds for seconds in known if seconds is not None), default=None)


def _tightest(replicas: Iterable[Replica]) -> Budget | None:
    """Whoever knows of the least that is left knows best: others have not asked since."""
    budgets = [replica.budget for replica in replicas if replica.budget is not None]
    return min(budgets, key=lambda budget: budget.left, default=None)


def _customers(replicas: Collection[Replica]) -> Customers:
    why: Counter[str] = Counter()
    longest: list[WaitingCustomer] = []
    for replica in replicas:
        why.update(replica.customers.why)
        longest.extend(replica.customers.longest)
    longest.sort(key=lambda customer: (-customer.commands, customer.oldest_ms))
    waiting = sum(replica.customers.waiting for replica in replicas)
    oldest = min((one.customers.oldest_ms for one in replicas if one.customers.oldest_ms is not None), default=None)
    return Customers(waiting, oldest, dict(why), tuple(longest[:LONGEST_LANES]))


def _worst(circuits: Iterable[Mapping[str, str]]) -> dict[str, str]:
    severity = {"closed": 0, "half_open": 1, "open": 2}
    worst: dict[str, str] = {}
    for states in circuits:
        for kind, state in states.items():
            worst[kind] = max(worst.get(kind, "closed"), state, key=lambda one: severity.get(one, 2))
    return worst


def _added_up(counts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = {}
    for by_kind in counts:
        for kind, by_reason in by_kind.items():
            known = total.setdefault(kind, {})
            for reason, number in by_reason.items():
                known[reason] = known.get(reason, 0) + number
    return total


def _faults(replicas: Iterable[Replica]) -> tuple[DeadLetters, ...]:
    """Dead letters with the same fault together, whoever wrote them; the latest first."""
    alike: dict[tuple[str, str], DeadLetters] = {}
    for one in sorted((one for replica in replicas for one in replica.dead_letters), key=lambda one: -one.at_ms):
        latest = alike.get((one.reason, one.error))
        alike[one.reason, one.error] = (
            one if latest is None else replace(latest, commands=latest.commands + one.commands)
        )
    return tuple(alike.values())[:LATEST_FAULTS]


def _differing(replicas: Sequence[Replica]) -> dict[str, dict[str, str]]:
    values: dict[str, dict[str, str]] = {}
    for replica in replicas:
        for shown in replica.settings:
            values.setdefault(shown.variable, {})[replica.worker] = shown.value
    return {
        variable: by_replica
        for variable, by_replica in values.items()
        if variable not in OF_ONE_REPLICA and len(set(by_replica.values())) > 1
    }

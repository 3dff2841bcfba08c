"""A round, drawn from its seed: what is published, what befalls whom and when. The same seed gives the same round.

What cannot be drawn is how the processes race; so a round that found something may have to be repeated a few times.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from chaos.commands import Planned, Publisher, customer_id

REPLICAS: Final = 3
SESSION_SECONDS: Final = 10.0
"""After this long without a heartbeat the group gives a worker's partitions to others."""


class Fault(StrEnum):
    """What can strike."""

    KILL = "kill"
    FREEZE = "freeze"
    TERMINATE = "terminate"
    BROKER_STOP = "broker stop"
    BROKER_KILL = "broker kill"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True)
class Strike:
    """*fault* strikes at *at_seconds* and lasts *seconds*; *replica* where it is a worker's, *rules* the upstream's."""

    at_seconds: float
    fault: Fault
    seconds: float
    replica: int | None = None
    rules: Sequence[dict[str, Any]] = ()

    def __str__(self) -> str:
        whom = "" if self.replica is None else f" of replica {self.replica + 1}"
        how = "".join(f" {_shown(rule)}" for rule in self.rules)
        return f"{self.at_seconds:.1f} s: {self.fault}{whom}, {self.seconds:.1f} s{how}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a round. *rules* are the upstream's while no burst replaces them, *calm_rules* those that never end."""

    seed: str
    partitions: int
    customers: int
    is_static: bool
    latency_seconds: float
    settings: dict[str, str]
    rules: Sequence[dict[str, Any]]
    calm_rules: Sequence[dict[str, Any]]
    commands: Sequence[Planned]
    strikes: Sequence[Strike]

    def count(self, *faults: Fault) -> int:
        """How many strikes are of *faults*."""
        return sum(strike.fault in faults for strike in self.strikes)


def draw(seed: str, commands: int) -> Plan:
    """The round of *seed*, with so many commands."""
    chance = random.Random(seed)
    freezes = chance.random() < 0.35
    seconds = SESSION_SECONDS * (2 if freezes else 1)
    customers = chance.choice([20, 60, 200])
    refused = frozenset(chance.sample(range(customers // 2, customers), 2))
    calm_rules: list[dict[str, Any]] = [
        {
            "match": {"method": "PATCH", "customer_id": sorted(map(customer_id, refused))},
            "effect": {"kind": "status", "status": 400, "text": "no"},
        }
    ]
    return Plan(
        seed=seed,
        partitions=chance.choice([3, 4, 6]),
        customers=customers,
        is_static=chance.random() < 0.6,
        latency_seconds=chance.choice([0.005, 0.02, 0.05]),
        settings={
            "COALESCE": chance.choice(["true", "true", "true", "false"]),
            "COMMIT_INTERVAL_MS": chance.choice(["10", "10", "100"]),
            "UPSTREAM_MAX_CONCURRENCY": chance.choice(["4", "16", "64"]),
        },
        rules=[*calm_rules, *(_rule(chance, 0.01) for _ in range(3))],
        calm_rules=calm_rules,
        commands=_commands(chance, Publisher(chance, name=seed, known=customers, refused=refused), commands, seconds),
        strikes=_strikes(chance, seconds, freezes=freezes, calm_rules=calm_rules),
    )


def _commands(chance: random.Random, publisher: Publisher, count: int, seconds: float) -> list[Planned]:
    bulk_at = seconds * chance.random()
    moments = [(bulk_at, True) for _ in range(count // 8)]
    moments += [(seconds * chance.random(), False) for _ in range(count - len(moments))]
    return [publisher.draw(at, bulk=bulk) for at, bulk in sorted(moments)]


def _strikes(
    chance: random.Random, seconds: float, *, freezes: bool, calm_rules: Sequence[dict[str, Any]]
) -> list[Strike]:
    strikes = []
    replicas = list(range(REPLICAS))
    if freezes:
        frozen = replicas.pop(chance.randrange(len(replicas)))
        asleep = SESSION_SECONDS + chance.uniform(0.5, 4)
        strikes.append(Strike(chance.uniform(1.5, 5), Fault.FREEZE, asleep, frozen))
    kills = chance.choice([1, 1, 2, 3])
    strikes += [_on_worker(chance, Fault.KILL, seconds, chance.choice(replicas)) for _ in range(kills)]
    if chance.random() < 0.4:
        strikes.append(_on_worker(chance, Fault.TERMINATE, seconds, chance.choice(replicas)))
    if chance.random() < 0.25:
        fault = chance.choice([Fault.BROKER_STOP, Fault.BROKER_KILL])
        strikes.append(Strike(chance.uniform(2, seconds), fault, chance.uniform(0.2, 3)))
    for _ in range(chance.choice([0, 1, 1, 2])):
        rules = [*calm_rules, _rule(chance, chance.choice([0.1, 0.3, 0.6, 1.0]))]
        strikes.append(Strike(chance.uniform(1, seconds), Fault.UPSTREAM, chance.uniform(0.5, 4), rules=rules))
    return sorted(strikes, key=lambda strike: strike.at_seconds)


def _on_worker(chance: random.Random, fault: Fault, seconds: float, replica: int) -> Strike:
    """A process is back after a moment, as a container is."""
    return Strike(chance.uniform(1, seconds), fault, chance.uniform(0, 1.5), replica)


def _rule(chance: random.Random, probability: float) -> dict[str, Any]:
    effect: dict[str, Any] = chance.choice(
        [
            {"kind": "status", "status": 503},
            {"kind": "status", "status": 502, "apply": True},
            {"kind": "status", "status": 504, "apply": True},
            {"kind": "status", "status": 500},
            {"kind": "status", "status": 500, "apply": True},
            {"kind": "status", "status": 429, "retry_after": 1},
            {"kind": "hang"},
            {"kind": "hang", "apply": True},
            {"kind": "reset"},
            {"kind": "reset", "apply": True},
            {"kind": "truncate"},
            {"kind": "slow", "seconds": 0.1, "jitter_seconds": 0.5},
        ]
    )
    match: dict[str, Any] = {"probability": probability, "seed": chance.randrange(1_000_000)}
    if chance.random() < 0.5:
        match["method"] = chance.choice(["GET", "PATCH"])
    return {"match": match, "effect": effect}


def _shown(rule: dict[str, Any]) -> str:
    effect = rule["effect"]
    applied = ", applied" if effect.get("apply") else ""
    often = rule["match"].get("probability", 1)
    return f"[{often:.0%} of {rule['match'].get('method', 'all')}: {effect.get('status', effect['kind'])}{applied}]"

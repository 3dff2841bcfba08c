"""What befalls a life, and when: each fault waits for a stage of the work, and strikes a few steps into it."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What can befall a worker, Kafka or the upstream."""

    KILL = "killed"
    FREEZE = "frozen past the session"
    PAUSE = "frozen briefly"
    TERMINATE = "SIGTERM"
    CUT = "cut off from Kafka"
    FENCE = "fenced by a latecomer"
    COMMIT_FAILS = "commit fails"
    COMMIT_UNKNOWN = "commit of unknown fate"
    BROKER_DOWN = "broker down"
    REBALANCE = "rebalances"
    UPSTREAM_DOWN = "upstream fails"
    UPSTREAM_HANGS = "upstream hangs"


class Stage(StrEnum):
    """What a worker does at a moment."""

    JOINING = "joining"
    BUILDING = "building"
    READING_BACK = "reading back"
    GETTING = "getting"
    PATCHING = "patching"
    PUBLISHING = "publishing"
    COMMITTING = "committing"
    REVOKING = "revoking"
    DRAINING = "draining"
    BEATING = "beating"


STAGE_OF = {
    "join": Stage.JOINING,
    "fence": Stage.BUILDING,
    "read offsets": Stage.BUILDING,
    "read back": Stage.READING_BACK,
    "GET": Stage.GETTING,
    "PATCH": Stage.PATCHING,
    "publish": Stage.PUBLISHING,
    "offsets": Stage.PUBLISHING,
    "commit": Stage.COMMITTING,
    "revoke": Stage.REVOKING,
    "drain": Stage.DRAINING,
    "beat": Stage.BEATING,
}


@dataclass(slots=True)
class Strike:
    """One fault: it is armed at *armed_at*, waits for the *nth* time that a worker enters *stage*, and *steps* more."""

    fault: Fault
    stage: Stage
    armed_at: float
    nth: int
    steps: int


def draw(chance: random.Random, begins_at: float) -> list[Strike]:
    """Two to five faults, some close together."""
    strikes = []
    moment = begins_at
    for _ in range(chance.choice((2, 2, 3, 3, 4, 5))):
        moment += chance.choice((0.0, 0.5, 2.0, 8.0)) * chance.random()
        strikes.append(
            Strike(
                chance.choice(list(Fault)),
                chance.choice(list(Stage)),
                moment,
                chance.choice((1, 1, 2, 3, 8)),
                chance.choice((0, 0, 1, 2, 3, 5, 8, 13)),
            )
        )
    return strikes

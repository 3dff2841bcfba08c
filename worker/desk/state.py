"""What has become of a dead letter, as it is told to people. Pure."""

from collections.abc import Callable, Container
from enum import StrEnum

from handlers.replay import Place
from worker.desk.decisions import Action, Decision


class State(StrEnum):
    """Where a dead letter stands."""

    OPEN = "open"
    WAITING = "waiting"
    APPLIED = "applied"
    DIED_AGAIN = "died again"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"

    @property
    def meaning(self) -> str:
        """For the help."""
        return {
            State.OPEN: "nothing was decided",
            State.WAITING: "its replay waits for its turn",
            State.APPLIED: "its replay was applied",
            State.DIED_AGAIN: "its replay is a dead letter of its own",
            State.SUPERSEDED: "later commands had set all its fields",
            State.DISCARDED: "somebody gave it up",
        }[self]


def state(decision: Decision | None, *, died_again: Container[Place], is_settled: Callable[[int, int], bool]) -> State:
    """The state of a dead letter; *died_again* has the decisions' dead letters whose replay died."""
    if decision is None:
        return State.OPEN
    if decision.action is Action.SUPERSEDED:
        return State.SUPERSEDED
    if decision.placed is None:
        return State.DISCARDED
    if decision.died in died_again:
        return State.DIED_AGAIN
    return State.APPLIED if is_settled(decision.placed.partition, decision.placed.offset) else State.WAITING

"""How the group is, in one sentence, and what to do about it: the worst that is true comes first. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from worker.operations.group import GroupView
from worker.operations.words import clock, count, listed, number, span


class Level(StrEnum):
    """Whether somebody has to look."""

    WELL = "well"
    WAITS = "waits"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Health:
    """*name* is the state in a word or two, and changes only with it; *advice* says where to look."""

    level: Level
    name: str
    sentence: str
    advice: str = ""


def health(view: GroupView) -> Health:
    """The one sentence."""
    for judge in _JUDGES:
        found = judge(view)
        if found is not None:
            return found
    return Health(Level.WELL, "Idle", "All caught up: nothing waits.")


def _stuck(view: GroupView) -> Health | None:
    stuck = [replica for replica in view.replicas if not replica.alive]
    if not stuck:
        return None
    names = listed([replica.worker for replica in stuck])
    return Health(
        Level.TROUBLE,
        "Stuck",
        f"{names} {'is' if len(stuck) == 1 else 'are'} stuck: restart {'it' if len(stuck) == 1 else 'them'}.",
        f"{stuck[0].reason[:1].upper()}{stuck[0].reason[1:]}.",
    )


def _kafka(view: GroupView) -> Health | None:
    if view.kafka_answers or view.own.state == "starting":
        return None
    return Health(
        Level.TROUBLE,
        "Kafka does not answer",
        "Kafka does not answer: nothing is read, and what is done cannot be committed.",
        "The figures are those that the replicas had last. Nothing is lost; they go on when Kafka is back.",
    )


def _held(view: GroupView) -> Health | None:
    if not view.held_for:
        return None
    return Health(
        Level.TROUBLE,
        "Held",
        f"Held by a fault of this deployment: {_what_holds(view.held_for)}.",
        f"The upstream says {view.held_for}. Commands wait and nothing is given up. See UPSTREAM_TOKEN and "
        "UPSTREAM_BASE_URL; a corrected token file needs no restart.",
    )


def _what_holds(reason: str) -> str:
    status = reason.partition(":")[0]
    words = {"401": "the upstream refuses the token", "403": "the token lacks a scope"}
    if status.isdigit() and status.startswith("3"):
        return "the upstream’s address redirects elsewhere"
    return words.get(status, "nobody is known at the upstream’s address")


def _outage(view: GroupView) -> Health | None:
    failing = [kind.upper() for kind, state in view.circuits.items() if state != "closed"]
    if not failing:
        return None
    waiting = f"{count(view.lag, 'command')} wait{'s' if view.lag == 1 else ''}" if view.lag else "commands wait"
    return Health(
        Level.TROUBLE,
        "Upstream failing",
        f"The upstream is failing: {waiting}, and nothing is given up.",
        f"Most {listed(failing)} requests fail. A probe every two seconds finds out when it is back; "
        "a restart or a rollback would mend nothing.",
    )


def _starting(view: GroupView) -> Health | None:
    if any(replica.state != "starting" for replica in view.replicas):
        return None
    return Health(Level.WAITS, "Starting", "Starting: waiting for Kafka and for a place in the group.")


def _rebalancing(view: GroupView) -> Health | None:
    unowned = [partition for partition in view.partitions if not partition.replica]
    changing = view.state not in {"", "Stable"}
    out = [replica.worker for replica in view.replicas if replica.state == "running" and not replica.ready]
    if not (unowned or changing or out):
        return None
    advice = (
        f"{count(len(unowned), 'partition')} {'has' if len(unowned) == 1 else 'have'} no owner at present. "
        if unowned
        else ""
    )
    if view.silent:
        names = listed([silent.name for silent in view.silent])
        advice += f"{names} {'does' if len(view.silent) == 1 else 'do'} not answer. "
    return Health(
        Level.WAITS,
        "Rebalancing",
        "The group is rebalancing: commands wait until every partition has its owner.",
        f"{advice}It takes a second or so, and some ten where a member has gone without leaving.",
    )


def _silent(view: GroupView) -> Health | None:
    if not view.silent:
        return None
    total = len(view.replicas) + len(view.silent)
    one = len(view.silent) == 1
    return Health(
        Level.TROUBLE,
        "Replicas do not answer",
        f"{number(len(view.silent))} of {count(total, 'replica')} {'does' if one else 'do'} not answer.",
        f"{listed([f'{silent.name}: {silent.why}' for silent in view.silent])}. "
        f"{'Its' if one else 'Their'} figures are missing below, and Kafka’s stand for them.",
    )


def _limited(view: GroupView) -> Health | None:
    why, budget = view.customers.why, view.budget
    if budget is None or not why.get("limit") or why.get("under_way"):
        return None
    next_at = view.at_ms + round(budget.resets_in_seconds * 1000)
    return Health(
        Level.WAITS,
        "Rate limit used up",
        f"The rate limit is used up: {count(view.lag, 'command')} wait{'s' if view.lag == 1 else ''} for the next "
        f"window, in {span(budget.resets_in_seconds)}.",
        f"{number(budget.limit)} requests in {span(budget.window_seconds)} are all that the upstream takes; the next "
        f"ones go out at {clock(next_at)} UTC.{_done(view)}",
    )


def _busy(view: GroupView) -> Health | None:
    if not view.lag and not view.customers.waiting:
        return None
    waiting = view.lag or view.customers.waiting
    seconds = view.drained_in_seconds
    soon = f", settled in about {span(seconds)}" if seconds and seconds != math.inf else ""
    return Health(
        Level.WELL,
        "Working",
        f"Working: {count(waiting, 'command')} wait{'s' if waiting == 1 else ''}{soon}.",
        "Commands come faster than the upstream takes them." if seconds == math.inf else "",
    )


def _done(view: GroupView) -> str:
    if view.drained_in_seconds == math.inf:
        return " Commands come faster than that."
    if view.drained_in_seconds is None:
        return ""
    return f" All of it is settled in about {span(view.drained_in_seconds)}, if no more comes."


_JUDGES: tuple[Callable[[GroupView], Health | None], ...] = (
    _stuck,
    _kafka,
    _held,
    _outage,
    _starting,
    _rebalancing,
    _silent,
    _limited,
    _busy,
)

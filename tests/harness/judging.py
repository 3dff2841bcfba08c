"""Whether what came out is what was promised, judged from topics and the upstream's journal alone."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.load import Published
from harness.topics import Outcome


def lost(published: Iterable[Published], outcomes: Iterable[Outcome]) -> list[Published]:
    """Commands without any outcome."""
    answered = {outcome.command_id for outcome in outcomes}
    return [one for one in published if one.command_id not in answered]


def repeated(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Commands with more than one outcome, and how many they have."""
    return {command_id: n for command_id, n in Counter(one.command_id for one in outcomes).items() if n > 1}


def surprises(published: Iterable[Published], outcomes: Iterable[Outcome]) -> list[tuple[Published, str]]:
    """Commands that ended in another way than their kind says, and how."""
    kinds = {one.command_id: one for one in published}
    return [
        (kinds[outcome.command_id], outcome.reason or "event")
        for outcome in outcomes
        if outcome.command_id in kinds and kinds[outcome.command_id].kind != (outcome.reason or "event")
    ]


def out_of_order(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """Pairs of events of one customer of which the later one belongs to the earlier command; repeats aside.

    *outcomes* as read, in the order of each partition, of commands without CloudEvents attributes.
    """
    seen: set[str] = set()
    latest: dict[tuple[bytes | None, str], tuple[int, str]] = {}
    found = []
    for outcome in outcomes:
        if not outcome.is_event or outcome.command_id in seen:
            continue
        seen.add(outcome.command_id)
        _, partition, offset = outcome.command_id.rsplit(":", 2)
        customer = (outcome.key, partition)
        before = latest.get(customer, (-1, ""))
        if int(offset) < before[0]:
            found.append((before[1], outcome.command_id))
        latest[customer] = max(before, (int(offset), outcome.command_id))
    return found


def moved_back(journal: Iterable[Mapping[str, Any]]) -> int:
    """How often a PATCH gave a customer an older phone than one before it, where each command's phone is a number."""
    newest: dict[str, int] = defaultdict(int)
    times = 0
    for request in journal:
        phone = (request["body"] or {}).get("phone") if request["applied"] else None
        if phone is not None:
            times += int(phone) < newest[request["customer_id"]]
            newest[request["customer_id"]] = max(newest[request["customer_id"]], int(phone))
    return times

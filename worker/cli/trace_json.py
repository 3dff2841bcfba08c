"""What `trace` found, as JSON: names of fields always, their values and payloads only where they are to be revealed."""

from __future__ import annotations

import json
from typing import Any

from handlers.fields import shown_customer
from handlers.instants import format_instant
from worker.desk.decisions import Decision
from worker.tracking.fates import Applied, Dead, Fate, OutcomeGone, Repeated, Waiting
from worker.tracking.search import Findings, Story
from worker.tracking.seen import CommandSeen, Place, changes_in


def findings_as_json(findings: Findings, *, reveal: bool) -> dict[str, Any]:
    """All that was found; `found` is null where that is nothing."""
    found = "customer" if findings.customer is not None else "command" if findings.stories else None
    return {
        "found": found,
        "left_out": findings.left_out,
        "stories": [_story(story, reveal=reveal) for story in findings.stories],
    }


def instant(time_ms: int) -> str | None:
    """The time, None where there is none."""
    return format_instant(time_ms) if time_ms >= 0 else None


def fate_name(fate: Fate) -> str:
    """The fate in a word."""
    match fate:
        case Applied():
            return "applied"
        case Dead():
            return "dead_letter"
        case Repeated():
            return "repeated"
        case Waiting():
            return "waiting"
        case OutcomeGone():
            return "outcome_gone"


def took_ms(story: Story) -> int | None:
    """From the command's record to its outcome's, by their own times, which different clocks may have set."""
    if story.command is None or story.command.record.timestamp_ms < 0:
        return None
    match story.fate:
        case Applied(event=outcome) | Dead(death=outcome):
            return outcome.timestamp_ms - story.command.record.timestamp_ms
        case _:
            return None


def _story(story: Story, *, reveal: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"fate": fate_name(story.fate)}
    if story.command is not None:
        document["command"] = _command(story.command, reveal=reveal)
    elapsed = took_ms(story)
    if elapsed is not None:
        document["took_ms"] = elapsed
    return document | _fate(story.fate, reveal=reveal)


def _command(command: CommandSeen, *, reveal: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": command.id,
        "source": command.source,
        "replay": command.replay,
        "customer_id": shown_customer(command.record.key),
        "time": instant(command.record.timestamp_ms),
        **_place(command.place),
        "fields": list(command.fields),
    }
    if reveal:
        document["changes"] = changes_in(command.record.value)
    return document


def _fate(fate: Fate, *, reveal: bool) -> dict[str, Any]:
    match fate:
        case Applied(event=event):
            document: dict[str, Any] = {
                "event": {
                    "command_id": event.command_id,
                    "event_id": event.event_id,
                    "time": instant(event.timestamp_ms),
                    **_place(event.place),
                },
                "folded_with": list(fate.folded_with),
                "perhaps_folded_with": list(fate.perhaps_with),
                "repeated_events": [_place(one.place) for one in fate.repeated],
            }
            return {**document, "payload": _payload(event.value)} if reveal else document
        case Dead(death=death, decision=decision):
            letter = death.letter
            document = {
                "dead_letter": {
                    "command_id": letter.id,
                    "reason": letter.reason,
                    "error": letter.error,
                    "status": letter.status,
                    "attempts": letter.attempts,
                    "worker": death.worker,
                    "time": instant(death.timestamp_ms),
                    **_place(death.place),
                }
            }
            return document if decision is None else {**document, "decision": _decision(decision)}
        case Repeated(original=original):
            return {"original": _place(original)}
        case Waiting():
            return {"waiting": _waiting(fate)}
        case OutcomeGone():
            return {}


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "action": decision.action,
        "time": instant(decision.at_ms),
        "by": decision.by,
        "replay": decision.replay or None,
        "fields_left_out": list(decision.fields),
        "note": decision.note or None,
    }


def _waiting(fate: Waiting) -> dict[str, Any]:
    tried = fate.tried
    return {
        "committed": fate.committed,
        "before": fate.before,
        "of_customer_before": fate.of_customer_before,
        "may_be_under_way": fate.may_be_under_way,
        "overtaken_by": fate.overtaken_by,
        "failed_attempts": None if tried is None else tried.attempts,
        "failing_for_seconds": None if tried is None else tried.elapsed_seconds,
        "copy_of": None if fate.copy_of is None else _place(fate.copy_of),
    }


def _place(place: Place) -> dict[str, Any]:
    return {"topic": place.topic, "partition": place.partition, "offset": place.offset}


def _payload(value: bytes | None) -> Any:  # noqa: ANN401  # JSON of any shape
    try:
        return json.loads(value or b"null")
    except (ValueError, RecursionError):
        return None

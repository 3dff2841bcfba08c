"""What the log says of each command, and when."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from handlers.command import decode
from handlers.faults import Reason
from harness.builders import a_record
from worker.telemetry.reports import NEEDS_ATTENTION, Report, Reports
from worker.telemetry.trail import Arrivals, Exchange, Trail

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Clock:
    """Monotonic seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """At 100 seconds."""
    return Clock()


@pytest.fixture
def reports(clock: Clock) -> Reports:
    """Of one partition, where everything is told."""
    return Reports(now=clock, tells_events=True)


@pytest.fixture
def log() -> Iterator[list[MutableMapping[str, Any]]]:
    """Everything that is logged."""
    with capture_logs() as lines:
        yield lines


def died(reports: Reports, reason: Reason, *, trail: Trail | None = None) -> Report:
    """The report of a dead letter."""
    return reports.dead_letter(
        a_record(7), "an id", trail, TRACEPARENT, reason=reason, error="why", status=None, attempts=2
    )


def test_an_applied_command_has_one_line_with_what_an_operator_asks(
    clock: Clock, reports: Reports, log: list[MutableMapping[str, Any]]
) -> None:
    """Which command, where it is, how often it was tried, how long each part of its way took, and its trace."""
    command = decode(a_record(7, headers=(("traceparent", TRACEPARENT.encode()),)))
    reports.received(7)
    clock.now += 2
    trail = reports.taken([command] * 3)
    assert trail is not None
    trail.exchanges += [
        Exchange("GET", "Unavailable", 503, 1, 102.0, 102.1),
        Exchange("GET", "Ok", 200, 2, 102.6, 102.7),
        Exchange("PATCH", "Ok", 200, 2, 102.7, 102.8),
    ]
    clock.now = 102.8
    report = reports.event(command, trail)
    assert report is not None
    clock.now = 102.81
    reports.committed([report])
    reports.tell(committable=8)

    assert log == [
        {
            "event": "applied",
            "log_level": "info",
            "command": command.id,
            "partition": 0,
            "offset": 7,
            "attempts": 2,
            "requests": 3,
            "folded": 3,
            "waited_ms": 2000.0,
            "upstream_ms": 800.0,
            "commit_ms": 10.0,
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        }
    ]


def test_nothing_is_told_before_it_is_public(reports: Reports, log: list[MutableMapping[str, Any]]) -> None:
    """A worker that loses the partition before the commit has applied nothing that anybody can see."""
    report = died(reports, Reason.INVALID)
    assert log == []

    reports.committed([report])
    reports.tell(committable=8)
    assert [line["event"] for line in log] == ["dead_letter"]


@pytest.mark.parametrize("reason", Reason)
def test_a_dead_letter_that_the_operator_must_act_on_is_a_warning(
    reason: Reason, reports: Reports, log: list[MutableMapping[str, Any]]
) -> None:
    """A publisher's mistake is not."""
    reports.committed([died(reports, reason)])
    reports.tell(committable=8)

    assert log[0]["log_level"] == ("warning" if reason in NEEDS_ATTENTION else "info")
    assert (log[0]["reason"], log[0]["error"], log[0]["status"], log[0]["attempts"]) == (reason, "why", None, 2)


def test_where_nobody_listens_nothing_is_noted_and_dead_letters_are_told_all_the_same(
    clock: Clock, log: list[MutableMapping[str, Any]]
) -> None:
    """What is not known is left out."""
    reports = Reports(now=clock, tells_events=False)
    reports.received(7)

    assert reports.taken([decode(a_record(7))]) is None
    assert reports.event(decode(a_record(7)), None) is None
    reports.committed([died(reports, Reason.CONTRACT)])
    reports.tell(committable=8)
    assert "waited_ms" not in log[0]
    assert "requests" not in log[0]


def test_arrivals_are_known_by_batch_until_all_of_it_is_settled() -> None:
    """However many records a batch has, it takes one entry; gaps between offsets are normal."""
    arrivals = Arrivals()
    assert arrivals.of(5) is None
    for first_offset, now in ((5, 1.0), (9, 2.0), (9, 2.5), (20, 3.0)):
        arrivals.note(first_offset, now)

    assert [arrivals.of(offset) for offset in (4, 5, 8, 9, 19, 20, 1_000)] == [None, 1.0, 1.0, 2.5, 2.5, 3.0, 3.0]
    arrivals.forget(12)
    assert [arrivals.of(offset) for offset in (8, 9, 19, 20)] == [None, 2.5, 2.5, 3.0]
    arrivals.forget(1_000)
    assert len(arrivals) == 1

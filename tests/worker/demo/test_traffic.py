"""The day of the demo shows what it claims to show."""

import textwrap

import pytest

from handlers.command import decode
from handlers.errors import CommandRefused, Reason
from handlers.fields import is_uuid
from handlers.record import CommandRecord
from worker.demo.picture import NARRATION_ROWS
from worker.demo.traffic import DAY, FIRMS, Line, Planned, Scene

LINES = [line for scene in DAY for line in (*scene.lines, *scene.meanwhile)]
COMMANDS = [command for line in LINES for command in line.commands]
REFUSED_BY_DECODING = {Reason.UNDECODABLE, Reason.INVALID}


def record(command: Planned) -> CommandRecord:
    """The command as the worker reads it."""
    return CommandRecord("customer.update", 0, 7, 0, command.key, command.value, command.headers)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.becomes not in REFUSED_BY_DECODING], ids=str)
def test_commands_that_are_meant_to_be_read_are_read(command: Planned) -> None:
    """Whatever form it has, a command means what the accounting counts on."""
    decoded = decode(record(command))

    assert decoded.customer_id == command.customer_id
    assert decoded.id == (command.id or "customer.update:0:7")
    if command.becomes is None:
        assert decoded.changes == command.changes


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.becomes in REFUSED_BY_DECODING], ids=str)
def test_broken_commands_are_broken_in_one_way(command: Planned) -> None:
    """One mistake each, so that the dead letter tells the one that was meant."""
    with pytest.raises(CommandRefused) as refused:
        decode(record(command))

    assert refused.value.reason is command.becomes
    assert len(refused.value.problems) == 1


def test_every_reason_that_can_be_shown_in_seconds_is_shown() -> None:
    """An event too large for its topic would take a megabyte."""
    assert {command.becomes for command in COMMANDS} == {*Reason, None} - {Reason.TOO_LARGE}


def test_customers_are_real_ones_to_the_upstream() -> None:
    """Ids are UUIDs, each of one customer."""
    assert all(is_uuid(firm.id) for firm in FIRMS)
    assert len({firm.id for firm in FIRMS}) == len(FIRMS)


def test_the_outage_concerns_most_customers() -> None:
    """The circuit opens when most of the customers seen lately fail, so most of them have to be asked about."""
    outage = DAY[-1]

    assert outage.outage_seconds is not None
    assert len({line.commands[0].customer_id for line in outage.lines}) > len(FIRMS) / 2


@pytest.mark.parametrize("scene", DAY, ids=lambda scene: scene.clock)
def test_narrations_fit_a_terminal_of_eighty_columns(scene: Scene) -> None:
    """Nobody reads the end of a text that was cut."""
    for text in (scene.narration, scene.afterwards):
        assert len(textwrap.wrap(text, 78)) <= NARRATION_ROWS


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.who} {line.what}")
def test_lines_fit_their_columns(line: Line) -> None:
    """On a terminal of eighty columns."""
    assert len(line.who) <= 13
    assert len(line.what) <= 19


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.who} {line.what}")
def test_a_line_is_about_one_customer_and_ends_in_one_way(line: Line) -> None:
    """So that one mark and one count of requests can stand for all of its commands."""
    assert len({(command.customer_id, command.becomes) for command in line.commands}) == 1


def test_scenes_follow_the_clock() -> None:
    """The summary tells them apart by their time."""
    clocks = [scene.clock for scene in DAY]

    assert clocks == sorted(set(clocks))

"""What a log line shows, and what it never does."""

import json
import re
import subprocess
import sys

import pytest

PROGRAM = """
import logging, structlog
from worker.telemetry.logging import configure_logging

configure_logging("{level}", "{style}")

def work():
    email = "jane.roe" + "@private.example"
    raise ValueError("went wrong")

structlog.get_logger("worker.app").info("begun", partition=3)
try:
    work()
except ValueError:
    logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=True)
logging.getLogger("aiokafka").info("whole records")
logging.getLogger("aiokafka").warning("a warning")
"""


def said(*, level: str = "DEBUG", style: str = "json") -> str:
    """What a process writes that logs in this way."""
    program = PROGRAM.format(level=level, style=style)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_shows_no_local_variables(style: str) -> None:
    """They hold whole records, tokens and passwords."""
    log = said(style=style)

    assert "ValueError: went wrong" in log
    assert "jane.roe@private.example" not in log


def test_json_is_one_object_a_line_also_with_a_traceback() -> None:
    """Of structlog and of the libraries alike."""
    lines = [json.loads(line) for line in said().splitlines()]

    assert [line["event"] for line in lines] == ["begun", "Task exception was never retrieved", "a warning"]
    assert (lines[0]["level"], lines[0]["partition"]) == ("info", 3)
    assert "Traceback" in lines[1]["exception"]


@pytest.mark.parametrize("style", ["json", "console"])
def test_the_kafka_libraries_are_heard_from_warnings_on(style: str) -> None:
    """Below that they write whole records."""
    log = said(style=style)

    assert "a warning" in log
    assert "whole records" not in log


def test_the_console_has_no_colours_where_nobody_sees_them() -> None:
    """A file or a pipe gets plain text."""
    assert "\x1b" not in said(style="console")


def test_what_is_below_the_level_is_not_written() -> None:
    """Of structlog and of the libraries alike."""
    assert said(level="ERROR").count("\n") == 1


def test_a_text_that_is_no_unicode_is_a_line_all_the_same() -> None:
    """A file's name may hold half a surrogate pair."""
    program = PROGRAM.format(level="INFO", style="json") + "structlog.get_logger().info('odd', file='\\udcff')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)

    assert json.loads(done.stderr.splitlines()[-1])["file"] == "\udcff"


@pytest.mark.parametrize("style", ["json", "console"])
def test_lines_that_are_written_together_look_like_any_others(style: str) -> None:
    """Each on a line of its own, with its level and the time."""
    program = PROGRAM.format(level="INFO", style=style) + (
        "from worker.telemetry.logging import info_together\n"
        "structlog.get_logger().info('applied', offset=1)\n"
        "info_together('applied', [{'offset': 2}, {'offset': 3}])\n"
        "info_together('applied', [])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    lines = [re.sub(r"\d{4}-\S+Z", "TIME", line) for line in done.stderr.splitlines()[-3:]]

    if style == "json":
        told = [json.loads(line) for line in lines]
        assert told == [
            {"event": "applied", "offset": offset, "level": "info", "timestamp": "TIME"} for offset in (1, 2, 3)
        ]
    else:
        assert [line.split() for line in lines] == [f"TIME [info ] applied offset={n}".split() for n in (1, 2, 3)]


REPEATING = """
from worker.telemetry import logging as worker_logging
log = structlog.get_logger()
for number in range(50):
    log.warning("commit_repeated", partition=number)
    log.warning("command_on_wrong_partition", ce_source="/crm" if number % 2 else "/shop")
    logging.getLogger("aiokafka").error("Unable to connect to node %s", number)
    log.info("applied", offset=number)
    log.warning("dead_letter", offset=number)
worker_logging.sum_up(time.monotonic() + 31)
worker_logging.sum_up(time.monotonic() + 32)
"""


@pytest.mark.parametrize("style", ["json", "console"])
def test_failures_that_go_on_are_summed_up_and_outcomes_are_not(style: str) -> None:
    """Of the worker's own lines and of the libraries' alike."""
    program = "import time" + PROGRAM.format(level="INFO", style=style).replace("whole records", "") + REPEATING
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    lines = done.stderr.splitlines()

    assert (
        len([line for line in lines if "applied" in line])
        == len([line for line in lines if "dead_letter" in line])
        == 50
    )
    assert len([line for line in lines if "commit_repeated" in line]) == 2
    assert len([line for line in lines if "command_on_wrong_partition" in line]) == 4
    assert len([line for line in lines if "Unable to connect to node" in line]) == 2
    if style == "json":
        (summary,) = [
            line for line in map(json.loads, lines) if line["event"] == "commit_repeated" and "repeated" in line
        ]
        assert (summary["level"], summary["partition"], summary["repeated"]) == ("warning", 49, 49)
        assert summary["is_over"] is False

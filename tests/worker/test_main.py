"""The command as a process: help, exit codes, signals, no tracebacks."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.topics import Topics
from worker.cli.failure import ExitCode
from worker.settings import Settings, variable_of

CUSTOMER = "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"
COMMANDS = ["run", "demo", "send", "watch", "check", "config", "topics create", "schema"]
NO_KAFKA = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
SECRET = "planted-secret-4711"


def environment(**variables: str) -> dict[str, str]:
    """What the process needs, and nothing of ours but *variables*."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # noqa: TID251  # as above
    return inherited | variables


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m worker` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_console_script_is_the_same_as_the_module() -> None:
    """`customer-sync` stands beside the interpreter it was installed for."""
    script = Path(sys.executable).with_name("customer-sync")

    finished = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=True)

    assert finished.stdout == run("--version").stdout
    assert finished.stdout.startswith("customer-sync 0.")


def test_help_names_every_command_exit_code_and_variable() -> None:
    """The first look tells what there is."""
    finished = run("--help")

    assert finished.returncode == 0
    words = finished.stdout.split()
    assert {command.split()[0] for command in COMMANDS} <= set(words)
    assert {str(int(code)) for code in ExitCode} <= set(words)
    assert {variable_of(name) for name in Settings.model_fields} <= set(words)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command: str) -> None:
    """An example says more than a list of options; each of them is written as it would be typed."""
    finished = run(*command.split(), "--help")

    assert finished.returncode == 0
    assert "Example" in finished.stdout
    assert f"customer-sync {command}" in finished.stdout


@pytest.mark.parametrize("command", ["--help", "send --help", "--version"])
def test_help_imports_no_client_library(command: str) -> None:
    """Help has to come at once: what takes long to import is imported by the commands that need it."""
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "worker", *command.split()],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert "typer" in imported
    assert imported.isdisjoint({"aiokafka", "aiohttp", "faststream", "confluent_kafka", "rich", "uvicorn", "structlog"})


@pytest.mark.parametrize(
    ("arguments", "variables", "exit_code"),
    [
        pytest.param(["config"], {}, ExitCode.OK, id="all well"),
        pytest.param(["send", CUSTOMER, "--set", "emial=x"], {}, ExitCode.FAILED, id="a command that would be refused"),
        pytest.param(["check", "--no-upstream"], NO_KAFKA, ExitCode.FAILED, id="a bad verdict"),
        pytest.param(["fly"], {}, ExitCode.USAGE, id="an unknown command"),
        pytest.param(["send"], {}, ExitCode.USAGE, id="a missing argument"),
        pytest.param(["config"], {"HTTP_PORT": "x"}, ExitCode.USAGE, id="a faulty setting"),
        pytest.param(["run"], NO_KAFKA, ExitCode.USAGE, id="a missing token"),
        pytest.param(["watch"], NO_KAFKA, ExitCode.NO_KAFKA, id="watch without Kafka"),
        pytest.param(["topics", "create"], NO_KAFKA, ExitCode.NO_KAFKA, id="topics create without Kafka"),
        pytest.param(["send", CUSTOMER, "--clear", "note"], NO_KAFKA, ExitCode.NO_KAFKA, id="send without Kafka"),
    ],
)
def test_exit_code_says_what_happened(arguments: list[str], variables: dict[str, str], exit_code: ExitCode) -> None:
    """Scripts go by it; people read one clear line, never a traceback or a client library's log."""
    finished = run(*arguments, **variables)

    written = finished.stdout + finished.stderr
    assert finished.returncode == exit_code, written
    assert "Traceback" not in written
    assert "aiokafka" not in written
    assert SECRET not in written


def test_bug_shows_its_traceback_and_an_exit_code_of_its_own() -> None:
    """Nobody should take a bug for a verdict."""
    broken = "import sys, worker.cli.config as c; c.usable_settings = lambda: 1 / 0; from worker.__main__ import main; "
    finished = subprocess.run(
        [sys.executable, "-c", f"{broken} sys.argv = ['', 'config']; main()"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == ExitCode.BUG
    assert "ZeroDivisionError" in finished.stderr


@pytest.mark.broker
def test_control_c_ends_watch_without_a_traceback(topics: Topics) -> None:
    """The usual end of `watch`: nothing went wrong, and the shell sees the signal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "watch"],
        env=environment(**topics.environment()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "Ctrl-C" in process.stderr.readline()

    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 130
    assert errors == ""


def test_colours_stay_out_of_pipes_and_of_no_color() -> None:
    """A log or a script must not get escape sequences, and https://no-color.org is kept on a terminal."""
    piped = run("config")
    on_terminal = _on_a_terminal("config")
    without = _on_a_terminal("config", NO_COLOR="1")

    assert "\x1b" not in piped.stdout
    assert "\x1b[2m" in on_terminal
    assert "\x1b[3" not in without


def _on_a_terminal(*arguments: str, **variables: str) -> str:
    """What the command writes to a terminal."""
    here, there = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "worker", *arguments],
        env=environment(TERM="xterm-256color", **variables),
        stdout=there,
        stderr=there,
    ) as process:
        os.close(there)
        written = b""
        while True:
            try:
                piece = os.read(here, 65_536)
            except OSError:  # Linux says so when the other side is closed
                break
            if not piece:
                break
            written += piece
        process.wait(timeout=60)
    os.close(here)
    return written.decode()

"""The demo as a person runs it: real processes from the first to the last, and none of them left."""

import os
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.polling import wait_until
from harness.process import ManagedProcess
from harness.reaper import Reaper
from worker.demo.stage import stage

pytestmark = pytest.mark.broker

DEMO = [sys.executable, "-m", "worker", "demo"]
SHORT_DAY = "import sys; from worker.demo import main; main.DAY = main.DAY[:1]; sys.exit(main.run_demo(keep=True))"
CONTROL_CODES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """The tests' own, with a place for temporary files that can be looked at."""
    return {**os.environ, "TMPDIR": str(tmp_path), **more}  # noqa: TID251 -- handed on


def is_clean(tmp_path: Path) -> bool:
    """Whether the demo's directory is gone, which the guard's sweeper removes once the processes have ended."""
    return not list(tmp_path.glob("customer-sync-demo-*"))


def accepts(port: int) -> bool:
    """Whether a process listens on *port*."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def started(command: Sequence[str], tmp_path: Path, reaper: Reaper, **more: str) -> ManagedProcess:
    """The demo without a terminal."""
    return ManagedProcess(command, log=tmp_path / "output", reaper=reaper, environment=environment(tmp_path, **more))


def ports(demo: ManagedProcess) -> list[int]:
    """Where its processes listen, as soon as it says so."""
    said = wait_until(
        lambda: re.search(r"^Kafka on .*", demo.output(), re.MULTILINE),
        within_seconds=30,
        what="it says where it listens",
    )
    return [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", said[0])] if said else []


def test_demo_accounts_for_every_command_in_time(tmp_path: Path, reaper: Reaper) -> None:
    """All of a day, as plain lines without a control code; somebody's real settings do not matter."""
    demo = started(DEMO, tmp_path, reaper, KAFKA_BOOTSTRAP_SERVERS="kafka.invalid:9092", KAFKA_SECURITY_PROTOCOL="SSL")
    exit_code = demo.wait(120)
    output = demo.output()

    assert exit_code == 0, output
    assert not CONTROL_CODES.search(output)
    figures = re.findall(r"^  all +(\d+) +(\d+) +(\d+)", output, re.MULTILINE)
    sent, events, dead_letters = map(int, figures[0])
    assert (sent - events, dead_letters) == (11, 11)
    assert (output.count("✓"), output.count("✗")) == (6, 0)
    first, whole = (float(seconds) for seconds in re.findall(r"([\d.]+) s (?:after the start|in all)", output))
    assert first <= 15  # 2 on an idle machine
    assert whole <= 45  # 20
    assert is_clean(tmp_path)


def test_what_is_kept_running_ends_well_with_ctrl_c(tmp_path: Path, reaper: Reaper) -> None:
    """After the day everything goes on; commands sent by hand are answered; Ctrl-C is then the regular end."""
    demo = started([sys.executable, "-c", SHORT_DAY], tmp_path, reaper)
    wait_until(lambda: " --wait 10" in demo.output(), within_seconds=120, what="it invites to join in")
    output = demo.output()
    variables = dict(re.findall(r"^export (\w+)=(.*)", output, re.MULTILINE))
    customer = re.findall(r"send (\S+) --set", output)[0]
    command = [sys.executable, "-m", "worker", "send", customer, "--set", "city=Galway", "--wait", "20"]
    sent = subprocess.run(
        command, env=environment(tmp_path, **variables), capture_output=True, text=True, timeout=60, check=False
    )
    wait_until(lambda: f" event        {customer}" in demo.output(), within_seconds=20, what="it tells of the event")
    demo.send_signal(signal.SIGINT)
    exit_code = demo.wait(20)

    assert (sent.returncode, exit_code) == (0, 0), sent.stdout + sent.stderr + demo.output()
    assert not any(accepts(port) for port in ports(demo))
    assert is_clean(tmp_path)


def test_killed_demo_leaves_nothing(tmp_path: Path, reaper: Reaper) -> None:
    """SIGKILL gives it no time to clean up: its guard does."""
    demo = started(DEMO, tmp_path, reaper)
    listening = ports(demo)
    demo.kill()

    assert len(listening) == 3
    wait_until(lambda: is_clean(tmp_path), within_seconds=10, what="its directory is gone")
    wait_until(lambda: not any(map(accepts, listening)), within_seconds=10, what="its processes are gone")


def test_ctrl_c_in_the_middle_gives_the_terminal_back(tmp_path: Path) -> None:
    """The live picture goes, one line says why, and nothing is left running."""
    ours, its = os.openpty()
    termios.tcsetwinsize(its, (24, 80))
    with subprocess.Popen(
        DEMO,
        stdin=its,
        stdout=its,
        stderr=its,
        env=environment(tmp_path, TERM="xterm-256color"),
        start_new_session=True,
    ) as demo:
        os.close(its)
        shown = ""
        while "10:00" not in shown:
            shown += os.read(ours, 65536).decode(errors="replace")
        demo.send_signal(signal.SIGINT)
        signalled = time.monotonic()
        while more := _read(ours):
            shown += more.decode(errors="replace")
        exit_code = demo.wait(10)
        seconds = time.monotonic() - signalled
    os.close(ours)

    assert exit_code == 130
    assert seconds < 10
    assert shown.count("\x1b[?1049h") == shown.count("\x1b[?1049l") == 1
    after_the_picture = shown[shown.index("\x1b[?1049l") :]
    assert "Stopped before the end of the day. Nothing is left running." in after_the_picture
    assert "Traceback" not in shown
    assert is_clean(tmp_path)


def _read(descriptor: int) -> bytes:
    """What the terminal shows next; nothing once its last writer is gone (an error on Linux)."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_worker_that_cannot_run_ends_the_demo_with_its_last_words(tmp_path: Path, reaper: Reaper) -> None:
    """Exit code 1, what happened, and what the worker has logged; no traceback of the demo's own."""
    (tmp_path / "uvicorn.py").write_text("raise ImportError('uvicorn is broken on this machine')\n")
    demo = started(DEMO, tmp_path, reaper, PYTHONPATH=str(tmp_path))
    exit_code = demo.wait(60)

    assert exit_code == 1
    assert "the worker ended by itself (exit code " in demo.output()
    assert "uvicorn is broken on this machine" in demo.output()
    assert "ExceptionGroup" not in demo.output()
    assert is_clean(tmp_path)


def test_reader_who_leaves_ends_the_demo_quietly(tmp_path: Path) -> None:
    """As in `customer-sync demo | head -2`."""
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(tmp_path)
    ) as demo:
        assert demo.stdout is not None
        demo.stdout.readline()
        demo.stdout.close()
        assert demo.stderr is not None
        complaint = demo.stderr.read()
        exit_code = demo.wait(60)

    assert (exit_code, complaint) == (1, "")
    wait_until(lambda: is_clean(tmp_path), within_seconds=10, what="its directory is gone")


async def test_process_that_ends_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is, the day cannot go on without it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with stage() as built:
        await built.start()
        built._parts["worker"].kill()
        with pytest.RaisesGroup(pytest.RaisesExc(Exception, match=r"^the worker ended by itself \(exit code -9\)$")):
            await built.watch()

    assert all(part.returncode is not None for part in built._parts.values())
    assert is_clean(tmp_path)

"""``python -m worker.demo.upstream``: a process that says where it listens and ends when it is told to."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest

from worker.demo.upstream import RW_TOKEN, customer_id_for
from worker.demo.upstream.__main__ import main

COMMAND = (sys.executable, "-m", "worker.demo.upstream")


@pytest.fixture
async def upstream() -> AsyncIterator[asyncio.subprocess.Process]:
    """A process on a free port, with customers and a limit of its own; killed should the test fail."""
    options = ("--port", "0", "--customers", "2", "--rate-limit", "7", "--rate-window-seconds", "60")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, *options, stdout=pipe, stderr=pipe)
    yield process
    if process.returncode is None:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_says_where_it_listens_and_ends_cleanly(
    upstream: asyncio.subprocess.Process, number: signal.Signals
) -> None:
    """Also while a request hangs."""
    assert upstream.stdout is not None
    async with asyncio.timeout(30):
        line = (await upstream.stdout.readline()).decode()
        assert line.startswith("simulated upstream on http://127.0.0.1:")
        async with aiohttp.ClientSession(line.split()[-1]) as session:
            async with session.get("/healthz") as answer:
                assert answer.status == 200
            headers = {"Authorization": f"Bearer {RW_TOKEN}"}
            async with session.get(f"/customers/{customer_id_for(1)}", headers=headers) as answer:
                assert (answer.status, answer.headers["RateLimit-Policy"]) == (200, "7;w=60")
            async with session.post("/control", json={"faults": [{"effect": {"kind": "hang"}}]}) as answer:
                assert answer.status == 204
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(dropped(session))
                while True:
                    async with session.get("/control?journal=0") as answer:
                        if (await answer.json())["under_way"]:
                            break
                upstream.send_signal(number)
        output, errors = await upstream.communicate()

    assert (upstream.returncode, output, errors) == (0, b"", b"")


def test_an_address_that_is_taken_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["--port", str(taken.getsockname()[1])]) == 1

    errors = capsys.readouterr().err
    assert errors.startswith("cannot listen on 127.0.0.1:")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "options", [("--latency", "-1"), ("--rate-limit", "many"), ("--port", "x"), ("--rate-window-seconds", "0")]
)
def test_an_option_that_is_wrong_is_named(options: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """And exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(options)

    assert ended.value.code == 2
    assert f"argument {options[0]}: " in capsys.readouterr().err


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """With the tokens and the control JSON."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    output = capsys.readouterr().out
    assert ended.value.code == 0
    assert "example:" in output
    assert RW_TOKEN in output


async def dropped(session: aiohttp.ClientSession) -> None:
    """A request that ends without an answer."""
    with pytest.raises(aiohttp.ClientError):
        await session.get(f"/customers/{customer_id_for(1)}")

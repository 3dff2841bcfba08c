"""``python -m worker.demo.upstream``: the simulated upstream as a process of its own."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from worker.demo.upstream import NONE_TOKEN, RO_TOKEN, RW_TOKEN, SimulatedUpstream

_EPILOG = f"""\
tokens:
  read and write  {RW_TOKEN}
  read only       {RO_TOKEN}
  no scope        {NONE_TOKEN}

control:
  POST /control replaces what its JSON names: customers, generate_customers, tags_known, rate_limit,
  rate_window_seconds, tokens, latency_seconds, faults, restart. GET /control shows the state and a
  journal of requests (?since=N, ?limit=N, ?journal=0, ?customers=0).

example:
  python -m worker.demo.upstream --port 8081 --customers 1000 --latency 0.05
  curl -X POST http://127.0.0.1:8081/control \\
    -d '{{"faults": [{{"match": {{"method": "PATCH"}}, "effect": {{"kind": "status", "status": 503}}}}]}}'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGINT or SIGTERM; 0 then, 1 where the address cannot be had. *arguments* as ``sys.argv[1:]``."""
    return asyncio.run(_serve(_parser().parse_args(arguments)))


async def _serve(options: argparse.Namespace) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    upstream = SimulatedUpstream(
        options.host,
        options.port,
        rate_limit=options.rate_limit,
        rate_window_seconds=options.rate_window_seconds,
        latency_seconds=options.latency,
        customers=options.customers,
    )
    try:
        await upstream.start()
    except OSError as error:
        print(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}; choose another --port", file=sys.stderr
        )
        return 1
    print(f"simulated upstream on {upstream.url}", flush=True)
    try:
        await stopped.wait()
    finally:
        await upstream.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker.demo.upstream",
        description="Serves GET and PATCH /customers/{id} as the real upstream was recorded to answer them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_whole_number, default=8081, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--latency", type=_seconds, default=0.0, metavar="SECONDS", help="of every answer (default: %(default)s)"
    )
    parser.add_argument(
        "--customers", type=_whole_number, default=0, metavar="N", help="customers to begin with (default: %(default)s)"
    )
    parser.add_argument(
        "--rate-limit",
        type=_limit,
        default=1000,
        metavar="N",
        help='requests of a user in a window, or "none" (default: %(default)s)',
    )
    parser.add_argument(
        "--rate-window-seconds", type=_window, default=600.0, metavar="SECONDS", help="(default: %(default)s)"
    )
    return parser


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def _limit(text: str) -> int | None:
    return None if text == "none" else _whole_number(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 to 86400")
    return seconds


def _window(text: str) -> float:
    seconds = _seconds(text)
    if seconds == 0:
        raise argparse.ArgumentTypeError("a window lasts longer than 0 seconds")
    return seconds


if __name__ == "__main__":
    sys.exit(main())

"""One worker under steady load for an hour, with a fault every minute: `make soak MINUTES=60`.

    make soak MINUTES=60 RATE=200          commands a second; without RATE, half of what a short calibration settles
    make soak ARGS="--plan"                which faults come when

The worker that is watched lives on: it is frozen for moments, its upstream fails and cuts connections off, Kafka
restarts, and another member joins and leaves. Each second its memory and its open files are looked at, and the number
of its tasks. Samples, a picture and the log stay in .artifacts/soak/.
"""

import argparse
import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.endurance import Judge, Publisher, stale
from benchmarks.figures import Figure, Workshop, promised_none, report, say, told, workshop
from benchmarks.sampling import Sample, Sampler
from harness.broker import free_port
from harness.polling import eventually, wait_until
from harness.process import ManagedProcess
from harness.topics import create_topics
from harness.worker_process import WorkerProcess

PARTITIONS = 6
CUSTOMERS = 2_000
LATENCY_MS = 20
CALIBRATION_COMMANDS = 20_000
# Memory may grow before: windows of ids fill, buffers find their size.
SETTLING_IN_SECONDS = 600.0
MOST_GROWTH = 0.02
MINUTE = 60.0
SAY_EVERY_SECONDS = 60.0
# Idle connections are gone by then, at either end.
QUIET_SECONDS = 75.0
LONGEST_DRAIN_SECONDS = 300.0


def main() -> int:
    """Runs it, and prints what was found."""
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, help="commands a second (half of what a calibration settles)")
    parser.add_argument("--into", type=Path, default=Path(".artifacts/soak"), metavar="FOLDER", help="%(default)s")
    parser.add_argument("--plan", action="store_true", help="print the faults, and do nothing")
    options = parser.parse_args()
    if options.plan:
        for minute in range(1, int(options.minutes)):
            print(f"{minute:3} min: {_fault(minute)[0]}")
        return 0
    with workshop(keep_in=options.into) as shop:
        figures = asyncio.run(Soak(shop, options.minutes * MINUTE, options.rate).run())
    return report(f"make soak, {options.minutes:g} minutes", figures)


class Soak:
    """The worker that is watched, and all that befalls it."""

    def __init__(self, shop: Workshop, seconds: float, rate: float | None) -> None:
        self._shop = shop
        self._seconds = seconds
        self._rate = rate
        self._faults: list[tuple[float, str]] = []
        self._began = time.monotonic()

    async def run(self) -> list[Figure]:
        """From the first command to the table."""
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        upstream = ManagedProcess(
            [sys.executable, str(Path(__file__).parent / "upstream.py"), "--port", str(port)],
            log=self._shop.folder / "upstream.log",
            reaper=self._shop.reaper,
        )
        wait_until(self._upstream_answers, within_seconds=20, what="the upstream answers")
        _call(f"{self._url}/reset?latency_ms={LATENCY_MS}")
        self._topics = await create_topics(self._shop.broker, partitions=PARTITIONS)
        (self._shop.folder / "worker.log").unlink(missing_ok=True)
        self._worker = self._start("worker")
        await self._worker.wait_ready()
        publisher, judge = Publisher(self._topics, customers=CUSTOMERS), Judge(self._topics)
        try:
            return await self._watch(publisher, judge)
        finally:
            judge.end()
            self._worker.end()
            upstream.end()

    async def _watch(self, publisher: Publisher, judge: Judge) -> list[Figure]:
        rate, how = self._rate, "as asked for"
        if rate is None:
            best = await self._calibrate(publisher, judge)
            rate, how = best / 2, f"half of {best:,.0f} in a calibration"
        sampler = Sampler(self._worker.pid, f"http://127.0.0.1:{self._worker.port}")
        self._began = time.monotonic()
        await self._sample(sampler, judge, QUIET_SECONDS)
        at_rest = sampler.samples[-1]
        say(f"at rest: {_words(at_rest)}; {rate:,.0f} commands a second from now on")
        publisher.per_second = rate
        async with asyncio.TaskGroup() as tasks:
            striking = tasks.create_task(self._strike())
            await self._sample(sampler, judge, QUIET_SECONDS + self._seconds)
            striking.cancel()
        publisher.end()
        drained = await self._drained(publisher, judge, sampler)
        await self._sample(sampler, judge, time.monotonic() - self._began + QUIET_SECONDS)
        figures = self._figures(publisher, judge, sampler, at_rest)
        sampler.write(self._shop.folder, title="Resident memory of the worker, MiB", faults=self._faults)
        head = [
            told("commands", f"{publisher.published:,}"),
            told("rate", f"{rate:,.0f}/s ({how})"),
            told("faults", f"{len(self._faults)}"),
            told("drained", "at once" if drained < 1 else f"{drained:.0f} s after the load's end"),
        ]
        return head + figures

    async def _calibrate(self, publisher: Publisher, judge: Judge) -> float:
        """Commands a second that it settles of a burst, once it has settled a smaller one."""
        await _settled(publisher, judge, CALIBRATION_COMMANDS // 4)
        return CALIBRATION_COMMANDS / await _settled(publisher, judge, CALIBRATION_COMMANDS)

    async def _sample(self, sampler: Sampler, judge: Judge, until: float) -> None:
        """Samples each second until so many seconds after the beginning; fails where the worker has ended."""
        said_at = time.monotonic()
        while (now := time.monotonic()) < self._began + until:
            if self._worker.returncode is not None:
                message = f"the worker ended with {self._worker.returncode}: {self._worker.log(last_lines=5)}"
                raise AssertionError(message)
            found = await asyncio.to_thread(sampler.sample, outcomes=judge.outcomes)
            if now - said_at >= SAY_EVERY_SECONDS:
                said_at = now
                last_fault = self._faults[-1][1] if self._faults else "none yet"
                say(f"{found.seconds / MINUTE:5.1f} min: {_words(found)}, {found.outcomes:,} settled; {last_fault}")
            await asyncio.sleep(max(now + 1 - time.monotonic(), 0))

    async def _strike(self) -> None:
        """A fault at each full minute of the load."""
        first = self._began + QUIET_SECONDS
        for minute in range(1, int(self._seconds / MINUTE)):
            await asyncio.sleep(max(first + minute * MINUTE - time.monotonic(), 0))
            what, strike = _fault(minute)
            self._faults.append((time.monotonic() - self._began, what))
            await strike(self)

    async def freeze(self) -> None:
        """Shorter than the group's patience, longer than any request."""
        self._worker.sigstop()
        await asyncio.sleep(3)
        self._worker.sigcont()

    async def outage(self) -> None:
        """Opens the circuits."""
        await self._fail(503, every=1, seconds=10)

    async def cut_off(self) -> None:
        """After it has carried the request out."""
        await self._fail(0, every=10, seconds=10)

    async def restart_kafka(self) -> None:
        """As in an update of the broker."""
        broker = self._shop.broker
        if not broker.can_restart:
            return
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)

    async def rebalance(self) -> None:
        """Half of the partitions go, and come back."""
        other = self._start("other")
        await other.wait_ready(within_seconds=60)
        await asyncio.sleep(10)
        other.sigterm()
        await other.wait(within_seconds=60)

    async def _fail(self, status: int, *, every: int, seconds: float) -> None:
        await asyncio.to_thread(_call, f"{self._url}/fail?status={status}&every={every}")
        await asyncio.sleep(seconds)
        await asyncio.to_thread(_call, f"{self._url}/fail?status=0&every=0")

    async def _drained(self, publisher: Publisher, judge: Judge, sampler: Sampler) -> float:
        began = time.monotonic()
        while judge.outcomes < publisher.published and time.monotonic() < began + LONGEST_DRAIN_SECONDS:
            await self._sample(sampler, judge, time.monotonic() - self._began + 0.5)
        return time.monotonic() - began

    def _figures(self, publisher: Publisher, judge: Judge, sampler: Sampler, at_rest: Sample) -> list[Figure]:
        load_from, load_to = QUIET_SECONDS, QUIET_SECONDS + self._seconds
        settled_in = load_from + min(SETTLING_IN_SECONDS, self._seconds / 2)
        width = min(2 * MINUTE, self._seconds / 4)
        early = sampler.median("resident_mebibytes", settled_in, settled_in + width)
        late = sampler.median("resident_mebibytes", load_to - width, load_to)
        growth = late / early - 1
        end = sampler.samples[-1]
        statistics = _call(f"{self._url}/statistics")
        grown = f"{growth:+.1%} ({early:.1f} to {late:.1f} MiB)"
        files = [
            sampler.median("files", settled_in, settled_in + width),
            sampler.median("files", load_to - width, load_to),
        ]
        peak = max(one.resident_mebibytes for one in sampler.samples)
        return [
            Figure("memory after settling in", grown, f"≤ {MOST_GROWTH:+.0%}", growth <= MOST_GROWTH, is_promise=False),
            told("peak of the samples", f"{peak:.1f} MiB"),
            told("open files under load, early and late", " and ".join(f"{one:.0f}" for one in files)),
            _no_more("open files at rest", at_rest.files, end.files),
            _no_more("tasks at rest", at_rest.tasks, end.tasks),
            promised_none("not published", publisher.failed),
            promised_none("lost", publisher.published - judge.outcomes),
            promised_none("settled twice", judge.twice),
            promised_none("out of order", judge.disordered),
            promised_none("dead letters", judge.dead_letters.total()),
            promised_none("requests overlapping", statistics["overlaps"]),
            promised_none("customers moved back", statistics["moved_back"]),
            promised_none("customers without their last change", stale(publisher, statistics["phones"])),
        ]

    def _start(self, name: str) -> WorkerProcess:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
        environment: Mapping[str, str] = {
            **inherited,
            **self._topics.environment(),
            "KAFKA_GROUP_INSTANCE_ID": name,
            "UPSTREAM_BASE_URL": self._url,
            "UPSTREAM_TOKEN": "mid_" + "a" * 64,
            "UPSTREAM_RATE_LIMIT": "0",
            "LOG_LEVEL": "warning",
        }
        log = self._shop.folder / f"{name}.log"
        return WorkerProcess(environment=environment, log=log, reaper=self._shop.reaper)

    def _upstream_answers(self) -> bool:
        try:
            _call(f"{self._url}/statistics")
        except OSError:
            return False
        return True


_FAULTS: list[tuple[str, Callable[[Soak], Awaitable[None]]]] = [
    ("the worker is frozen for three seconds", Soak.freeze),
    ("the upstream answers 503 for ten seconds", Soak.outage),
    ("the upstream cuts off one connection in ten for ten seconds", Soak.cut_off),
    ("Kafka restarts", Soak.restart_kafka),
    ("another member joins, and leaves after ten seconds", Soak.rebalance),
]


def _fault(minute: int) -> tuple[str, Callable[[Soak], Awaitable[None]]]:
    return _FAULTS[(minute - 1) % len(_FAULTS)]


def _no_more(what: str, before: int, after: int) -> Figure:
    value = f"{before} before, {after} after"
    return Figure(what, value, f"≤ {before}", is_good=after <= before, is_promise=True)


def _words(sample: Sample) -> str:
    return f"{sample.resident_mebibytes:.1f} MiB, {sample.files} open files, {sample.tasks} tasks"


async def _settled(publisher: Publisher, judge: Judge, commands: int) -> float:
    """Publishes a burst, and returns how many seconds it took until all was settled."""
    wanted, began = judge.outcomes + commands, time.monotonic()

    async def settled() -> bool:
        return judge.outcomes >= wanted

    publisher.burst(commands)
    await eventually(settled, within_seconds=LONGEST_DRAIN_SECONDS, what="the burst is settled")
    return judge.last_at - began


def _call(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as response:
        answer: dict[str, Any] = json.loads(response.read())
        return answer


if __name__ == "__main__":
    sys.exit(main())

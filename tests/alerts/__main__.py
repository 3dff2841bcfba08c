"""`make alerts`: fires every alert by its real fault, in a real Prometheus that scrapes real workers.

The rules are those that are deployed, with every duration in them divided by sixty: what takes a quarter of an hour
there takes a quarter of a minute here. Seconds count from when the workers were ready and scraped.

    make alerts                              all of them
    make alerts ARGS="CustomerSyncHeld …"    these

Ends with 1 where one did not fire.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from alerts.faults import FAULTS
from alerts.scene import PARTITIONS, Scene
from harness.broker import Broker
from harness.broker_choice import choose
from harness.prometheus import OBSERVABILITY, Prometheus
from harness.reaper import Reaper
from harness.stage import set_stage

SIDE_BY_SIDE = 4
SHORTER = 60
# A commit that Kafka does not take is tried for fifteen seconds, however fast the rules think that time runs.
LESS_SHORTER = {"CustomerSyncCommitsFailing": 10}
LONGEST_SECONDS = 240.0
_SECONDS = {"s": 1, "m": 60, "h": 3_600}


@dataclass(frozen=True, slots=True)
class Result:
    """How soon after the fault began the alert fired; None where it did not."""

    alert: str
    fault: str
    seconds: float | None
    remark: str = ""


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alerts", nargs="*", metavar="ALERT", help="all of them, if none is named")
    chosen = parser.parse_args().alerts or list(FAULTS)
    reaper = Reaper()
    broker = choose(reaper).broker
    try:
        if not broker.real:
            print(f"the faults need a real Kafka, and this is {broker.describe()}", file=sys.stderr)
            return 2
        results = asyncio.run(fire(chosen, broker=broker, reaper=reaper))
    finally:
        broker.close()
        reaper.close()
    Console(width=None if sys.stdout.isatty() else 130).print(_table(results))
    fired = sum(result.seconds is not None for result in results)
    print(f"{fired} of {len(results)} alerts fired by their faults")
    return int(fired < len(results))


async def fire(alerts: Sequence[str], *, broker: Broker, reaper: Reaper) -> list[Result]:
    """Plays the fault of each alert, some of them side by side."""
    rules = shortened(yaml.safe_load((OBSERVABILITY / "rules.yaml").read_text()))
    with tempfile.TemporaryDirectory(prefix="alerts-") as temporary:
        directory = Path(temporary)
        prometheus = Prometheus(directory=directory, reaper=reaper, rules=rules)
        places = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(alert: str) -> Result:
            async with places:
                return await _fire(alert, prometheus, broker=broker, reaper=reaper, directory=directory / alert)

        try:
            async with asyncio.TaskGroup() as tasks:
                firing = [tasks.create_task(one(alert)) for alert in alerts]
        finally:
            prometheus.end()
        return [task.result() for task in firing]


async def _fire(alert: str, prometheus: Prometheus, *, broker: Broker, reaper: Reaper, directory: Path) -> Result:
    directory.mkdir()  # noqa: ASYNC240  # a moment
    job = f"customer-sync-{alert}"
    fault = FAULTS[alert]
    name = fault.__name__.replace("_", " ")
    environment = {"PATH": "/usr/bin:/bin"}
    stage = await set_stage(
        broker, partitions=PARTITIONS, environment=environment, directory=directory, reaper=reaper, logs={}
    )
    scene = Scene(stage, prometheus, job)
    try:
        await scene.prepare()
        began = time.monotonic()
        playing = asyncio.ensure_future(fault(scene))  # noqa: TID251  # cancelled below, whatever it has come to
        try:
            while time.monotonic() - began < LONGEST_SECONDS:
                if (alert, job) in await prometheus.firing():
                    return Result(alert, name, time.monotonic() - scene.watched_at)
                if playing.done() and playing.exception() is not None:
                    return Result(alert, name, None, repr(playing.exception()))
                await asyncio.sleep(0.25)
            return Result(alert, name, None, f"not within {LONGEST_SECONDS:g} s")
        finally:
            playing.cancel()
            await asyncio.wait([playing])
    finally:
        prometheus.scrape(job, [])
        await asyncio.to_thread(stage.end)


def shortened(rules: Mapping[str, Any]) -> dict[str, Any]:
    """The same rules in a world where time runs sixty times as fast; what they compare with stays."""
    return {
        "groups": [{**group, "rules": [_shorter_rule(rule) for rule in group["rules"]]} for group in rules["groups"]]
    }


def _shorter_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    factor = LESS_SHORTER.get(rule.get("alert", ""), SHORTER)

    def shorter(found: "re.Match[str]") -> str:
        return f"{int(found[1]) * _SECONDS[found[2]] * 1_000 // factor}ms"

    made = {**rule, "expr": re.sub(r"(?<=\[|\s)(\d+)([smh])(?=\]|\s)", shorter, rule["expr"])}
    if "for" in rule:
        made["for"] = re.sub(r"(\d+)([smh])", shorter, rule["for"])
    return made


def _table(results: Sequence[Result]) -> Table:
    table = Table("alert", "fault", "fired after")
    for result in results:
        fired = result.remark if result.seconds is None else f"{result.seconds:.1f} s"
        table.add_row(result.alert, result.fault, fired)
    return table


if __name__ == "__main__":
    sys.exit(main())

"""`make rollout`: rolls the built image on Docker with the manifests' own settings, under load, and prints the figures.

    make rollout                                as the manifest says, under 300 commands a second
    make rollout ARGS="--strategy one-less"     another way: one-more, one-less, all-at-once, statefulset
    make rollout ARGS="--history 10000"         with so many settled commands in each partition, known by their ids

Ends with 1 where something was lost, came twice or out of order, or took longer than three seconds.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from harness.broker_choice import choose
from harness.docker_broker import DockerBroker
from harness.reaper import Reaper
from rollout.controller import Strategy
from rollout.trial import ROOT, Trial, try_rollout

LONGEST_SECONDS = 3.0
MIN_READY_SECONDS = 10.0
STRATEGIES = {
    "one-more": Strategy(1, 0, MIN_READY_SECONDS),
    "one-less": Strategy(0, 1, MIN_READY_SECONDS),
    "all-at-once": Strategy(3, 0, MIN_READY_SECONDS),
    "statefulset": Strategy(0, 1, MIN_READY_SECONDS, is_ordered=True),
}
LOGS = ROOT / ".artifacts" / "rollout"


def main() -> int:
    """See the module."""
    options = _parser().parse_args()
    reaper = Reaper()
    broker = choose(reaper).broker
    if not isinstance(broker, DockerBroker):
        print(f"a rollout needs Docker, and this is {broker.describe()}", file=sys.stderr)
        return 2
    try:
        trial = asyncio.run(
            try_rollout(
                broker,
                reaper,
                per_second=options.per_second,
                history=options.history,
                strategy=STRATEGIES.get(options.strategy),
            )
        )
    finally:
        broker.close()
        reaper.close()
    print(trial.report())
    _keep_logs(trial, LOGS)
    return int(any(trial.faults().values()) or trial.longest_seconds() > LONGEST_SECONDS)


def _keep_logs(trial: Trial, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, log in trial.logs.items():
        (folder / f"{name}.log").write_text(log, encoding="utf-8")
    begun, _ = trial.rolled
    slow = sorted((one.sent_at - begun, seconds, one.command_id) for seconds, one in trial.delays() if seconds > 1)
    lines = [f"{sent:+.3f} s: {seconds:.3f} s {command_id}" for sent, seconds, command_id in slow]
    (folder / "slow.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make rollout", description="A rolling update under load.")
    parser.add_argument("--per-second", type=float, default=300.0, help="commands (default: %(default)g)")
    parser.add_argument("--history", type=int, default=0, metavar="N", help="settled before, in each partition")
    parser.add_argument("--strategy", choices=STRATEGIES, help="instead of the manifest's")
    return parser


if __name__ == "__main__":
    sys.exit(main())

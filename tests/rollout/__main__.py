"""`make rollout`: rolls the built image on Docker with the manifests' own settings, under load, and prints the figures.

    make rollout                                what the manifest says, under 300 commands a second
    make rollout ARGS="--surge 0 --unavailable 1"
    make rollout ARGS="--ordered"               as a StatefulSet would

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

LOGS = ROOT / ".artifacts" / "rollout"


def main() -> int:
    """See the module."""
    options = _parser().parse_args()
    strategy = (
        Strategy(options.surge, options.unavailable, options.min_ready, options.ordered) if options.given else None
    )
    reaper = Reaper()
    broker = choose(reaper).broker
    if not isinstance(broker, DockerBroker):
        print(f"a rollout needs Docker, and this is {broker.describe()}", file=sys.stderr)
        return 2
    try:
        trial = asyncio.run(try_rollout(broker, reaper, per_second=options.per_second, strategy=strategy))
    finally:
        broker.close()
        reaper.close()
    print(trial.report())
    _keep_logs(trial, LOGS)
    return 0


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
    parser.add_argument("--surge", type=int, default=1)
    parser.add_argument("--unavailable", type=int, default=0)
    parser.add_argument("--min-ready", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--ordered", action="store_true", help="one by one under the same names, as a StatefulSet")
    parser.set_defaults(given=len(sys.argv) > 1 and sys.argv[1] != "--per-second")
    return parser


if __name__ == "__main__":
    sys.exit(main())

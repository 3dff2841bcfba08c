"""A flame graph of the worker under the load of the benchmark: `make profile`.

py-spy samples the worker from outside while it settles commands, so the figures are those of the real process.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.contestants import CONTESTANTS
from benchmarks.measuring import Bench
from benchmarks.scenarios import SCENARIOS
from harness.broker_choice import choose
from harness.reaper import Reaper


def main() -> int:
    """Writes the picture and prints where it is."""
    parser = argparse.ArgumentParser(prog="make profile", description=__doc__)
    parser.add_argument("--contestant", choices=CONTESTANTS, default="worker")
    parser.add_argument("--scenario", choices=SCENARIOS, default="distinct-20")
    parser.add_argument("--format", choices=("flamegraph", "speedscope", "raw"), default="flamegraph")
    parser.add_argument("--native", action="store_true", help="show C and Rust frames too")
    parser.add_argument("--output", type=Path, default=Path(".artifacts/flame.svg"))
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    spy = [
        str(Path(sys.executable).with_name("py-spy")),
        "record",
        "--rate",
        "500",
        "--format",
        options.format,
    ]
    spy += ["--native"] if options.native else []
    spy += ["--output", str(options.output), "--pid"]
    reaper = Reaper()
    choice = choose(reaper)
    with tempfile.TemporaryDirectory(prefix="profile-") as directory:
        bench = Bench(choice.broker.bootstrap_servers, reaper, Path(directory), print)
        measured = bench.run(CONTESTANTS[options.contestant], SCENARIOS[options.scenario], profiler=spy)
    choice.broker.close()
    reaper.close()
    print(f"{options.output}: {measured.rate:,.0f} commands/s while it was watched")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measures the worker beside its peers, all in one run on a real broker: `make bench`.

    make bench                                   everything, into docs/performance.md
    make bench ARGS="--quick"                    a first look in a few minutes
    make bench ARGS="--only worker aiokafka --scenarios distinct-20 --rounds 1 --json"

Only ratios within one run mean something.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks import report
from benchmarks.contestants import CONTESTANTS, build_java_peer
from benchmarks.measuring import Bench, Measurement
from benchmarks.scenarios import SCENARIOS
from harness.broker import Broker
from harness.broker_choice import choose
from harness.reaper import Reaper


def main() -> int:
    """Measures, prints, and ends with 1 where a promise was broken by the worker."""
    options = _parser().parse_args()
    names = list(options.only)
    if "parallel-consumer" in names and (why_not := build_java_peer()):
        _say(f"without Parallel Consumer: {why_not}")
        names.remove("parallel-consumer")
    reaper = Reaper()
    choice = choose(reaper)
    try:
        if not choice.broker.real:
            _say(f"a benchmark needs a real Kafka, and this is {choice.broker.describe()}")
            return 2
        _say(f"on {choice.broker.describe()}; load average {os.getloadavg()[0]:.1f} before it begins")
        results = _measure(names, options, choice.broker, reaper)
    finally:
        choice.broker.close()
        reaper.close()
    if options.json:
        print(json.dumps([asdict(one) for one in results], indent=1))
    return int(any(one.breaches for one in results if CONTESTANTS[one.contestant].is_worker))


def _measure(names: list[str], options: argparse.Namespace, broker: Broker, reaper: Reaper) -> list[Measurement]:
    """All measurements; the page is written anew after each scenario, so that a run may be cut short."""
    results: list[Measurement] = []
    setting = report.Setting(kafka=broker.describe(), command=_command(), load_before=os.getloadavg()[0])
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        bench = Bench(broker.bootstrap_servers, reaper, Path(directory), _say)
        for round_number in range(1, options.rounds + 1):
            for scenario_name in options.scenarios:
                scenario = SCENARIOS[scenario_name]
                if options.quick:
                    scenario = replace(scenario, commands=scenario.commands // 4)
                for name in names:
                    results.append(bench.run(CONTESTANTS[name], scenario, quick=options.quick))
                    _say(f"round {round_number}: {_line(results[-1])}")
                report.write(results, setting, into=options.into)
    _say(f"written: {options.into / 'performance.md'}")
    return results


def _command() -> str:
    return " ".join(["make bench", *([f'ARGS="{shlex.join(sys.argv[1:])}"'] if sys.argv[1:] else [])])


def _line(one: Measurement) -> str:
    cpu = "–" if one.cpu_seconds_per_1000 is None else f"{one.cpu_seconds_per_1000:.3f}"
    upstream = "–" if one.upstream_cpu_per_1000 is None else f"{one.upstream_cpu_per_1000:.3f}"
    peak = "–" if one.peak_mebibytes is None else f"{one.peak_mebibytes:.0f}"
    return (
        f"{one.scenario} {one.contestant}: {one.rate:,.0f}/s, p50 {one.p50_ms:.0f} ms, p99 {one.p99_ms:.0f} ms, "
        f"{cpu} CPU s per 1,000 (upstream {upstream}), {peak} MiB, {one.requests_per_command:.2f} requests a command"
        + "".join(f"; {breach.upper()}" for breach in one.breaches)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="CONTESTANT")
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), metavar="SCENARIO")
    parser.add_argument("--rounds", type=int, default=3, help="medians count (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the commands, for a first look")
    parser.add_argument("--into", type=Path, default=Path("docs"), metavar="FOLDER", help="of the page (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print every measurement as JSON")
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

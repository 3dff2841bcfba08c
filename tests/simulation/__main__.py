"""Runs many lives, shows what they met, and prints the seed of each that broke a promise.

python -m simulation --seeds 1000             lives 0 to 999, on all cores; those that this code has lived are known
python -m simulation --seeds 40000:41000      those lives
python -m simulation --replay 1234            one life, three times, with its whole trace
python -m simulation --planted                how soon each planted bug is found
"""

import argparse
import gc
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import structlog

from simulation.faults import Fault, Stage
from simulation.history import History, Lived
from simulation.life import live
from simulation.planted import BUGS

MOST_SHOWN = 20
# So many lives must meet every fault in every stage.
ENOUGH = 1000
PLANTED_WITHIN = 2000


def main() -> int:
    """The command line. Ends non-zero where a promise was broken, or a bug not found."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", default="1000", help="how many, or FIRST:END")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", type=int, help="one seed, with its trace")
    parser.add_argument("--planted", action="store_true", help="find the planted bugs")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        return _replay(arguments.replay)
    first, _, end = arguments.seeds.rpartition(":")
    seeds = range(int(first or 0), int(end))
    with ProcessPoolExecutor(arguments.processes, initializer=be_quiet) as pool:
        if arguments.planted:
            return _find_planted(pool, arguments.processes)
        return _run(pool, seeds, arguments.processes)


def be_quiet() -> None:
    """Logs nothing, and looks for garbage only between lives."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.collect()
    gc.freeze()
    gc.disable()


def _one(seed: int) -> Lived:
    began = time.process_time()
    verdict = live(seed)
    return Lived.of(verdict, time.process_time() - began)


def _run(pool: ProcessPoolExecutor, seeds: range, processes: int) -> int:
    history = History.of_this_code()
    missing = history.missing(seeds)
    if len(missing) < len(seeds):
        print(f"{len(seeds) - len(missing)} of {len(seeds)} lives are known from earlier runs of this code")
    began = time.monotonic()
    for done, lived in enumerate(pool.map(_one, missing, chunksize=5), start=1):
        history.add(lived)
        if lived.breaches:
            print(f"seed {lived.seed}: {len(lived.breaches)} breaches, the first: {lived.breaches[0]}", flush=True)
        if done % 500 == 0:
            print(f"{done} lives in {time.monotonic() - began:.0f} s", flush=True)
    return _report([history.lives[seed] for seed in seeds], processes)


def _report(lives: list[Lived], processes: int) -> int:
    covered: Counter[tuple[Fault, Stage]] = Counter()
    for lived in lives:
        covered += lived.covered
    minutes = sum(lived.cpu_seconds for lived in lives) / 60
    print(_table(covered))
    print(
        f"{len(lives)} lives, {sum(lived.commands for lived in lives)} commands, {sum(covered.values())} faults, "
        f"{sum(lived.requests for lived in lives)} requests ({sum(lived.limited for lived in lives)} over the limit): "
        f"{minutes:.1f} minutes of CPU time, {minutes / processes:.1f} on {processes} cores"
    )
    broken = [lived.seed for lived in lives if lived.breaches]
    for seed in broken[:MOST_SHOWN]:
        print(f"BROKEN seed {seed}: make simulate ARGS='--replay {seed}'")
    print(f"{len(broken)} broken")
    is_covered = all(covered[fault, stage] for fault in Fault for stage in Stage)
    return 1 if broken or (len(lives) >= ENOUGH and not is_covered) else 0


def _table(covered: Counter[tuple[Fault, Stage]]) -> str:
    rows = [f"{'':24}" + "".join(f"{stage:>14}" for stage in Stage)]
    rows += [f"{fault:24}" + "".join(f"{covered[fault, stage]:14}" for stage in Stage) for fault in Fault]
    empty = sum(not covered[fault, stage] for fault in Fault for stage in Stage)
    return "\n".join([*rows, f"empty cells: {empty}"])


def _replay(seed: int) -> int:
    be_quiet()
    verdicts = [live(seed) for _ in range(3)]
    for moment, who, what in verdicts[0].trace:
        print(f"{moment:10.4f} {who:6} {what}")
    digests = [verdict.digest for verdict in verdicts]
    print(f"seed {seed}: {', '.join(digests)}: {'the same' if len(set(digests)) == 1 else 'NOT THE SAME'} three times")
    for breach in verdicts[0].breaches:
        print(f"BREACH {breach}")
    return 1 if verdicts[0].breaches else 0


def _find_planted(pool: ProcessPoolExecutor, processes: int) -> int:
    missed = 0
    for name in BUGS:
        found = next(_hits(pool, name, processes), None)
        if found is None:
            missed += 1
            print(f"{name:40} NOT FOUND in {PLANTED_WITHIN} seeds", flush=True)
        else:
            print(f"{name:40} seed {found[0]:5}: {found[1]}", flush=True)
    return 1 if missed else 0


def _hits(pool: ProcessPoolExecutor, name: str, processes: int) -> Iterator[tuple[int, str]]:
    """The seeds that find a planted bug, and how; a few at a time, so that the first ends the search."""
    for start in range(0, PLANTED_WITHIN, 4 * processes):
        seeds = range(start, min(start + 4 * processes, PLANTED_WITHIN))
        for seed, breaches in pool.map(_planted, [(name, seed) for seed in seeds]):
            if breaches:
                yield seed, breaches[0]


def _planted(job: tuple[str, int]) -> tuple[int, list[str]]:
    name, seed = job
    return seed, live(seed, BUGS[name]).breaches


if __name__ == "__main__":
    sys.exit(main())

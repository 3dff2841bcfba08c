"""One whole life, from one seed: workers, commands, faults, restarts, the end, and the verdict."""

import gc
import random
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count

from pydantic import SecretStr

from simulation.broker import Broker
from simulation.commands import Publisher, Sent, first_row
from simulation.faults import STAGE_OF, Fault, Stage, Strike, draw
from simulation.group import Group, Holder
from simulation.judge import Judge
from simulation.loop import NumberedTask, ProcessLoop
from simulation.process import Process
from simulation.staging import Bounds, is_orderly, run_worker, staged
from simulation.upstream import Spell, Upstream, Weather
from simulation.world import BusyLoopError, World
from worker.settings import Settings
from worker.upstream.answers import Request

# When the faults have ended, everything must be settled within this time: some windows, and the longest backoff.
LONGEST_SECONDS = 900.0
# A fault that finds nobody in its stage strikes whoever is there.
PATIENCE_SECONDS = 15.0
# How long a life goes on when everything is settled: for what comes late.
AFTERMATH_SECONDS = 12.0
STOPPING_SECONDS = 120.0
CANARY_SECONDS = 20.0


@dataclass(slots=True)
class Verdict:
    """What became of one life."""

    seed: int
    breaches: list[str]
    digest: str
    trace: list[tuple[float, str, str]] = field(repr=False)
    covered: Counter[tuple[Fault, Stage]]
    commands: int
    requests: int
    limited: int
    virtual_seconds: float
    steps: int


class Life:
    """The stage manager: everything that happens is decided here or follows from it."""

    def __init__(self, seed: int) -> None:
        self._world = world = World(seed)
        chance = self._chance = random.Random(seed ^ 0x5EED)
        self._partitions = chance.choice((2, 3, 4))
        self._static = chance.random() < 0.4
        self._window = chance.choice((8, 30, 10_000))
        self._publisher = publisher = Publisher(chance, self._partitions, begins_at=world.now)
        self._commands = publisher.draw(chance.choice((40, 60, 80, 120)))
        self._weather = _weather(chance)
        self.bounds = Bounds(
            horizon_ahead=chance.choice((2, 6, 20, 5000)),
            largest_fold=chance.choice((2, 5, 500)),
            largest_commit=chance.choice((1, 4, 2000)),
            metadata_limit=chance.choice((24, 32, 4096, 4096)),
            # Without a limit there is nothing to share, and nobody need look often.
            membership_seconds=0.1 if self._weather.limit else 2.0,
        )
        self._judge = Judge(world, self._window)
        rows = {customer: first_row(customer) for customer in publisher.customers}
        self._upstream = Upstream(world, rows, self._weather, self._judge)
        self._broker = Broker(world, self._partitions)
        self._group = Group(world, self._broker, on_lost=self._lost)
        self._judge.group, self._judge.upstream, self._judge.broker = self._group, self._upstream, self._broker
        self._judge.is_stormy = self._weather.failing > 0
        self._running: dict[str, Process] = {}
        self._graveyard: list[Process] = []
        self._names = count(1)
        self._armed: list[Strike] = []
        self._waiting = 0
        self._poised: tuple[Process, Strike, int] | None = None
        self._quiet_at = world.now
        self._published = 0
        self._is_ending = False
        self._covered: Counter[tuple[Fault, Stage]] = Counter()

    def live(self) -> Verdict:
        """Everything, from the first process to the verdict."""
        world = self._world
        NumberedTask.numbers = count()
        random.seed(world.seed)
        began_at = world.now
        for sent in self._commands:
            world.at(sent.due, lambda sent=sent: self._publish(sent))  # type: ignore[misc]
        for _ in range(self._chance.choice((3, 3, 4))):
            name = f"w{next(self._names)}"
            world.after(world.between(0, 5), lambda name=name: self._start(name))  # type: ignore[misc]
        world.after(CANARY_SECONDS, self._go_on)
        strikes = draw(self._chance, world.now + self._chance.uniform(0, 8))
        self._waiting = len(strikes)
        for strike in strikes:
            world.at(strike.armed_at, lambda strike=strike: self._arm(strike))  # type: ignore[misc]
        with staged(world, self.bounds):
            try:
                self._run()
            except BusyLoopError as error:
                self._judge.breaches.append(f"busy loop: {error}")
        self._judge.judge_outcomes(self._broker.visible())
        self._judge.judge_budget(len(self._graveyard), self._upstream.requests, names_quota=self._weather.names_quota)
        self._clean_up()
        return Verdict(
            world.seed,
            self._judge.breaches,
            world.digest(),
            world.trace,
            self._covered,
            len(self._commands),
            self._upstream.requests,
            len(self._judge.limited_calls),
            world.now - began_at,
            world.steps,
        )

    def _run(self) -> None:
        world = self._world
        if not world.run(self._is_settled, world.now + 400 + LONGEST_SECONDS):
            self._judge.breaches.append(f"stands still: {self._progress()}")
            return
        end = world.now + AFTERMATH_SECONDS
        world.at(end, lambda: None)
        world.run(lambda: world.now >= end, end)
        self._is_ending = True
        for process in list(self._running.values()):
            process.terminate()
        if not world.run(lambda: not self._running, world.now + STOPPING_SECONDS):
            self._judge.breaches.append(f"does not stop: {sorted(self._running)}")

    def _is_settled(self) -> bool:
        if self._published < len(self._commands) or self._waiting or self._world.now < self._quiet_at:
            return False
        if self._broker.seen < self._judge.expected:
            return False
        return not self._unsettled()

    def _unsettled(self) -> list[Sent]:
        committed = {tp.partition: offset for tp, (offset, _) in self._broker.committed.items()}
        return [sent for sent in self._commands if sent.offset >= committed.get(sent.partition, 0)]

    def _progress(self) -> str:
        unsettled = ", ".join(str(sent) for sent in self._unsettled()[:5])
        return f"{self._broker.seen} outcomes of {self._judge.expected}; open: {unsettled}"

    def _publish(self, sent: Sent) -> None:
        sent.offset = self._broker.append(sent.partition, sent.key, sent.value, sent.headers)
        self._published += 1
        self._judge.published(sent)

    def _go_on(self) -> None:
        """The topic is never quiet for long: where the upstream seems down, a good command shows that it is not."""
        if self._is_ending or self._is_settled():
            return
        if self._published >= len(self._commands) and not self._waiting and self._world.now > self._quiet_at:
            partition = self._world.random.randrange(self._partitions)
            canary = self._publisher.canary(partition, self._world.now)
            self._upstream.rows.setdefault(canary.customer_id, first_row(canary.customer_id))
            self._publish(canary)
        self._world.after(CANARY_SECONDS, self._go_on)

    def _start(self, name: str) -> None:
        settings = self._settings(name)
        self._world.note(name, "starts")
        process = Process(
            name,
            self._world,
            self._broker,
            self._group,
            self._upstream,
            main=lambda: run_worker(settings),
            on_note=self._on_note,
            on_exit=self._on_exit,
        )
        self._running[name] = process
        self._graveyard.append(process)

    def _settings(self, name: str) -> Settings:
        """Drawn anew at each start: what a predecessor did must hold whatever is set now."""
        chance = self._world.random
        return _BASE.model_copy(
            update={
                "kafka_group_instance_id": name if self._static else None,
                "coalesce": chance.random() < 0.8,
                "commit_interval_ms": chance.choice((0, 10, 200)),
                "upstream_max_concurrency": chance.choice((1, 3, 64)),
                "upstream_timeout_seconds": chance.choice((1.0, 4.0, 10.0)),
                "upstream_rate_limit": self._weather.limit,
                "upstream_rate_window_seconds": self._weather.window_seconds,
                "read_ahead_bytes": chance.choice((65_536, 1 << 20)),
                "deduplication_window": self._window,
                "retry_max_elapsed_seconds": chance.choice((8.0, 25.0)),
                "retry_max_seconds": chance.choice((2.0, 6.0)),
            }
        )

    def _on_exit(self, process: Process, error: BaseException | None) -> None:
        self._running.pop(process.name, None)
        if error is not None and not is_orderly(error):
            self._judge.breaches.append(f"crash of {process.name}: {error!r}")
        if not self._is_ending:
            self._world.after(self._world.between(0.1, 10), lambda: self._start(process.name))

    def _lost(self, holder: Holder) -> None:
        self._upstream.excuse(holder)

    def _arm(self, strike: Strike) -> None:
        self._armed.append(strike)
        if strike.stage in {Stage.JOINING, Stage.REVOKING, Stage.BUILDING, Stage.READING_BACK}:
            self._group.rebalance()
        if strike.stage is Stage.DRAINING and self._running:
            self._drain(self._world.random.choice(list(self._running.values())))
        self._world.after(PATIENCE_SECONDS, lambda: self._strike_anyway(strike))

    def _strike_anyway(self, strike: Strike) -> None:
        if strike in self._armed:
            self._armed.remove(strike)
            running = list(self._running.values())
            if running:
                self._strike(self._world.random.choice(running), strike)
            else:
                self._armed.append(strike)
                self._world.after(PATIENCE_SECONDS, lambda: self._strike_anyway(strike))

    def _drain(self, process: Process) -> None:
        process.terminate()
        if not process.is_over:
            process.note("drain", "")

    def _on_note(self, process: Process, what: str) -> None:
        stage = STAGE_OF.get(what)
        if stage is None:
            return
        process.last_stage = stage
        if self._poised is not None or not self._armed:
            return
        for strike in self._armed:
            if strike.stage is stage:
                strike.nth -= 1
                if strike.nth <= 0:
                    self._armed.remove(strike)
                    self._poise(process, strike)
                    return

    def _poise(self, process: Process, strike: Strike) -> None:
        """So many callbacks of this process later it happens; if it has nothing to do, in a moment."""
        left = strike.steps

        def count_down(loop: ProcessLoop) -> None:
            nonlocal left
            if loop is process.loop:
                left -= 1
                if left < 0:
                    strike_now()

        def strike_now() -> None:
            if self._poised is mine:
                self._poised = None
                self._world.after_step = None
                self._strike(process, strike)

        mine = self._poised = (process, strike, left)
        self._world.after_step = count_down
        self._world.after(0.3, strike_now)

    def _strike(self, process: Process, strike: Strike) -> None:
        world = self._world
        stage = Stage(process.last_stage) if process.last_stage in list(Stage) else Stage.JOINING
        world.note("FAULT", f"{process.name}: {strike.fault} while {stage}")
        self._waiting -= 1
        self._covered[strike.fault, stage] += 1
        self._quiet_at = max(self._quiet_at, world.now + 15)
        _STRIKES[strike.fault](self, process)

    def _kill(self, process: Process) -> None:
        if process.is_over:
            return
        process.kill()
        self._running.pop(process.name, None)
        self._world.after(self._world.between(0.1, 12), lambda: self._start(process.name))

    def _freeze(self, process: Process, shortest: float, longest: float) -> None:
        seconds = self._world.random.uniform(shortest, longest)
        # The time it stands still counts against the retry policy.
        self._judge.is_stormy = True
        if not process.is_over and not process.is_frozen:
            process.freeze(seconds)
            self._quiet_at = max(self._quiet_at, self._world.now + seconds + 5)

    def _cut(self, process: Process) -> None:
        process.link.cut_until = self._world.now + self._world.random.choice((0.5, 5, 14, 30))
        self._upstream.excuse(process)

    def _fence(self, process: Process) -> None:
        """A predecessor that was frozen before its InitProducerId sends it now."""
        number = self._world.random.randrange(self._partitions)
        self._world.note(process.name, f"latecomer fences partition {number}")
        self._broker.init_producer(f"customer-sync.customer.update.{number}", lambda _: None)

    def _fail_commits(self, process: Process) -> None:
        for _ in range(self._world.random.randint(1, 3)):
            process.planned[self._world.random.choice(("publish", "offsets"))].append("failed")

    def _lose_commits(self, process: Process) -> None:
        chance = self._world.random
        for _ in range(chance.randint(1, 2)):
            process.planned["commit"].append(chance.choice(("not written", "written late")))

    def _break_broker(self) -> None:
        until = self._world.now + self._world.random.choice((0.3, 3, 12, 20))
        self._broker.down_until = max(self._broker.down_until, until)
        self._group.survive_outage(until)
        for process in self._running.values():
            self._upstream.excuse(process)

    def _rebalance(self) -> None:
        moment = self._world.now
        for _ in range(self._world.random.randint(1, 6)):
            self._world.at(moment, self._group.rebalance)
            moment += self._world.random.choice((0.2, 1.0, 3.0))
        self._quiet_at = max(self._quiet_at, moment)

    def _break_upstream(self, modes: tuple[str, ...]) -> None:
        chance = self._world.random
        until = self._world.now + chance.choice((1, 10, 40))
        requests = chance.choice((frozenset(Request), frozenset(Request), frozenset([Request.PATCH])))
        self._upstream.spells.append(Spell(until, chance.choice(modes), requests))
        self._judge.is_stormy = True
        self._quiet_at = max(self._quiet_at, until)

    def _clean_up(self) -> None:
        """Ends what is left of the processes, dead or alive, without letting them act."""
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        for process in self._graveyard:
            process.loop.end()
        self._graveyard.clear()
        self._running.clear()
        gc.collect()
        sys.unraisablehook = hook


_BASE = Settings(upstream_token=SecretStr("token"), http_port=0, log_level="ERROR")

_STRIKES: dict[Fault, Callable[[Life, Process], None]] = {
    Fault.KILL: Life._kill,
    Fault.FREEZE: lambda life, process: life._freeze(process, 10.5, 45),
    Fault.PAUSE: lambda life, process: life._freeze(process, 0.2, 9.5),
    Fault.TERMINATE: lambda life, process: life._drain(process),
    Fault.CUT: Life._cut,
    Fault.FENCE: Life._fence,
    Fault.COMMIT_FAILS: Life._fail_commits,
    Fault.COMMIT_UNKNOWN: Life._lose_commits,
    Fault.BROKER_DOWN: lambda life, _: life._break_broker(),
    Fault.REBALANCE: lambda life, _: life._rebalance(),
    Fault.UPSTREAM_DOWN: lambda life, _: life._break_upstream(("500", "503", "reset", "401", "connect")),
    Fault.UPSTREAM_HANGS: lambda life, _: life._break_upstream(("hang",)),
}


def _weather(chance: random.Random) -> Weather:
    limit, window = chance.choice(((0, 10.0), (0, 10.0), (0, 10.0), (12, 6.0), (60, 10.0), (100, 30.0), (1000, 600.0)))
    return Weather(
        failing=chance.choice((0.0, 0.0, 0.02, 0.1)),
        slowest_seconds=chance.choice((0.01, 0.05, 0.3)),
        names_quota=chance.random() < 0.6,
        limit=limit,
        window_seconds=window,
    )


def live(seed: int, bug: Callable[[], AbstractContextManager[None]] = nullcontext) -> Verdict:
    """The life of this seed, with a planted *bug* where one is given."""
    with bug():
        return Life(seed).live()

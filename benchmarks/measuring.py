"""One contestant, one scenario, one measurement: warm up, load, follow the outcomes, judge them."""

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.contestants import Contestant, environment_of
from benchmarks.scenarios import Scenario
from harness.broker import free_port, unique
from harness.polling import wait_until
from harness.process import ManagedProcess
from harness.publisher import make_producer
from harness.reaper import Reaper
from worker.demo.upstream import customer_id_for

LONGEST_RUN_SECONDS = 240
SAY_EVERY_SECONDS = 5
# The rate is that of the middle: neither the first turns nor the last ones have the upstream to themselves.
LEFT_OUT_AT_EACH_END = 0.05
WARM_UP_CUSTOMERS = 100_000  # numbered from here on: nobody else's


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run came to; *breaches* are broken promises, in words."""

    contestant: str
    scenario: str
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_seconds_per_1000: float | None
    peak_mebibytes: float | None
    requests_per_command: float
    upstream_cpu_per_1000: float | None
    outcomes_twice: int
    moved_back: int
    breaches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """An outcome: the offset of its command, when the broker took it and when a reader had it (seconds)."""

    command_offset: int
    key: bytes
    appended_at: float
    read_at: float
    is_event: bool


@dataclass(slots=True)
class Topics:
    """Fresh topics of one partition each."""

    bootstrap_servers: str
    name: str = field(default_factory=lambda: unique("bench"))

    def __post_init__(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        by_broker = {"message.timestamp.type": "LogAppendTime"}
        made = admin.create_topics([NewTopic(topic, 1, 1, config=by_broker) for topic in self.all()])
        for creation in made.values():
            creation.result(30)

    @property
    def commands(self) -> str:
        """The command topic."""
        return f"{self.name}.update"

    @property
    def events(self) -> str:
        """The events topic."""
        return f"{self.name}.updated"

    @property
    def dead_letters(self) -> str:
        """The dead-letter topic."""
        return f"{self.name}.update.dlq"

    def all(self) -> list[str]:
        """Their names."""
        return [self.commands, self.events, self.dead_letters]


class Reader:
    """Follows the outcomes in a thread of its own, as a reader of committed records sees them."""

    def __init__(self, topics: Topics) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": topics.bootstrap_servers,
                "group.id": f"{topics.name}.judge",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, 0) for topic in (topics.events, topics.dead_letters)])
        self._events = topics.events
        self._ended = threading.Event()
        self.seen: list[Seen] = []
        self.offsets: set[int] = set()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._ended.is_set():
            first = self._consumer.poll(0.05)
            now = time.monotonic()
            # `consume` would wait for its whole batch, and be measured with it.
            records = [] if first is None else [first, *self._consumer.consume(1000, timeout=0)]
            for record in records:
                error = record.error()
                if error is not None:
                    raise RuntimeError(error.str())
                headers: dict[str, bytes] = dict(record.headers() or ())  # type: ignore[arg-type]  # its stub is vaguer
                is_event = record.topic() == self._events
                command_id = headers["ce_causationid" if is_event else "dlq-command-id"].decode()
                offset = int(command_id.rpartition(":")[2])
                key = record.key()
                assert isinstance(key, bytes)
                self.seen.append(Seen(offset, key, record.timestamp()[1] / 1000, now, is_event))
                self.offsets.add(offset)

    def close(self) -> None:
        """Stops following."""
        self._ended.set()
        self._thread.join()
        self._consumer.close()


@dataclass(slots=True)
class Stage:
    """What one run works with; `begin` starts the contestant, and starts it again."""

    topics: Topics
    reader: Reader
    begin: Callable[[], ManagedProcess]
    upstream: ManagedProcess
    url: str
    process: ManagedProcess = field(init=False)

    def __post_init__(self) -> None:
        self.process = self.begin()


class Bench:
    """Measures contestants one after the other on one broker; each gets fresh topics and a fresh upstream."""

    def __init__(self, bootstrap_servers: str, reaper: Reaper, directory: Path, say: Callable[[str], None]) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._reaper = reaper
        self._directory = directory
        self._say = say

    def run(
        self, contestant: Contestant, scenario: Scenario, *, profiler: Sequence[str] = (), quick: bool = False
    ) -> Measurement:
        """One run. *profiler* is a command that is given the process's id, and ends at SIGINT."""
        warm_up = min(contestant.warm_up_commands, 500) if quick else contestant.warm_up_commands
        with self._stage(contestant, scenario) as stage:
            try:
                self._warm_up(stage, contestant, scenario, warm_up)
                with self._watched(stage.process, profiler):
                    return self._measure(stage, contestant, scenario, warm_up)
            except AssertionError as error:
                error.add_note(stage.process.output(last_lines=20))
                raise

    @contextmanager
    def _stage(self, contestant: Contestant, scenario: Scenario) -> Iterator[Stage]:
        topics = Topics(self._bootstrap_servers)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        log = self._directory / f"{topics.name}.{contestant.name}.{scenario.name}.log"
        upstream = ManagedProcess(
            [sys.executable, str(Path(__file__).parent / "upstream.py"), "--port", str(port)],
            log=log.with_suffix(".upstream.log"),
            reaper=self._reaper,
        )
        wait_until(lambda: _answers(url), within_seconds=20, what="the upstream answers")
        shared = {
            "KAFKA_BOOTSTRAP_SERVERS": self._bootstrap_servers,
            "KAFKA_GROUP_ID": topics.name,
            "COMMANDS_TOPIC": topics.commands,
            "EVENTS_TOPIC": topics.events,
            "DEAD_LETTER_TOPIC": topics.dead_letters,
            "UPSTREAM_BASE_URL": url,
            "UPSTREAM_TOKEN": "mid_" + "a" * 64,
            "UPSTREAM_RATE_LIMIT": "0",
            "UPSTREAM_MAX_CONCURRENCY": str(scenario.in_flight),
            "LOG_LEVEL": "warning",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_SDK_DISABLED": "true",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(free_port()),
        }
        environment = environment_of(contestant, shared)
        command = contestant.command
        reader = Reader(topics)
        stage = Stage(
            topics,
            reader,
            lambda: ManagedProcess(command, log=log, reaper=self._reaper, environment=environment),
            upstream,
            url,
        )
        try:
            yield stage
        finally:
            stage.process.end()
            upstream.end()
            reader.close()
            AdminClient({"bootstrap.servers": self._bootstrap_servers}).delete_topics(topics.all())

    @contextmanager
    def _watched(self, process: ManagedProcess, profiler: Sequence[str]) -> Iterator[None]:
        if not profiler:
            yield
            return
        log = self._directory / "profiler.log"
        profiling = ManagedProcess([*profiler, str(process.pid)], log=log, reaper=self._reaper)
        wait_until(lambda: "Sampling" in profiling.output(), within_seconds=20, what="the profiler samples")
        yield
        profiling.send_signal(signal.SIGINT)
        profiling.wait(60)
        self._say(profiling.output().strip())

    def _warm_up(self, stage: Stage, contestant: Contestant, scenario: Scenario, commands: int) -> None:
        _publish(stage.topics, [WARM_UP_CUSTOMERS + number for number in range(commands)], first_number=1)
        self._follow(stage, 0, commands, f"{contestant.name}, warming up")
        _call(f"{stage.url}/reset?latency_ms={scenario.latency_ms}")

    def _measure(self, stage: Stage, contestant: Contestant, scenario: Scenario, warm_up: int) -> Measurement:
        numbers = scenario.customer_numbers()[: contestant.most_commands]
        worker, upstream = Meter(stage.process.pid), Meter(stage.upstream.pid)
        sent_at = _publish(stage.topics, numbers, first_number=warm_up + 1, per_second=scenario.per_second)
        what = f"{contestant.name}, {scenario.name}"
        if scenario.killed:
            self._follow(stage, warm_up, warm_up + len(numbers) // 2, what)
            stage.process.kill()
            stage.process = stage.begin()
        self._follow(stage, warm_up, warm_up + len(numbers), what)
        cpu, upstream_cpu = worker.seconds_per_1000(len(numbers)), upstream.seconds_per_1000(len(numbers))
        statistics = _call(f"{stage.url}/statistics")
        found = [one for one in stage.reader.seen if one.command_offset >= warm_up]
        cuts = quantiles([one.read_at - sent_at[one.command_offset - warm_up] for one in found], n=100)
        return Measurement(
            contestant=contestant.name,
            scenario=scenario.name,
            rate=_rate([one.appended_at for one in found]),
            p50_ms=cuts[49] * 1000,
            p99_ms=cuts[98] * 1000,
            cpu_seconds_per_1000=None if scenario.killed else cpu,
            peak_mebibytes=worker.peak_mebibytes(),
            requests_per_command=(statistics["gets"] + statistics["patches"]) / len(numbers),
            upstream_cpu_per_1000=upstream_cpu,
            outcomes_twice=len(found) - len({one.command_offset for one in found}),
            moved_back=statistics["moved_back"],
            breaches=tuple(_breaches(found, numbers, warm_up, statistics)),
        )

    def _follow(self, stage: Stage, before: int, until: int, what: str) -> None:
        """Returns when *until* outcomes are there."""
        said_at = time.monotonic()

        def all_there() -> bool:
            nonlocal said_at
            if stage.process.returncode is not None:
                message = f"{what}: it ended with {stage.process.returncode}"
                raise AssertionError(message)
            if time.monotonic() - said_at > SAY_EVERY_SECONDS:
                said_at = time.monotonic()
                self._say(f"{what}: {len(stage.reader.offsets) - before:,} of {until - before:,}")
            return len(stage.reader.offsets) >= until

        wait_until(all_there, within_seconds=LONGEST_RUN_SECONDS, what=f"{what}: {until} outcomes")


def _publish(
    topics: Topics, customers: Sequence[int], *, first_number: int, per_second: float | None = None
) -> Sequence[float]:
    """Publishes one command for each of *customers*; its phone is its number. When each was handed over (seconds)."""
    producer = make_producer(topics.bootstrap_servers, linger_ms=0 if per_second else 5)
    producer.list_topics(topics.commands, timeout=10)  # connects before the first command is timed
    begun = time.monotonic()
    sent_at = []
    for position, customer in enumerate(customers):
        customer_id = customer_id_for(customer)
        changes = {"phone": str(first_number + position)}
        value = json.dumps({"customer_id": customer_id, "changes": changes}).encode()
        if per_second:
            time.sleep(max(begun + position / per_second - time.monotonic(), 0))
        producer.produce(topics.commands, value=value, key=customer_id.encode(), partition=0)
        sent_at.append(time.monotonic())
        producer.poll(0)
    producer.flush(60)
    return sent_at


def _rate(appended_at: Sequence[float]) -> float:
    left_out = int(len(appended_at) * LEFT_OUT_AT_EACH_END)
    middle = sorted(appended_at)[left_out : len(appended_at) - left_out]
    return (len(middle) - 1) / max(middle[-1] - middle[0], 0.001)


def _breaches(
    found: Sequence[Seen], numbers: Sequence[int], first_offset: int, statistics: dict[str, Any]
) -> Sequence[str]:
    """What was promised and not kept, judged from the outcomes and what the upstream saw."""
    breaches = []
    offsets = [one.command_offset for one in found]
    expected = set(range(first_offset, first_offset + len(numbers)))
    if missing := len(expected - set(offsets)):
        breaches.append(f"{missing} lost")
    if twice := len(offsets) - len(set(offsets)):
        breaches.append(f"{twice} outcomes twice")
    if dead := sum(not one.is_event for one in found):
        breaches.append(f"{dead} dead letters")
    newest: dict[bytes, int] = {}
    disordered = 0
    for one in found:
        disordered += one.command_offset < newest.get(one.key, -1)
        newest[one.key] = max(one.command_offset, newest.get(one.key, -1))
    if disordered:
        breaches.append(f"{disordered} events out of order")
    if statistics["overlaps"]:
        breaches.append(f"{statistics['overlaps']} requests overlapping")
    if statistics["moved_back"]:
        breaches.append(f"{statistics['moved_back']} times a customer moved back")
    last = {customer_id_for(customer): first_offset + 1 + position for position, customer in enumerate(numbers)}
    if stale := sum(statistics["phones"].get(customer) != number for customer, number in last.items()):
        breaches.append(f"{stale} customers without their last change")
    return breaches


def _answers(url: str) -> bool:
    try:
        _call(f"{url}/statistics")
    except OSError:
        return False
    return True


def _call(url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as response:
        answer: dict[str, Any] = json.loads(response.read())
        return answer


class Meter:
    """What a process has used since the meter was made, its threads included; None where there is no /proc."""

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}")
        self._at_first = self._cpu_seconds()

    def seconds_per_1000(self, commands: int) -> float | None:
        """CPU seconds for each thousand of *commands*."""
        now = self._cpu_seconds()
        return None if now is None or self._at_first is None else (now - self._at_first) / commands * 1000

    def peak_mebibytes(self) -> float | None:
        """The largest resident set of the process's life."""
        try:
            status = (self._process / "status").read_text(encoding="ascii")
        except OSError:
            return None
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def _cpu_seconds(self) -> float | None:
        try:
            fields = (self._process / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

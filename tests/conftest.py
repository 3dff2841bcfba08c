"""What every test shares: Hypothesis profiles, a broker, topics, the simulated upstream, real workers."""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:  # the tests of what decides start without the broker's libraries
    from harness.broker import Broker
    from harness.broker_choice import Choice
    from harness.reaper import Reaper
    from harness.topics import Topics
    from harness.upstream_process import UpstreamProcess
    from harness.worker_process import WorkerProcess

settings.register_profile("default", max_examples=100, deadline=None)
settings.register_profile("long", max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

CHOICE: "pytest.StashKey[Choice]" = pytest.StashKey()
LEFT_OUT = pytest.StashKey[list[str]]()
LOGS = pytest.StashKey[dict[str, Callable[[], str]]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a broker, so that `-m "not broker"` leaves it out."""
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()) or item.get_closest_marker("real_kafka"):
            item.add_marker("broker")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows with a failure what the processes of the test have written."""
    report = yield
    if report.failed:
        report.sections += [(f"Log of {name}", log()) for name, log in item.stash.get(LOGS, {}).items()]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says last which Kafka the run was on, and what could not be tested on it."""
    choice = config.stash.get(CHOICE, None)
    if choice is None:
        return
    terminalreporter.section("Kafka")
    terminalreporter.line(f"ran on {choice.broker.describe()}")
    for reason in choice.missing:
        terminalreporter.line(f"    nothing better here: {reason}")
    left_out = config.stash.get(LEFT_OUT, [])
    if left_out:
        terminalreporter.line(f"LEFT OUT, since they need a real Apache Kafka: {len(left_out)} tests")
        for name in left_out:
            terminalreporter.line(f"    {name}")


@pytest.fixture(scope="session")
def reaper() -> Iterator["Reaper"]:
    """Ends what the run has started, even if the run is killed."""
    from harness.reaper import Reaper

    reaper = Reaper()
    yield reaper
    reaper.close()


@pytest.fixture(scope="session")
def session_broker(request: pytest.FixtureRequest, reaper: "Reaper") -> Iterator["Broker"]:
    """The broker of the whole run; tests take `broker`."""
    from harness.broker_choice import choose

    choice = choose(reaper)
    request.config.stash[CHOICE] = choice
    yield choice.broker
    choice.broker.close()


@pytest.fixture
def broker(session_broker: "Broker") -> Iterator["Broker"]:
    """A Kafka: `bootstrap_servers`, and where it `can_restart`, stop() and start(). Up again after each test."""
    yield session_broker
    if session_broker.can_restart and not session_broker.is_up():
        session_broker.start()


@pytest.fixture(autouse=True)
def _left_out_on_the_mock(request: pytest.FixtureRequest) -> None:
    """Leaves out what an imitation of Kafka cannot show."""
    marker = request.node.get_closest_marker("real_kafka")
    if marker is None:
        return
    broker: Broker = request.getfixturevalue("broker")
    if not broker.real:
        request.config.stash.setdefault(LEFT_OUT, []).append(request.node.nodeid)
        pytest.skip(f"needs a real Apache Kafka, and this is {broker.describe()}")


@pytest.fixture
async def topics(request: pytest.FixtureRequest, broker: "Broker") -> "Topics":
    """Fresh topics and a fresh group; four partitions, or as many as @pytest.mark.partitions(n) says."""
    from harness.topics import create_topics

    marker = request.node.get_closest_marker("partitions")
    return await create_topics(broker, partitions=marker.args[0] if marker else 4)


@pytest.fixture
def upstream(request: pytest.FixtureRequest, tmp_path: Path, reaper: "Reaper") -> Iterator["UpstreamProcess"]:
    """The simulated upstream in a process of its own; empty, healthy, without limit."""
    from harness.upstream_process import UpstreamProcess

    process = UpstreamProcess(log=tmp_path / "upstream.log", reaper=reaper)
    request.node.stash.setdefault(LOGS, {})["the simulated upstream"] = process.log
    yield process
    process.end()


@pytest.fixture
def start_worker(  # noqa: PLR0917 -- pytest passes fixtures by name
    request: pytest.FixtureRequest,
    tmp_path: Path,
    reaper: "Reaper",
    broker: "Broker",
    topics: "Topics",
    upstream: "UpstreamProcess",
) -> Iterator[Callable[..., "WorkerProcess"]]:
    """Starts a real worker of `topics` and `upstream`.

    `worker = start_worker(COALESCE="false")`, then `await worker.wait_ready()`. As many as are needed;
    further keywords are environment variables. What still runs after the test is ended.
    """
    from harness.worker_process import WorkerProcess

    # the embedded mock accepts transactional offset commits without applying them
    delivery = {} if broker.real else {"DELIVERY": "at_least_once"}
    workers: list[WorkerProcess] = []

    def start(**environment: str) -> WorkerProcess:
        number = len(workers) + 1
        worker = WorkerProcess(
            environment=_inherited() | delivery | topics.environment() | upstream.environment() | environment,
            log=tmp_path / f"worker-{number}.log",
            reaper=reaper,
        )
        workers.append(worker)
        request.node.stash.setdefault(LOGS, {})[f"worker {number}"] = worker.log
        return worker

    yield start
    for worker in workers:
        worker.end()


def _inherited() -> dict[str, str]:
    """What a process needs from the environment of the tests, and none of the project's own variables."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}

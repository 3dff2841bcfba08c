"""What every test shares: Hypothesis profiles, a broker, topics, the simulated upstream, real workers."""

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:  # the tests of what decides start without the broker's libraries
    from harness.broker import Broker
    from harness.broker_choice import Choice
    from harness.reaper import Reaper
    from harness.stage import Stage
    from harness.topics import Topics
    from harness.upstream_process import UpstreamProcess
    from harness.worker_process import WorkerProcess

settings.register_profile("default", max_examples=100, deadline=None)
settings.register_profile("long", max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck))
# The same few examples each time: a mutant is killed by the rule that it breaks, or is worth a look.
settings.register_profile("mutation", max_examples=40, deadline=None, derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

CHOICE: "pytest.StashKey[Choice]" = pytest.StashKey()
LOGS = pytest.StashKey[dict[str, Callable[[], str]]]()


# A shell starts what it puts into the background with Ctrl-C ignored, and processes inherit that: those that the tests
# start and interrupt would go on for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of a test of endurance is run; the defaults keep a run short."""
    group = parser.getgroup("customer-sync")
    group.addoption("--kills", type=int, default=3, help="SIGKILLs under load, for each way of delivery")
    group.addoption("--seed", type=int, default=20_261_123, help="of everything that tests leave to chance")
    group.addoption("--customers", type=int, default=10_000, help="customers whose metrics are counted")
    group.addoption("--dead-letters", type=int, default=10_000, help="that are listed; a hundredth is replayed")
    group.addoption("--pictures", default=None, help="where pictures of the page are kept")
    group.addoption("--waiting", type=int, default=300_000, help="commands that wait while memory is measured")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a broker, so that `-m "not broker"` leaves it out."""
    for item in items:
        if "session_broker" in getattr(item, "fixturenames", ()) or item.get_closest_marker("real_kafka"):
            item.add_marker("broker")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows with a failure what the processes of the test have written."""
    report = yield
    if report.failed:
        report.sections += [
            (f"Log of {name}", log()) for node in item.listchain() for name, log in node.stash.get(LOGS, {}).items()
        ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says last which Kafka the run was on, and what could not be tested on it, or without a browser."""
    skipped = terminalreporter.stats.get("skipped", [])
    for report in skipped:
        if "NOT TESTED" in str(report.longrepr):
            terminalreporter.line(f"{report.nodeid}: {report.longrepr[2].removeprefix('Skipped: ')}")
    without = [report for report in skipped if "needs a browser" in str(report.longrepr)]
    if without:
        terminalreporter.section("Browser")
        terminalreporter.line(f"LEFT OUT {len(without)} tests or files of the page: no browser, or nothing to drive it")
    choice = config.stash.get(CHOICE, None)
    if choice is None:
        return
    nothing_better = f" (nothing better here: {'; '.join(choice.missing)})" if choice.missing else ""
    terminalreporter.section("Kafka")
    terminalreporter.line(f"ran on {choice.broker.describe()}{nothing_better}")
    left_out = [report.nodeid for report in skipped if "needs a real Apache Kafka" in str(report.longrepr)]
    if left_out:
        files = Counter(name.split("::")[0] for name in left_out)
        terminalreporter.line(
            f"LEFT OUT {len(left_out)} tests that need a real Apache Kafka: TEST_BROKER=docker or java"
        )
        for name, number in sorted(files.items()):
            terminalreporter.line(f"    {number:3} of {name}")


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
    if request.node.get_closest_marker("real_kafka"):
        from harness.broker import leave_out_unless_real

        leave_out_unless_real(request.getfixturevalue("broker"))


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
    worker_environment: dict[str, str],
    topics: "Topics",
    upstream: "UpstreamProcess",
) -> Iterator[Callable[..., "WorkerProcess"]]:
    """Starts a real worker of `topics` and `upstream`.

    `worker = start_worker(COALESCE="false")`, then `await worker.wait_ready()`. As many as are needed;
    further keywords are environment variables. What still runs after the test is ended.
    """
    from harness.stage import Stage

    stage = Stage(
        topics=topics,
        upstream=upstream,
        environment=worker_environment,
        directory=tmp_path,
        reaper=reaper,
        logs=request.node.stash.setdefault(LOGS, {}),
    )
    yield stage.start_worker
    stage.end()


@pytest.fixture(scope="session")
def worker_environment(session_broker: "Broker") -> dict[str, str]:
    """What every worker gets, whatever its topics and its upstream."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    # The embedded mock accepts transactional offset commits without applying them.
    return inherited if session_broker.real else inherited | {"DELIVERY": "at_least_once"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    session_broker: "Broker",
    worker_environment: dict[str, str],
    reaper: "Reaper",
) -> AsyncIterator["Stage"]:
    """Topics, an upstream and workers that all tests of a file share; their customers are each test's own.

    Partitions as for `topics`, by the file's pytestmark.
    """
    from harness.stage import set_stage

    marker = request.node.get_closest_marker("partitions")
    stage = await set_stage(
        session_broker,
        partitions=marker.args[0] if marker else 4,
        environment=worker_environment,
        directory=tmp_path_factory.mktemp("stage"),
        reaper=reaper,
        logs=request.node.stash.setdefault(LOGS, {}),
    )
    yield stage
    stage.end()

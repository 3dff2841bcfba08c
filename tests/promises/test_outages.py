"""An upstream that fails as a whole costs no command its life and no worker its partitions.

Ten minutes of outage against a retry policy that gives up after five are compressed: the policy ends after one
second, and the outage lasts for two after the worker has noticed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from harness.commands import command
from harness.follower import follow
from harness.polling import eventually
from harness.settling import CUSTOMERS, new_customer, settle
from harness.stage import Stage
from harness.topics import Topics
from harness.upstream_process import UpstreamProcess
from harness.worker_process import WorkerProcess
from worker.demo.upstream import RO_TOKEN, RW_TOKEN

POLICY_SECONDS = 1.0
OUTAGE_SECONDS = 2 * POLICY_SECONDS
BACK_WITHIN_SECONDS = 5.0
"""Three on a machine with nothing else to do; the figure is printed."""
COMPRESSED = {"RETRY_MAX_ELAPSED_SECONDS": str(POLICY_SECONDS), "UPSTREAM_TIMEOUT_SECONDS": "1"}
OUTCOMES = ("applied", "dead_letter")
A_HANDFUL = 8
"""Of lines in the log beside those of the outcomes, however many requests fail."""
NEW_TOKEN = "mid_" + "d" * 64

Act = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the worker's token is."""
    path = tmp_path_factory.mktemp("secrets") / "token"
    path.write_text(RW_TOKEN)
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(stage: Stage, token_file: Path) -> WorkerProcess:
    """One worker for all outages, which has had its first good answer."""
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0.005)
    worker = await stage.start_ready_worker(UPSTREAM_TOKEN="", UPSTREAM_TOKEN_FILE=str(token_file), **COMPRESSED)
    await settle(stage, command(new_customer(), phone="proven"))
    return worker


@pytest.fixture(autouse=True)
async def _healthy(stage: Stage, token_file: Path) -> AsyncIterator[None]:
    yield
    await stage.upstream.control(faults=[])
    await write(token_file, RW_TOKEN)


async def write(path: Path, token: str) -> None:
    """As a mounted secret changes."""
    await asyncio.to_thread(path.write_text, token)


async def go_through(
    topics: Topics,
    upstream: UpstreamProcess,
    worker: WorkerProcess,
    *,
    begin: Act,
    end: Act,
    readyz: int,
    words: str,
) -> None:
    """An outage from *begin* to *end*, as the worker must take it.

    *readyz* and *words*: what /readyz must answer and say meanwhile.
    """
    members = await topics.members()
    rebalances = await worker.metric("customer_sync_rebalances_total")
    lines_before = len(worker.records())
    async with follow(topics) as follower:
        await begin()
        ids = await topics.publish(command(new_customer(), phone="1") for _ in range(100))
        page = ""

        async def noticed() -> bool:
            nonlocal page
            code, page = await worker.get("/readyz")
            return code == readyz and words in page

        await eventually(noticed, within_seconds=15, what=f"/readyz says {readyz} and {words!r}")
        ids += await topics.publish(command(new_customer(), phone="1") for _ in range(100))
        requests = (await upstream.state(journal=0, customers=0))["requests"]
        await asyncio.sleep(OUTAGE_SECONDS)  # this long it lasts
        asked = (await upstream.state(journal=0, customers=0))["requests"] - requests
        done = [one for one in await topics.all_outcomes() if one.command_id in set(ids)]
        held = await worker.status()
        assert (await worker.get("/livez"))[0] == 200
        await end()
        ended = time.monotonic()
        await follower.until(lambda _: any(map(follower.all_of, ids)), what="the first event after the outage")
        first = min(follower.arrived[one] for one in ids if follower.all_of(one)) - ended
        outcomes = await follower.of(ids, within_seconds=60)
        last = time.monotonic() - ended

    print(
        f"{page.strip()} -- held for {OUTAGE_SECONDS:.0f} s (the policy ends after {POLICY_SECONDS:.0f} s), "
        f"{asked} requests meanwhile, 0 dead letters; first event {first:.2f} s after the return, "
        f"the last of {len(ids)} after {last:.2f} s"
    )
    lines = [line["event"] for line in worker.records()[lines_before:] if line["event"] not in OUTCOMES]
    assert len(lines) <= A_HANDFUL, lines
    assert done == []
    assert [one.reason for one in outcomes if not one.is_event] == []
    assert held["waiting"] > 0
    assert asked <= 5 * OUTAGE_SECONDS
    assert first <= BACK_WITHIN_SECONDS + topics.fetch_seconds
    assert await topics.members() == members
    assert await worker.metric("customer_sync_rebalances_total") == rebalances
    await worker.wait_ready(within_seconds=5)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param({"effect": {"kind": "status", "status": 503}}, "GET", id="503 for everything"),
        pytest.param({"effect": {"kind": "reset"}}, "GET", id="connections reset"),
        pytest.param({"effect": {"kind": "hang"}}, "GET", id="nothing answers"),
        pytest.param(
            {"match": {"method": "PATCH"}, "effect": {"kind": "status", "status": 500}},
            "PATCH",
            id="a database failover: GET works, every PATCH is 500",
        ),
        pytest.param(
            {"match": {"method": "PATCH"}, "effect": {"kind": "status", "status": 500, "apply": True}},
            "PATCH",
            id="every PATCH is carried out and answered with 500",
        ),
    ],
)
async def test_an_outage_opens_the_circuit_and_kills_no_command(
    stage: Stage, worker: WorkerProcess, fault: dict[str, Any], words: str
) -> None:
    """Still a member, still ready (a rollout must not hang on the upstream), and it says so."""
    await go_through(
        stage.topics,
        stage.upstream,
        worker,
        begin=lambda: stage.upstream.control(faults=[fault]),
        end=lambda: stage.upstream.control(faults=[]),
        readyz=200,
        words=f"most {words} requests fail",
    )


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        pytest.param({"kind": "status", "status": 401}, "401", id="401"),
        pytest.param({"kind": "status", "status": 403}, "403", id="403"),
        pytest.param({"kind": "status", "status": 302, "location": "http://localhost:1/"}, "302", id="a redirect"),
    ],
)
async def test_a_fault_of_the_deployment_holds_everything(
    stage: Stage, worker: WorkerProcess, effect: dict[str, Any], words: str
) -> None:
    """Not ready and loud, but still a member; nothing is dead-lettered, and it goes on by itself once it is mended."""
    await go_through(
        stage.topics,
        stage.upstream,
        worker,
        begin=lambda: stage.upstream.control(faults=[{"effect": effect}]),
        end=lambda: stage.upstream.control(faults=[]),
        readyz=503,
        words=words,
    )

    loud = [line for line in worker.records() if line["level"] in ("warning", "error") and words in str(line)]
    assert loud


async def test_a_corrected_token_file_is_taken_up_without_a_restart(
    stage: Stage, worker: WorkerProcess, token_file: Path
) -> None:
    """The upstream revokes the token in mid-run; the new one is written to the file, and that is all."""
    account = {"user": "user-rw", "scopes": ["customers.read", "customers.write"]}

    async def revoke() -> None:
        await stage.upstream.control(tokens={NEW_TOKEN: account})

    async def correct() -> None:
        await write(token_file, NEW_TOKEN + "\n")

    try:
        await go_through(stage.topics, stage.upstream, worker, begin=revoke, end=correct, readyz=503, words="401")
    finally:
        await stage.upstream.control(tokens={RW_TOKEN: account, NEW_TOKEN: account})


async def test_a_token_that_may_not_write_holds_everything_until_it_may(
    stage: Stage, worker: WorkerProcess, token_file: Path
) -> None:
    """GET works and every PATCH is 403: the hold is probed with what failed."""
    read_only, account = (
        {"user": "user-ro", "scopes": ["customers.read"]},
        {"user": "user-rw", "scopes": ["customers.read", "customers.write"]},
    )
    await stage.upstream.control(tokens={RO_TOKEN: read_only, RW_TOKEN: account})

    async def take_the_right_away() -> None:
        await write(token_file, RO_TOKEN)
        await eventually(_reads_with_it, within_seconds=10, what="the worker uses the other token")

    async def _reads_with_it() -> bool:
        await settle(stage, command(new_customer(), country="Sweden"))  # a GET alone
        return "user-ro" in (await stage.upstream.state(journal=0, customers=0))["users"]

    async def give_it_back() -> None:
        await write(token_file, RW_TOKEN)

    await stage.upstream.control(rate_limit=1_000_000)  # so that the upstream counts by user
    try:
        await go_through(
            stage.topics,
            stage.upstream,
            worker,
            begin=take_the_right_away,
            end=give_it_back,
            readyz=503,
            words="403",
        )
    finally:
        await stage.upstream.control(rate_limit=None)


@pytest.mark.parametrize(
    "effect",
    [
        pytest.param({"kind": "status", "status": 404}, id="404 for everything"),
        pytest.param(
            {"kind": "wrong_content", "text": "<html>", "content_type": "text/html"}, id="another site's page"
        ),
        pytest.param({"kind": "status", "status": 308, "location": "https://x.test/"}, id="a redirect for everything"),
    ],
)
async def test_a_wrong_address_from_the_start_is_a_fault_of_the_deployment(
    topics: Topics, upstream: UpstreamProcess, start_worker: Callable[..., WorkerProcess], effect: dict[str, Any]
) -> None:
    """Before its first good answer a worker takes nobody's word for twenty customers in a row being unknown."""
    await upstream.control(generate_customers=CUSTOMERS, faults=[{"effect": effect}])
    worker = start_worker(**COMPRESSED)
    await worker.wait_ready()

    async def nothing() -> None:
        pass

    await go_through(
        topics,
        upstream,
        worker,
        begin=nothing,
        end=lambda: upstream.control(faults=[]),
        readyz=503,
        words="held by a fault of the deployment",
    )


@pytest.mark.chaos
async def test_unknown_customers_alone_do_not_hold_a_worker_for_ever(
    topics: Topics, upstream: UpstreamProcess, start_worker: Callable[..., WorkerProcess]
) -> None:
    """A publisher's mistake looks like a wrong address, until a later command shows that it is none."""
    await upstream.control(generate_customers=CUSTOMERS)
    worker = start_worker(**COMPRESSED)
    strangers = [command(f"dead0000-0000-4000-8000-{number:012d}", phone="1") for number in range(25)]
    ids = await topics.publish(strangers)
    await worker.wait_for_page("/readyz", 503)
    async with follow(topics) as follower:

        async def is_held() -> bool:
            return (await worker.status())["hold"] is not None

        await eventually(is_held, within_seconds=15, what="the hold")
        await asyncio.sleep(OUTAGE_SECONDS)  # this long it is held, and does not read on if it ever stops
        known = await topics.publish([command(new_customer(), phone="1")])
        (event,) = await follower.of(known, within_seconds=90)
        outcomes = await follower.of(ids, within_seconds=30)

    assert event.is_event
    assert {one.reason for one in outcomes} == {"unknown_customer"}
    await worker.wait_ready()

"""The page in a real browser, from a real worker, in every state that an operator meets."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright", reason="needs a browser: make test-browser installs what drives it")

from harness.commands import command, full_customer
from harness.leaks import leaks
from harness.onlooker import DESKTOP, PHONE, Onlooker, onlooker
from harness.settling import status
from harness.topics import Topics
from harness.upstream_process import UpstreamProcess
from harness.worker_process import WorkerProcess
from worker.demo.upstream import RW_TOKEN, customer_id_for

if TYPE_CHECKING:
    from playwright.async_api import Browser

CUSTOMERS = 12
MARK = "Planta-7714"
"""In every personal value of every customer and every command."""
REVOKED = "mid_" + "0ddba115" * 8

StartWorker = Callable[..., WorkerProcess]
KeepPicture = Callable[[Onlooker, str], Awaitable[None]]


@pytest.fixture
async def customers(upstream: UpstreamProcess) -> list[str]:
    """The ids of customers that the upstream knows, with something personal in every field."""
    ids = [customer_id_for(number) for number in range(CUSTOMERS)]
    await upstream.control(customers=[full_customer(one, MARK) for one in ids])
    return ids


@pytest.fixture
def keep_picture(request: pytest.FixtureRequest) -> KeepPicture:
    """Keeps what the onlooker sees as --pictures/NAME.webp, where that is asked for."""
    asked = request.config.getoption("--pictures")
    directory = None if asked is None else Path(asked)
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)

    async def keep(looking: Onlooker, name: str) -> None:
        if directory is None:
            return
        png = base64.b64encode(await looking.page.screenshot(animations="disabled")).decode()
        drawing = await looking.page.context.new_page()
        webp = await drawing.evaluate(
            """async png => {
                const picture = new Image();
                picture.src = `data:image/png;base64,${png}`;
                await picture.decode();
                const canvas = Object.assign(document.createElement("canvas"), picture);
                canvas.width = picture.width;
                canvas.height = picture.height;
                canvas.getContext("2d").drawImage(picture, 0, 0);
                return canvas.toDataURL("image/webp", 0.9).split(",")[1];
            }""",
            png,
        )
        await drawing.close()
        directory.joinpath(f"{name}.webp").write_bytes(base64.b64decode(webp))  # nothing waits for it

    return keep


@asynccontextmanager
async def looking_at(browser: "Browser", worker: WorkerProcess) -> AsyncIterator[Onlooker]:
    """Somebody who looks at this worker's page; in the end everything about it that holds in every state."""
    url = f"http://127.0.0.1:{worker.port}/"
    async with onlooker(browser, url) as looking:
        await looking.sees("Live")
        yield looking
        await _is_sound(looking, worker)


async def _is_sound(looking: Onlooker, worker: WorkerProcess) -> None:
    for dark in (False, True):
        await looking.appear(dark=dark)
        for size in (PHONE, DESKTOP):
            assert await looking.overflow(size) == [], size
            assert await looking.accessibility_faults() == [], (size, dark)
    assert looking.troubles == []
    assert {urlsplit(asked).netloc for asked in looking.asked} == {f"127.0.0.1:{worker.port}"}
    shown = {"the page": await looking.page.content()}
    for path in ("/", "/api/group", "/api/replica"):
        _, shown[path] = await worker.get(path)
    secrets = {"the mark": MARK, "the token": RW_TOKEN, "another token": REVOKED, "a customer": customer_id_for(1)}
    assert leaks(shown, secrets) == []


async def publish_changes(topics: Topics, customers: list[str], *, each: int = 1, **changes: Any) -> None:  # noqa: ANN401 -- JSON of any shape
    """So many commands for each of the customers, with the mark in their values."""
    await topics.publish(
        [
            command(one, changes={"contact": f"{MARK} {number}", **changes})
            for number in range(each)
            for one in customers
        ]
    )


async def test_idle(
    *,
    browser: "Browser",
    start_worker: StartWorker,
    topics: Topics,
    customers: list[str],
    keep_picture: KeepPicture,
) -> None:
    """All is settled: the page says so, and what became of the commands."""
    worker = start_worker()
    await worker.wait_ready()
    async with looking_at(browser, worker) as looking:
        await publish_changes(topics, customers)
        await topics.publish([command(customers[0], email=f"{MARK} is no address")])
        await looking.sees("email_malformed")
        await looking.sees("Nobody waits.")
        await looking.sees("All caught up: nothing waits.")
        await keep_picture(looking, "idle")

        assert await looking.page.title() == "Idle · customer-sync"
        rows = {name.split("/")[0]: (amount, part) for name, amount, part in await looking.rows("outcomes")}
        assert rows == {"event": (str(CUSTOMERS), "92.3 %"), "invalid": ("1", "7.7 %")}
        assert [row[:3] for row in await looking.rows("partitions")] == [[str(n), "0", "now"] for n in range(4)]
        assert {row[0] for row in await looking.rows("upstream")} >= {"GET", "PATCH"}
        (dead,) = await looking.rows("dead-letters")
        assert (dead[0], dead[2]) == ("invalid", "1")
        assert f"{topics.commands}:" in dead[3]


async def test_busy(
    *,
    browser: "Browser",
    start_worker: StartWorker,
    topics: Topics,
    upstream: UpstreamProcess,
    customers: list[str],
    keep_picture: KeepPicture,
) -> None:
    """Commands wait for a slow upstream: who waits, why, and until when."""
    await upstream.control(latency_seconds=2.0)
    worker = start_worker(UPSTREAM_MAX_CONCURRENCY="2", COALESCE="false")
    await worker.wait_ready()
    async with looking_at(browser, worker) as looking:
        await publish_changes(topics, customers, each=5)
        await publish_changes(topics, customers[:1], each=20)
        await looking.sees("Working")
        await looking.sees("under way")
        await keep_picture(looking, "busy")

        assert "commands wait" in await looking.headline()
        longest = await looking.rows("customers")
        assert len(longest) == 10
        assert longest[0][0] == "5eed…0000"
        assert int(longest[0][1]) > int(longest[1][1])
        assert {row[3] for row in longest} & {"request under way", "its turn comes next"}
        assert sum(int(row[1]) for row in await looking.rows("partitions")) > 20


async def test_outage(
    *,
    browser: "Browser",
    start_worker: StartWorker,
    topics: Topics,
    upstream: UpstreamProcess,
    customers: list[str],
    keep_picture: KeepPicture,
) -> None:
    """The upstream fails: commands wait, nothing is given up, and the page notices the end by itself."""
    worker = start_worker()
    await worker.wait_ready()
    async with looking_at(browser, worker) as looking:
        await upstream.control(faults=[{"effect": status(503, text=MARK)}])
        await publish_changes(topics, customers, each=3)
        await looking.sees("Upstream failing")
        await looking.sees("not in sight")
        await keep_picture(looking, "outage")

        assert (await looking.headline()).startswith("The upstream is failing: ")
        assert "Most GET requests fail." in await looking.text()
        assert "the upstream is failing" in {row[3] for row in await looking.rows("customers")}
        assert await looking.page.locator("figure", has_text="GET circuit").locator(".now").inner_text() == "open"
        await _is_sound(looking, worker)

        await upstream.control(faults=[])
        await looking.sees("All caught up: nothing waits.")
        assert await looking.page.locator("figure", has_text="GET circuit").locator(".now").inner_text() == "closed"


async def test_held(
    *,
    browser: "Browser",
    start_worker: StartWorker,
    topics: Topics,
    customers: list[str],
    keep_picture: KeepPicture,
) -> None:
    """The upstream refuses the token: what to mend, and where."""
    worker = start_worker(UPSTREAM_TOKEN=REVOKED)
    await worker.wait_ready()
    async with looking_at(browser, worker) as looking:
        await publish_changes(topics, customers)
        await looking.sees("Held by a fault of this deployment: the upstream refuses the token.")
        await looking.sees("before the hold ends")
        await keep_picture(looking, "held")

        assert "UPSTREAM_TOKEN" in await looking.text()
        assert await looking.page.locator("figure", has_text="Hold").locator(".now").inner_text() == "in force"
        assert (await looking.rows("replicas"))[0][1].startswith("held, not ready: held by a fault of the deployment")
        assert await looking.page.title() == "Held · customer-sync"


async def test_limited(
    *,
    browser: "Browser",
    start_worker: StartWorker,
    topics: Topics,
    upstream: UpstreamProcess,
    customers: list[str],
    keep_picture: KeepPicture,
) -> None:
    """The rate limit is used up: until when, and how long everything takes."""
    await upstream.control(rate_limit=20, rate_window_seconds=600)
    worker = start_worker(UPSTREAM_RATE_LIMIT="20", UPSTREAM_RATE_WINDOW_SECONDS="600", COALESCE="false")
    await worker.wait_ready()
    async with looking_at(browser, worker) as looking:
        await publish_changes(topics, customers, each=5)
        await looking.sees("Rate limit used up")
        await looking.sees("of 20")
        await keep_picture(looking, "limited")

        assert "commands wait for the next window, in " in await looking.headline()
        assert {row[3] for row in await looking.rows("customers")} == {"rate limit used up"}
        partitions = [row for row in await looking.rows("partitions") if row[1] != "0"]
        assert all("min" in row[2] or "h" in row[2] for row in partitions)


@pytest.mark.real_kafka
async def test_rebalancing(
    *,
    browser: "Browser",
    start_worker: StartWorker,
    topics: Topics,
    customers: list[str],
    keep_picture: KeepPicture,
) -> None:
    """A member leaves while another one is frozen: the group waits for it, and the page says so."""
    one, frozen, leaving = start_worker(), start_worker(), start_worker()
    for worker in (one, frozen, leaving):
        await worker.wait_ready(within_seconds=60)
    async with looking_at(browser, one) as looking:
        await looking.sees("3 replicas")
        frozen.sigstop()
        try:
            leaving.sigterm()
            await looking.sees("Rebalancing")
            await looking.sees("no answer within 1 s")
            await publish_changes(topics, customers)
            await keep_picture(looking, "rebalancing")
            assert (await looking.headline()) == (
                "The group is rebalancing: commands wait until every partition has its owner."
            )
            assert len(await looking.rows("replicas")) >= 2
        finally:
            frozen.sigcont()
        await looking.sees("2 replicas", within_seconds=60)
        await looking.sees("All caught up: nothing waits.", within_seconds=60)
        assert len(await looking.rows("rebalances")) >= 3

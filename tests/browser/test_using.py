"""The page in a real browser as people use it: by keyboard, without JavaScript, while the worker goes away."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright", reason="needs a browser: make test-browser installs what drives it")

from harness.commands import command, full_customer
from harness.onlooker import PHONE, onlooker
from harness.topics import Topics
from harness.upstream_process import UpstreamProcess
from harness.worker_process import WorkerProcess
from worker.demo.upstream import customer_id_for

if TYPE_CHECKING:
    from playwright.async_api import Browser

FOCUSED = """(() => {
    const one = document.activeElement;
    return [one.textContent, getComputedStyle(one).outlineStyle, one.getBoundingClientRect().top >= 0];
})()"""
"""What has the focus: its text, how it is outlined, and whether it is within the window."""

StartWorker = Callable[..., WorkerProcess]


def address(worker: WorkerProcess) -> str:
    """Of the page."""
    return f"http://127.0.0.1:{worker.port}/"


async def test_essentials_need_no_javascript(
    browser: "Browser", start_worker: StartWorker, topics: Topics, upstream: UpstreamProcess
) -> None:
    """Made by the same code; it says how to look again."""
    await upstream.control(customers=[full_customer(customer_id_for(0), "x")])
    worker = start_worker()
    await worker.wait_ready()
    await topics.publish([command(customer_id_for(0), phone="1"), command(customer_id_for(0), email="none")])
    await worker.settles_more()
    async with onlooker(browser, address(worker), size=PHONE, java_script_enabled=False) as looking:
        text = await looking.text()

    assert "Without JavaScript this page stays as it is. Load it again" in text
    assert all(words in text for words in ("Partitions", "The last hour", "invalid"))


async def test_keyboard_reaches_everything(browser: "Browser", start_worker: StartWorker) -> None:
    """First past the head of the page, then whatever can be pressed, each visibly."""
    worker = start_worker()
    await worker.wait_ready()
    async with onlooker(browser, address(worker)) as looking:
        await looking.sees("Live")
        page = looking.page
        reached = []
        for _ in range(12):
            await page.keyboard.press("Tab")
            text, outline, is_seen = await page.evaluate(FOCUSED)
            assert outline == "solid", text
            assert is_seen, text
            reached.append(text)
            if text == "Ready?":
                break

        assert reached[:2] == ["Skip to the content", "Pause"]
        assert any("at their defaults" in text for text in reached)
        assert reached[-1] == "Ready?"

        await page.keyboard.press("Shift+Tab")
        await page.evaluate("scrollTo(0, 0)")
        await page.locator(".skip").focus()
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"


async def test_what_one_reads_stays_while_it_is_kept_up_to_date(
    browser: "Browser", start_worker: StartWorker, topics: Topics
) -> None:
    """What is unfolded stays so, what is selected too, and the page is never loaded again."""
    worker = start_worker()
    await worker.wait_ready()
    async with onlooker(browser, address(worker)) as looking:
        await looking.sees("Live")
        page = looking.page
        await page.locator("summary").click()
        await page.evaluate("getSelection().selectAllChildren(document.querySelector('#partitions'))")
        await page.evaluate("document.querySelector('#partitions').dataset.here = 'still'")
        await topics.publish([command(customer_id_for(0), email="none")])
        await looking.sees("email_malformed")

        assert await page.evaluate("document.querySelector('details').open")
        assert await page.evaluate("getSelection().toString()") == "Partitions"
        assert await page.evaluate("document.querySelector('#partitions').dataset.here") == "still"


async def test_pause_stops_and_resume_catches_up(browser: "Browser", start_worker: StartWorker, topics: Topics) -> None:
    """What moves by itself must be able to stand still (WCAG 2.2.2)."""
    worker = start_worker()
    await worker.wait_ready()
    async with onlooker(browser, address(worker)) as looking:
        await looking.sees("Live")
        await looking.page.get_by_role("button", name="Pause").click()
        await looking.sees("Paused")
        await topics.publish([command(customer_id_for(0), email="none")])
        await worker.settles_more()
        before = await looking.text()
        await looking.page.wait_for_timeout(3_000)
        assert await looking.text() == before

        await looking.page.get_by_role("button", name="Resume").click()
        await looking.sees("email_malformed")


async def test_lost_worker_is_said_and_its_return_noticed(browser: "Browser", start_worker: StartWorker) -> None:
    """Old figures must not be taken for new ones."""
    worker = start_worker()
    await worker.wait_ready()
    async with onlooker(browser, address(worker)) as looking:
        await looking.sees("Live")
        worker.sigkill()
        await looking.sees("No connection: these figures are old")
        for size in (PHONE, (1_440, 900)):
            assert await looking.overflow(size) == []
        assert await looking.accessibility_faults() == []
        successor = start_worker(HTTP_PORT=str(worker.port))
        await looking.sees("Live")
        successor.end()


async def test_worker_with_a_viewer_ends_at_once(browser: "Browser", start_worker: StartWorker) -> None:
    """An open stream does not hold up a rolling update."""
    worker = start_worker()
    await worker.wait_ready()
    async with onlooker(browser, address(worker)) as looking:
        await looking.sees("Live")
        worker.sigterm()

        assert await worker.wait(within_seconds=10) == 0


async def test_nothing_moves_for_those_who_want_it_so(browser: "Browser", start_worker: StartWorker) -> None:
    """prefers-reduced-motion."""
    worker = start_worker()
    await worker.wait_ready()
    async with onlooker(browser, address(worker), reduced_motion="reduce") as looking:
        moving = await looking.page.evaluate(
            "[...document.querySelectorAll('*')].filter(one => {"
            " const style = getComputedStyle(one);"
            " return style.transitionDuration !== '0s' || style.animationName !== 'none' })"
            ".map(one => one.tagName)"
        )

    assert moving == []


@pytest.mark.real_kafka
async def test_every_replica_shows_the_whole_group_and_who_does_not_answer(
    browser: "Browser", start_worker: StartWorker
) -> None:
    """Whichever one asks."""
    one, other = start_worker(), start_worker()
    await one.wait_ready()
    await other.wait_ready()
    for worker in (one, other):
        async with onlooker(browser, address(worker)) as looking:
            await looking.sees("2 replicas")
            assert {row[1] for row in await looking.rows("replicas")} == {"running, ready"}
            assert len({row[4] for row in await looking.rows("partitions")}) == 2
    other.sigstop()
    try:
        async with onlooker(browser, address(one)) as looking:
            await looking.sees("1 of 2 replicas does not answer.")
            assert "no answer within 1 s" in await looking.text()
    finally:
        other.sigcont()

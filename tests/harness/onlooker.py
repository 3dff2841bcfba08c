"""A person who looks at a worker's page in a real Chromium, with a mouse, a keyboard or a screen reader."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP, PHONE = (1_440, 900), (360, 740)


@dataclass(slots=True)
class Onlooker:
    """One tab. *troubles* are what the browser complained about, *asked* every address that it asked."""

    page: Page
    troubles: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Notes what happens from now on."""
        self.page.on("console", lambda said: self.troubles.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    async def sees(self, words: str, *, within_seconds: float = 30) -> None:
        """Returns when these words are to be read on the page, without loading it again."""
        await self.page.get_by_text(words).first.wait_for(state="attached", timeout=within_seconds * 1000)

    async def headline(self) -> str:
        """How it is, in one sentence."""
        text: str = await self.page.locator("h1").inner_text()
        return text

    async def text(self) -> str:
        """All that is to be read."""
        text: str = await self.page.locator("body").inner_text()
        return text

    async def rows(self, section: str) -> list[list[str]]:
        """The cells of the table under the heading with this id."""
        rows: list[list[str]] = await self.page.evaluate(
            "id => [...document.querySelectorAll(`[aria-labelledby=${id}] tbody tr`)]"
            ".map(row => [...row.cells].map(cell => cell.textContent.trim()))",
            section,
        )
        return rows

    async def overflow(self, size: tuple[int, int]) -> list[str]:
        """What reaches beyond the right edge of a window of this size; nothing, if nobody has to scroll sideways."""
        await self.page.set_viewport_size({"width": size[0], "height": size[1]})
        found: list[str] = await self.page.evaluate(
            "() => [...document.querySelectorAll('body *')]"
            ".filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1"
            " && getComputedStyle(one).clipPath === 'none')"
            ".map(one => `${one.tagName} ${one.className} ${one.textContent.slice(0, 40)}`)"
        )
        width, room = await self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        return found + ([f"the page is {width} px wide"] if width > room else [])

    async def accessibility_faults(self) -> list[str]:
        """What axe finds, by WCAG 2.2 AA and as best practice."""
        result = await Axe().run(self.page)
        return [
            f"{violation['id']}: {violation['help']}: {node['html'][:120]}"
            for violation in result.response["violations"]
            for node in violation["nodes"]
        ]

    async def appear(self, *, dark: bool) -> None:
        """Looks at it by day or by night."""
        await self.page.emulate_media(color_scheme="dark" if dark else "light")


def chromium_path() -> str:
    """Where a Chromium is; skips the test, loudly, where there is none."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("needs a browser: apt install chromium")
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser without a window."""
    async with async_playwright() as playwright:
        # As root, as in most containers, Chromium runs without its sandbox or not at all.
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def onlooker(
    browser: Browser,
    url: str,
    *,
    size: tuple[int, int] = DESKTOP,
    **options: Any,  # noqa: ANN401 -- Playwright's own options of a context
) -> AsyncIterator[Onlooker]:
    """Somebody who opens *url* in a window of this size."""
    context = await browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    try:
        looking = Onlooker(await context.new_page())
        looking.watch()
        await looking.page.goto(url)
        yield looking
    finally:
        await context.close()

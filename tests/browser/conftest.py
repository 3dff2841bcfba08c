"""A browser for the tests of the page."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser


@pytest_asyncio.fixture
async def browser() -> "AsyncIterator[Browser]":
    """A Chromium of its own for each test."""
    pytest.importorskip("playwright", reason="needs a browser: make test-browser installs what drives it")
    from harness.onlooker import chromium

    async with chromium() as browser:
        yield browser

"""A simulated upstream in the test's own process, and a client of it."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from harness.upstream_driver import UpstreamDriver
from worker.demo.upstream import SimulatedUpstream


@pytest.fixture
async def client() -> AsyncIterator[UpstreamDriver]:
    """A client of an upstream with ten generated customers and no limit."""
    async with (
        SimulatedUpstream(rate_limit=None, customers=10) as upstream,
        aiohttp.ClientSession(upstream.url, timeout=aiohttp.ClientTimeout(total=20)) as session,
    ):
        yield UpstreamDriver(upstream, session)

"""A client of a simulated upstream in the test's own process, and of its control endpoint."""

from typing import Any

import aiohttp

from worker.demo.upstream import RW_TOKEN, SimulatedUpstream, customer_id_for

ID, OTHER = customer_id_for(0), customer_id_for(1)
NEW = {"name": "New", "email": "new@x.test", "tags": []}


class UpstreamDriver:
    """Asks one simulated upstream as somebody who may read and write."""

    def __init__(self, upstream: SimulatedUpstream, session: aiohttp.ClientSession) -> None:
        self.upstream = upstream
        self.session = session
        self.port = int(upstream.url.rpartition(":")[2])

    async def get(self, customer_id: str = ID, token: str = RW_TOKEN) -> aiohttp.ClientResponse:
        """GET; the body is read."""
        return await self._ask("GET", customer_id, token)

    async def patch(self, customer_id: str = ID) -> aiohttp.ClientResponse:
        """PATCH with NEW; the body is read."""
        return await self._ask("PATCH", customer_id, RW_TOKEN, NEW)

    async def control(self, **state: Any) -> None:  # noqa: ANN401 -- JSON of any shape
        """POST /control; fails unless it is accepted."""
        async with self.session.post("/control", json=state) as answer:
            assert answer.status == 204, await answer.text()

    async def fault(self, effect: dict[str, Any], **match: Any) -> None:  # noqa: ANN401 -- as control
        """Puts one rule into force."""
        await self.control(faults=[{"match": match, "effect": effect}])

    async def shown(self, query: str = "") -> dict[str, Any]:
        """GET /control."""
        async with self.session.get(f"/control{query}") as answer:
            shown: dict[str, Any] = await answer.json()
            return shown

    async def name(self, customer_id: str = ID) -> str:
        """The customer's name, read after every fault was ended."""
        await self.control(faults=[])
        name: str = (await (await self.get(customer_id)).json())["name"]
        return name

    async def is_idle(self) -> bool:
        """Whether no request is under way."""
        shown = await self.shown("?journal=0&customers=0")
        return not shown["under_way"]

    async def _ask(
        self, method: str, customer_id: str, token: str, body: dict[str, Any] | None = None
    ) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {token}"}
        path = f"/customers/{customer_id}"
        async with self.session.request(method, path, headers=headers, json=body, allow_redirects=False) as answer:
            await answer.read()
            return answer

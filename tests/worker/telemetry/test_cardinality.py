"""The number of series does not grow with customers, commands or time."""

import pytest
from prometheus_client import generate_latest

from harness.builders import a_record
from harness.engine import Sent, fates, running_engine, upstream_with
from harness.memory_ledger import MemoryLedger
from harness.virtual_time import run_virtually
from worker.telemetry.catalogue import DECLARATIONS
from worker.telemetry.metrics import Metrics
from worker.upstream.answers import Answer, NotFound, Rejected, Unavailable

PARTITIONS = 4


def test_series_are_bounded_whatever_customers_there_are(pytestconfig: pytest.Config) -> None:
    """Through the engine, some unknown, refused, failing or published wrongly; `make cardinality` takes more."""
    customers: int = pytestconfig.getoption("--customers")

    def misbehave(sent: Sent) -> Answer | None:
        number = int(sent.customer_id[-12:])
        if number % 100 == 7 and sent.request == "PATCH":
            return Rejected(400, f"the note of {sent.customer_id} is refused", frozenset({"note"}))
        if number % 1_000 == 8:
            return Unavailable(500, "status")
        return NotFound() if number % 100 == 9 else None

    async def scenario() -> Metrics:
        upstream = upstream_with(*range(customers), behaviour=misbehave)
        async with running_engine(upstream, ledgers=[MemoryLedger() for _ in range(PARTITIONS)]) as engine:
            for customer in range(customers):
                partition = engine.partitions[customer % PARTITIONS]
                value = b"{" if customer % 1_000 == 5 else None
                engine.feed(
                    a_record(partition.next_offset, customer=customer, partition=customer % PARTITIONS, value=value)
                )
                if customer % 1_000 == 999:
                    await engine.settled()
            await engine.settled()
            kinds = {fate for number in range(PARTITIONS) for fate in fates(engine.outcomes(number))}
            assert kinds == {"event", "rejected", "unknown_customer", "retries_exhausted", "undecodable"}
            return engine.metrics

    metrics = run_virtually(scenario())
    lines = [line for line in generate_latest(metrics.registry).decode().splitlines() if not line.startswith("#")]

    print(f"{customers:,} customers: {len(lines)} series")
    assert metrics.settled() == customers
    assert len(lines) <= sum(declared.most_series(PARTITIONS) for declared in DECLARATIONS) + 10  # of the process
    assert not [line for line in lines if "00000000-0000" in line]

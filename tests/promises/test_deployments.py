"""What a deployment decides: which commands go first, and which fields its events have."""

from collections.abc import Iterator

import pytest

from harness.commands import cloud_event, command
from harness.follower import follow
from harness.settling import CUSTOMERS, assert_dead, new_customer, only_outcomes, settle
from harness.stage import Stage


@pytest.fixture(autouse=True)
def _no_worker_is_left(stage: Stage) -> Iterator[None]:
    yield
    stage.end_workers()


async def test_live_commands_go_before_bulk_ones(stage: Stage) -> None:
    """An import of many customers does not hold up an edit, and gets its share all the same."""
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0.02)
    bulk = [(new_customer(), f"bulk-{number}") for number in range(150)]
    live = [(new_customer(), f"live-{number}") for number in range(20)]
    await stage.topics.publish(
        command(one, cloud_event(event_id, priority="bulk"), phone="1") for one, event_id in bulk
    )
    await stage.topics.publish(command(one, cloud_event(event_id), phone="1") for one, event_id in live)
    await stage.start_ready_worker(UPSTREAM_MAX_CONCURRENCY="2")
    async with follow(stage.topics) as follower:
        await only_outcomes(follower, [event_id for _, event_id in bulk + live])

    ids = dict(bulk + live)
    begun = [ids[one["customer_id"]] for one in await stage.upstream.journal() if one["customer_id"] in ids]
    last_live = max(position for position, event_id in enumerate(begun) if event_id.startswith("live"))
    overtaking = len({event_id for event_id in begun[:last_live] if event_id.startswith("bulk")})
    assert 1 <= overtaking < len(bulk) // 2


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        pytest.param({"EVENT_FIELD_CASE": "camel"}, {"addressLine1", "createdAt", "vatNumber"}, id="camel"),
        pytest.param({"EVENT_EXTRA_FIELDS": "keep"}, {"address_line1", "billing_email", "fiscal_year_end"}, id="keep"),
        pytest.param(
            {"EVENT_FIELD_CASE": "camel", "EVENT_EXTRA_FIELDS": "keep"},
            {"addressLine1", "billingEmail", "fiscalYearEnd"},
            id="camel and keep",
        ),
    ],
)
async def test_events_have_the_fields_that_the_deployment_asks_for(
    stage: Stage, settings: dict[str, str], names: set[str]
) -> None:
    """Twenty fields in either spelling; what a newer upstream adds only where it is asked for."""
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0)
    await stage.start_ready_worker(**settings)
    (event,) = await settle(stage, command(new_customer(), phone="1"))

    assert names <= event.payload.keys()
    assert len(event.payload) == (43 if "EVENT_EXTRA_FIELDS" in settings else 20)


@pytest.mark.real_kafka
@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_an_event_that_kafka_refuses_as_too_large_becomes_a_dead_letter(stage: Stage, delivery: str) -> None:
    """The change was made; its neighbours' events are published as ever, and so are those that come later."""
    customers = [new_customer() for _ in range(30)]
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0)
    await stage.start_ready_worker(DELIVERY=delivery)
    await stage.topics.limit_events(4_000)
    notes = ["long " * 2_000 if number % 10 == 5 else "short" for number in range(30)]
    try:
        outcomes = await settle(
            stage, *(command(customer, note=note) for customer, note in zip(customers, notes, strict=True))
        )
        later = await settle(stage, *(command(customer, note="later") for customer in customers))
    finally:
        await stage.topics.limit_events(1_048_588)

    assert [outcome.reason for outcome in outcomes] == ["too_large" if len(note) > 5 else None for note in notes]
    assert_dead(outcomes[5], "too_large", http_status=None)
    assert [outcome.reason for outcome in later] == [None] * len(customers)
    journal = await stage.upstream.journal()
    assert notes[5] in [one["body"]["note"] for one in journal if one["customer_id"] == customers[5] and one["body"]]

"""Each row of the contract's table of outcomes, from the command topic to the outcome topics, on one worker."""

import itertools
import re

import pytest
import pytest_asyncio

from harness.commands import LATE, UNKNOWN_TAG, VIP, cloud_event, command
from harness.follower import follow
from harness.load import load
from harness.settling import (
    CUSTOMERS,
    assert_dead,
    failing,
    new_customer,
    only_outcomes,
    refusal_of,
    requests_of,
    settle,
    settle_as_one_fold,
    status,
)
from harness.stage import Stage
from harness.topics import Message
from harness.worker_process import WorkerProcess
from worker.demo.upstream import customer_id_for

FIELDS = (
    *("id", "name", "email", "phone", "website", "created_at", "country", "address_line1", "address_line2", "city"),
    *("state", "zip", "note", "vat_number", "country_code", "token", "contact", "invoice_count", "project_count"),
    "tags",
)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(stage: Stage) -> WorkerProcess:
    """One worker for all tests; retries end after two seconds, requests after one."""
    await stage.upstream.control(generate_customers=CUSTOMERS)
    return await stage.start_ready_worker(RETRY_MAX_ELAPSED_SECONDS="2", UPSTREAM_TIMEOUT_SECONDS="2")


@pytest.fixture(autouse=True)
async def _healthy(stage: Stage, worker: WorkerProcess) -> None:
    """Every test begins with an upstream that works, and a worker that is still there."""
    await stage.upstream.control(faults=[], latency_seconds=0)
    assert worker.returncode is None


# Events


async def test_an_event_has_the_customer_and_its_cloudevents_attributes(stage: Stage) -> None:
    """Exactly 20 fields, exactly these headers, all from the command and the answer."""
    customer = new_customer()
    headers = (*cloud_event("event-1", correlationid="order 7"), ("traceparent", TRACEPARENT.encode()))
    message = Message(customer, command(customer, phone="+46 1").value, headers=headers, timestamp_ms=1_795_433_736_390)
    await stage.topics.publish([message])
    async with follow(stage.topics) as follower:
        (event,) = await only_outcomes(follower, ["event-1"])

    assert (event.topic, event.key) == (stage.topics.events, customer.encode())
    assert tuple(event.payload) == FIELDS
    assert (event.payload["id"], event.payload["phone"]) == (customer, "+46 1")
    assert event.payload["created_at"] == "2026-01-01T00:00:00.000Z"
    event_id = event.headers["ce_id"]
    assert event.raw_headers == (
        ("ce_specversion", b"1.0"),
        ("ce_type", b"customer.updated"),
        ("ce_source", b"customer-sync"),
        ("ce_id", event_id.encode()),
        ("ce_subject", customer.encode()),
        ("ce_time", b"2026-11-23T11:35:36.390Z"),
        ("ce_causationid", b"event-1"),
        ("ce_correlationid", b"order 7"),
        ("content-type", b"application/json"),
        ("traceparent", TRACEPARENT.encode()),
    )


async def test_a_command_without_cloudevents_is_known_by_its_place(stage: Stage) -> None:
    """Topic, partition and offset; no correlation, no trace that it did not have."""
    customer = new_customer()
    (event,) = await settle(stage, command(customer, vatNumber="SE1", addressLine2=None))

    assert re.fullmatch(rf"{stage.topics.commands}:\d+:\d+", event.command_id)
    assert not {"ce_correlationid", "traceparent"} & event.headers.keys()
    assert (event.payload["vat_number"], event.payload["address_line2"]) == ("SE1", None)


async def test_a_structured_envelope_is_a_command_as_well(stage: Stage) -> None:
    """Also as the official Python SDK labels it, application/json."""
    customer = new_customer()
    envelope = {
        "specversion": "1.0",
        "id": "envelope-1",
        "source": "/crm",
        "type": "customer.update",
        "data": {"customerId": customer, "changes": {"city": "Ystad"}},
    }
    await stage.topics.publish([Message(customer, envelope, headers=[("content-type", b"application/json")])])
    async with follow(stage.topics) as follower:
        (event,) = await only_outcomes(follower, ["envelope-1"])

    assert event.payload["city"] == "Ystad"


async def test_a_change_that_changes_nothing_gets_an_event_with_the_customer_as_read(stage: Stage) -> None:
    """There is nothing to write, and the subscriber learns of the command all the same."""
    customer = new_customer()
    (event,) = await settle(stage, command(customer, country="Sweden"))

    assert event.payload["country"] == "Sweden"
    assert [method for method, _ in await requests_of(stage, customer)] == ["GET"]


async def test_commands_applied_together_each_get_an_event_with_the_same_customer(
    stage: Stage, worker: WorkerProcess
) -> None:
    """One GET and one PATCH for all that waited, the last write of each field, events in the order of the commands."""
    customer, events = await settle_as_one_fold(
        stage,
        worker,
        lambda customer: [command(customer, phone="1"), command(customer, note="n"), command(customer, phone="2")],
        lambda _: [],
    )

    assert [event.payload for event in events] == [events[0].payload] * 3
    assert [event.offset for event in events] == sorted(event.offset for event in events)
    assert len({event.headers["ce_id"] for event in events}) == 3
    requests = await requests_of(stage, customer)
    assert [method for method, _ in requests] == ["GET", "GET", "PATCH"]
    assert (requests[-1][1] or {})["phone"] == "2"


# Dead letters


async def test_a_dead_letter_has_the_command_whole_and_says_why(stage: Stage) -> None:
    """Key, value and headers byte for byte, also headers that are no UTF-8; then why, where, when, who."""
    customer = customer_id_for(999_999)
    headers: tuple[tuple[str, bytes | None], ...] = (
        *cloud_event("dead-1"),
        ("x-binary", b"\xff\x00\xfe"),
        ("x-null", None),
        ("x-twice", b"1"),
        ("x-twice", b"2"),
        ("dlq-reason", b"of an earlier life"),
    )
    value = b' {"customer_id" : "%b", "changes": {"note": "\xc3\xa5"}}\n' % customer.encode()
    message = Message(customer, value, headers=headers, timestamp_ms=1_795_433_736_390)
    (place,) = await stage.topics.publish([message])
    async with follow(stage.topics) as follower:
        (dead,) = await only_outcomes(follower, ["dead-1"])

    topic, partition, offset = place.rsplit(":", 2)
    assert (dead.topic, dead.key, dead.value) == (stage.topics.dead_letter, customer.encode(), value)
    assert dead.raw_headers[: len(headers) - 1] == headers[:-1]
    assert list(dead.raw_headers[len(headers) - 1 :]) == [
        ("dlq-reason", b"unknown_customer"),
        ("dlq-command-id", b"dead-1"),
        ("dlq-error", dead.headers["dlq-error"].encode()),
        ("dlq-status", b"404"),
        ("dlq-attempts", b"1"),
        ("dlq-topic", topic.encode()),
        ("dlq-partition", partition.encode()),
        ("dlq-offset", offset.encode()),
        ("dlq-timestamp", b"1795433736390"),
        ("dlq-worker", dead.headers["dlq-worker"].encode()),
    ]
    assert dead.headers["dlq-error"]
    assert dead.headers["dlq-worker"]
    assert (await stage.upstream.state(journal=0))["customers_created"] == []


async def test_what_the_upstream_refuses_is_rejected_with_its_message(stage: Stage) -> None:
    """400 with the fields it names, 409, 422, 410, and a GET's 400; each after one attempt."""
    for effect, words in (
        (refusal_of("website"), "website: Invalid input"),
        (status(409, body={"error": "Conflict", "description": "somebody was faster"}), "somebody was faster"),
        (status(422, text="cannot do this"), "cannot do this"),
        (status(410), "Gone"),
    ):
        customer = new_customer()
        await stage.upstream.control(faults=[failing(customer, effect, method="PATCH")])
        (dead,) = await settle(stage, command(customer, website="x"))
        assert_dead(dead, "rejected", http_status=effect["status"], attempts=1)
        assert words in dead.headers["dlq-error"]

    customer = new_customer()
    await stage.upstream.control(faults=[failing(customer, status(400, text="no"), method="GET")])
    (dead,) = await settle(stage, command(customer, website="x"))
    assert_dead(dead, "rejected", http_status=400, attempts=1)


async def test_of_a_refused_fold_only_the_command_that_is_named_dies(stage: Stage, worker: WorkerProcess) -> None:
    """The last writer of the field that the 400 names; the others are applied together, without that field."""
    customer, outcomes = await settle_as_one_fold(
        stage,
        worker,
        lambda customer: [
            command(customer, website="bad"),
            command(customer, phone="1"),
            command(customer, website="worse", note="lost"),
            command(customer, note="kept"),
        ],
        lambda customer: [failing(customer, refusal_of("website"), method="PATCH", first=1)],
    )

    assert [one.reason for one in outcomes] == [None, None, "rejected", None]
    bodies = [body or {} for method, body in await requests_of(stage, customer) if method == "PATCH"]
    assert [body.get("website") for body in bodies] == ["worse", "bad"]
    assert outcomes[3].payload["note"] == "kept"


async def test_a_refused_fold_without_named_fields_is_taken_apart_from_its_newest_command(
    stage: Stage, worker: WorkerProcess
) -> None:
    """The longest shorter prefix is accepted, and the command behind it is then tried alone and refused alone."""
    customer, outcomes = await settle_as_one_fold(
        stage,
        worker,
        lambda customer: [command(customer, phone="1"), command(customer, note="2"), command(customer, city="3")],
        lambda customer: [
            failing(customer, status(400, text="no"), method="PATCH", first=1),
            failing(customer, status(400, text="no"), method="PATCH", every=2),
        ],
    )

    assert [one.reason for one in outcomes] == [None, None, "rejected"]
    bodies = [body or {} for method, body in await requests_of(stage, customer) if method == "PATCH"]
    changed = [{name: body[name] for name in ("phone", "note", "city") if name in body} for body in bodies]
    assert changed == [{"phone": "1", "note": "2", "city": "3"}, {"phone": "1", "note": "2"}, {"city": "3"}]


async def test_of_a_poisoned_fold_the_culprit_alone_is_given_up(stage: Stage, worker: WorkerProcess) -> None:
    """An unknown tag is answered with 500 for ever, while other customers' changes go through."""
    async with load(stage.topics, customers=50, per_second=30, seed=1):
        customer, outcomes = await settle_as_one_fold(
            stage,
            worker,
            lambda customer: [
                command(customer, phone="1"),
                command(customer, tags=[VIP, UNKNOWN_TAG]),
                command(customer, note="3"),
            ],
            lambda _: [],
        )

    assert [one.reason for one in outcomes] == [None, "retries_exhausted", None]
    assert_dead(outcomes[1], "retries_exhausted", http_status=500)
    assert int(outcomes[1].headers["dlq-attempts"]) >= 5
    stored = {one["id"]: one for one in (await stage.upstream.state(journal=0))["customers"]}[customer]
    assert (stored["phone"], stored["note"]) == ("1", "3")


async def test_of_a_fold_that_begins_with_the_poison_the_others_are_applied(
    stage: Stage, worker: WorkerProcess
) -> None:
    """Every prefix holds it, so it is found alone; what stood behind it then goes its way."""
    async with load(stage.topics, customers=50, per_second=30, seed=4):
        customer, outcomes = await settle_as_one_fold(
            stage,
            worker,
            lambda customer: [
                command(customer, tags=[UNKNOWN_TAG]),
                command(customer, phone="2"),
                command(customer, note="3"),
            ],
            lambda _: [],
        )

    assert [one.reason for one in outcomes] == ["retries_exhausted", None, None]
    stored = {one["id"]: one for one in (await stage.upstream.state(journal=0))["customers"]}[customer]
    assert (stored["phone"], stored["note"]) == ("2", "3")


async def test_a_command_that_a_later_one_replaces_counts_as_applied(stage: Stage, worker: WorkerProcess) -> None:
    """Nothing of the poisonous tags is left in the fold, so nobody is refused."""
    _, outcomes = await settle_as_one_fold(
        stage,
        worker,
        lambda customer: [command(customer, tags=[UNKNOWN_TAG]), command(customer, tags=[LATE])],
        lambda _: [],
    )

    assert [one.reason for one in outcomes] == [None, None]
    assert [event.payload["tags"] for event in outcomes] == [[LATE], [LATE]]


async def test_failures_that_pass_are_retried_until_it_works(stage: Stage) -> None:
    """5xx, lost connections, cut answers, timeouts: read again, merge again, send again; also after a part was done."""
    effects = [
        status(500, apply=True),
        status(502),
        status(503),
        status(504),
        {"kind": "reset"},
        {"kind": "reset", "apply": True},
        {"kind": "truncate"},
        {"kind": "hang", "apply": True},
    ]
    cases = [(new_customer(), effect, method) for effect in effects for method in ("GET", "PATCH")]
    faults = [failing(customer, effect, method=method, first=1) for customer, effect, method in cases]
    await stage.upstream.control(faults=faults)
    events = await settle(stage, *(command(customer, phone="new") for customer, _, _ in cases))

    assert [event.reason for event in events] == [None] * len(cases)
    assert {event.payload["phone"] for event in events} == {"new"}


@pytest.mark.parametrize("http_status", [500, 503])
async def test_a_customer_that_keeps_failing_is_given_up_when_the_policy_is_exhausted(
    stage: Stage, http_status: int
) -> None:
    """Nobody else is concerned: the others' commands go through meanwhile."""
    customer = new_customer()
    await stage.upstream.control(faults=[failing(customer, status(http_status))])
    async with load(stage.topics, customers=50, per_second=30, seed=2):
        (dead,) = await settle(stage, command(customer, phone="1"))

    assert_dead(dead, "retries_exhausted", http_status=http_status)
    assert int(dead.headers["dlq-attempts"]) >= 5


async def test_a_customer_whose_requests_hang_is_given_up_without_a_status(stage: Stage) -> None:
    """There was no answer to take one from."""
    customer = new_customer()
    await stage.upstream.control(faults=[failing(customer, {"kind": "hang"}, method="PATCH")])
    async with load(stage.topics, customers=50, per_second=30, seed=3):
        (dead,) = await settle(stage, command(customer, phone="1"))

    assert_dead(dead, "retries_exhausted", http_status=None)
    assert "timeout" in dead.headers["dlq-error"] or "no answer" in dead.headers["dlq-error"]


async def test_too_many_requests_is_waited_out_and_no_attempt(stage: Stage) -> None:
    """More refusals than the retry policy would bear, and the command is applied all the same."""
    customer = new_customer()
    await stage.upstream.control(faults=[failing(customer, status(429, retry_after=1), first=3)])
    (event,) = await settle(stage, command(customer, phone="1"))

    assert event.is_event
    state = await stage.upstream.journal()
    tries = [one["started"] for one in state if one["customer_id"] == customer]
    assert all(later - earlier >= 0.99 for earlier, later in itertools.pairwise(tries[:4]))


async def test_an_answer_that_is_no_customer_is_a_fault_of_the_contract(stage: Stage) -> None:
    """Of GET or PATCH, in whatever way; it is not asked again."""
    another = {"id": customer_id_for(1), "name": "somebody else"}
    for wrong in (
        {"body": {"ok": True}},
        {"body": [1, 2]},
        {"body": None},
        {"body": another},
        {"text": "<html>hello</html>", "content_type": "text/html"},
        {"text": ""},
        {"text": '{"id":'},
    ):
        for method in ("GET", "PATCH"):
            customer = new_customer()
            effect = {"kind": "wrong_content", **wrong}
            await stage.upstream.control(faults=[failing(customer, effect, method=method)])
            (dead,) = await settle(stage, command(customer, phone="1"))
            assert_dead(dead, "contract", http_status=200, attempts=1)
            assert len(await requests_of(stage, customer)) == (1 if method == "GET" else 2)


async def test_a_command_not_begun_by_its_expirytime_is_expired_without_a_request(stage: Stage) -> None:
    """One that has time left is applied; so is a replay, whose expirytime no longer counts."""
    late, early, again = new_customer(), new_customer(), new_customer()
    await stage.topics.publish(
        [
            command(late, cloud_event("late", expirytime="2001-01-01T00:00:00Z"), phone="1"),
            command(early, cloud_event("early", expirytime="2201-01-01T00:00:00Z"), phone="1"),
            Message(
                again,
                command(again, phone="1").value,
                headers=[
                    *cloud_event("again", expirytime="2001-01-01T00:00:00Z"),
                    ("dlq-command-id", b"again"),
                    ("dlq-replay", b"1"),
                ],
            ),
        ]
    )
    async with follow(stage.topics) as follower:
        dead, *events = await only_outcomes(follower, ["late", "early", "again#1"])

    assert_dead(dead, "expired", http_status=None, attempts=0)
    assert await requests_of(stage, late) == []
    assert all(event.is_event for event in events)


async def test_an_expired_command_costs_the_others_of_its_fold_nothing(stage: Stage, worker: WorkerProcess) -> None:
    """It is left out of the change set; what it wanted does not happen."""
    _, outcomes = await settle_as_one_fold(
        stage,
        worker,
        lambda customer: [
            command(customer, phone="1"),
            command(customer, (("ce_expirytime", b"2001-01-01T00:00:00Z"),), phone="expired"),
        ],
        lambda _: [],
    )

    assert [one.reason for one in outcomes] == [None, "expired"]
    assert outcomes[0].payload["phone"] == "1"

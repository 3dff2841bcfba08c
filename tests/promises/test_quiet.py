"""Promise 7: no token, e-mail, phone, address or customer token in logs, spans, metrics, pages and error texts.

Nor in what the command line prints without --reveal.
"""

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
import typer
from typer._click.core import Command

from harness.broker import Broker, free_port
from harness.commands import cloud_event, command
from harness.follower import Follower, follow
from harness.leaks import guises, leaks
from harness.otlp_receiver import receiving
from harness.polling import eventually
from harness.settling import failing, refusal_of, status
from harness.stage import Stage
from harness.topics import Message
from harness.worker_process import WorkerProcess
from worker.cli.app import app
from worker.operations.http import routes

STREAM = "/api/live"
API_TOKEN = "mid_" + "5ec2e7a0" * 8
REVOKED_TOKEN = "mid_" + "0ddba115" * 8
COLLECTOR_KEY = "planted-key-for-the-collector-4711"
SASL_PASSWORD = "sesam-öffne-dich-4711"

STORED = {
    "name": "Planta Stored O'Neil",
    "email": "planta.stored@private.example",
    "phone": "+46 70 555 12 34",
    "website": "https://planta-stored.example/me",
    "addressLine1": "Gömda gatan 17B",
    "addressLine2": "Hidden stair 3",
    "city": "Hemliga Staden",
    "state": "Sekretessland",
    "zip": "SE-98 765",
    "note": "is said to be ill & in debt",
    "vatNumber": "SE556677889901",
    "contact": "Kontakta Stored",
}
WANTED = {
    "name": "Planta Wanted",
    "email": "planta.wanted@private.example",
    "phone": "+46 70 999 88 77",
    "website": "https://planta-wanted.example/me",
    "address_line1": "Verborgene Straße 5",
    "address_line2": "Hinterhaus 9",
    "city": "Geheimstadt",
    "state": "Diskretien",
    "zip": "D-12 345",
    "note": 'wants to be "forgotten"\n<b>now</b>',
    "vat_number": "DE123456789",
    "contact": "Kontakta Wanted",
}
BAD_EMAIL = "planta bad@private.example"
BAD_FIELD = "Planta Fieldname"
BAD_TEXT = "Planta Nojson, Hidden Lane 8, +1 555 0100 200"
BAD_KEY = "planta.key@private.example"
BY_WHOM = "planta.header@private.example"
WITH_A_HEADER = (("x-requested-by", BY_WHOM.encode()),)

SILENT_COMMANDS = {"run", "demo", "send", "topics create", "dlq import"}
"""`run` is what is watched, `demo` has people of its own, and the others print no data but what they were told."""


@dataclass(slots=True)
class Findings:
    """Everything that a worker has shown of itself, and what must not be in it."""

    shown: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    reasons: set[str | None] = field(default_factory=set)
    spans: set[str] = field(default_factory=set)
    went_through: str = ""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["json", "console"])
async def findings(
    request: pytest.FixtureRequest, session_broker: Broker, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Findings]:
    """A run through every outcome and every kind of failure, at LOG_LEVEL=DEBUG, in both formats of the log."""
    token_file = tmp_path_factory.mktemp("secrets") / "token"
    token_file.write_text(API_TOKEN)
    async with receiving() as receiver:
        worker = stage.start_worker(
            **receiver.environment,
            LOG_LEVEL="DEBUG",
            LOG_FORMAT=request.param,
            UPSTREAM_TOKEN="",
            UPSTREAM_TOKEN_FILE=str(token_file),
            UPSTREAM_TIMEOUT_SECONDS="1",
            RETRY_MAX_ELAPSED_SECONDS="0.5",
            OTEL_EXPORTER_OTLP_HEADERS=f"api-key={COLLECTOR_KEY}",
            OTEL_BSP_MAX_QUEUE_SIZE="100000",
        )
        run = _Run(stage, worker, request.param, real=session_broker.real)
        try:
            await run.everything(token_file.write_text)
        finally:
            worker.sigterm()
            await worker.wait()
    run.findings.shown["log"] = worker.log()
    run.findings.shown["spans"] = "\n".join(receiver.exports)
    run.findings.spans = {span.name for span in receiver.spans}
    assert all(request.headers["api-key"] == COLLECTOR_KEY for request in receiver.server.requests)
    yield run.findings


class _Run:
    """The scenes of the run, one after another; each customer is planted with the same personal data."""

    def __init__(self, stage: Stage, worker: WorkerProcess, log_format: str, *, real: bool) -> None:
        self.findings = Findings()
        self._stage = stage
        self._worker = worker
        self._prefix = f"9{log_format.encode().hex()[:7]}-0000-4000-8000-"
        self._mark = log_format
        self._real = real
        self._customers = 0
        self._visits = 0
        self._bad_key_at = ""

    async def everything(self, write_token: Callable[[str], object]) -> None:
        """All scenes, then what was planted in them."""
        upstream, topics = self._stage.upstream, self._stage.topics
        account = {"user": "user-rw", "scopes": ["customers.read", "customers.write"]}
        ids = [self._new_customer() for _ in range(150)]
        await upstream.control(
            customers=[{"id": one, **STORED, "country": "Sweden"} for one in ids[:140]], tokens={API_TOKEN: account}
        )
        await self._worker.wait_ready()
        async with follow(topics) as follower:
            await follower.of(await topics.publish([command(ids[0], WITH_A_HEADER, changes=WANTED)]))
            await self._visit()
            await self._bad_commands(follower, ids)
            await self._refusals(follower, ids[1:20])
            await self._failures(follower, ids[20:30])
            await self._too_large(follower, ids[30])
            await self._outage(follower, ids[31:131])
            write_token(REVOKED_TOKEN)
            await self._held(follower, ids[131:140], lambda: write_token(API_TOKEN))
            self.findings.reasons = {outcome.reason for outcome in follower.outcomes}
            self.findings.shown["headers of dead letters"] = "\n".join(
                f"{name}: {value}"
                for outcome in follower.outcomes
                if not outcome.is_event
                for name, value in outcome.headers.items()
                if name.startswith("dlq-")
            )
            self.findings.shown["headers of events"] = str([o.headers for o in follower.outcomes if o.is_event])
            self.findings.went_through = "".join(
                (one.value or b"").decode(errors="replace") for one in follower.outcomes
            )
        await self._command_lines(ids[0])
        state = await upstream.state(journal=0)
        self.findings.secrets = {
            **{f"the stored {name}": value for name, value in STORED.items()},
            **{f"the wanted {name}": value for name, value in WANTED.items()},
            **{f"customer {n}'s token": one["token"] for n, one in enumerate(state["customers"]) if one["token"]},
            "the API token": API_TOKEN,
            "the revoked token": REVOKED_TOKEN,
            "a bad e-mail": BAD_EMAIL,
            "a bad field's name": BAD_FIELD,
            "a value that is no JSON": BAD_TEXT,
            "a bad key": BAD_KEY,
            "a header of the publisher's": BY_WHOM,
            "the key for the collector": COLLECTOR_KEY,
        }

    def _new_customer(self) -> str:
        self._customers += 1
        return f"{self._prefix}{self._customers:012d}"

    async def _visit(self) -> None:
        """Keeps what each page shows now."""
        self._visits += 1
        for page in pages():
            _, body = await self._worker.get(page)
            self.findings.shown[f"{page}, visit {self._visits}"] = body
        stream = f"http://127.0.0.1:{self._worker.port}{STREAM}"
        self.findings.shown[f"{STREAM}, visit {self._visits}"] = await asyncio.to_thread(_beginning_of, stream)

    async def _command_lines(self, customer: str) -> None:
        """What the command line prints of all this to somebody who does not ask for personal data."""
        wanted = json.dumps(WANTED)
        stored = json.dumps({"name": STORED["name"], "note": STORED["note"]})
        for arguments in (
            ("check",),
            ("config",),
            ("config", "--json"),
            ("schema", "command"),
            ("watch", "--from-beginning", "--no-follow"),
            ("dlq", "list", "--all"),
            ("dlq", "list", "--json"),
            ("dlq", "list", "--text", "refused"),
            ("dlq", "replay", "--all", "--dry-run"),
            ("dlq", "export", "--all"),
            ("dlq", "show", self._bad_key_at),
            ("dlq", "show", self._bad_key_at, "--json"),
            ("dlq", "edit", self._bad_key_at, "--yes"),
            ("dlq", "discard", self._bad_key_at, "--reason", "tried", "--yes"),
            ("trace", customer),
            ("trace", customer, "--json"),
            ("trace", f"{self._mark} twice"),
            ("trace", self._bad_key_at),
            ("trace", self._bad_key_at, "--json"),
            ("plan", customer, "--changes", wanted),
            ("plan", customer, "--changes", stored, "--json"),
            ("plan", customer, "--set", f"email={BAD_EMAIL}"),
        ):
            named = " ".join(["customer-sync", *(one for one in arguments if one != customer)])
            self.findings.shown[named] = await asyncio.to_thread(_printed_by, arguments, self._worker.environment)

    async def _settle(self, follower: Follower, *messages: Message) -> list[str]:
        """Publishes and waits for the outcomes; where the commands are."""
        places = await self._stage.topics.publish(messages)
        await follower.of(places)
        return places

    async def _bad_commands(self, follower: Follower, ids: list[str]) -> None:
        customer, unknown = ids[0], ids[-1]
        value = command(customer, changes=WANTED).value
        headers = cloud_event(f"{self._mark} twice")
        places = await self._settle(
            follower,
            Message(customer, BAD_TEXT.encode()),
            Message(customer, json.dumps(value).encode()[:-2]),
            Message(BAD_KEY, value, headers=WITH_A_HEADER),
            command(customer, WITH_A_HEADER, changes={**WANTED, "email": BAD_EMAIL}),
            Message(customer, {"customer_id": BAD_KEY, "changes": {"phone": 5}}),
            command(customer, changes={**WANTED, "email": BAD_EMAIL}),
            command(customer, changes={BAD_FIELD: "x", "name": " ", "tags": [{"id": BAD_KEY, "name": BAD_TEXT}]}),
            Message(customer, json.dumps(value).encode().replace(b'"phone"', b'"note"')),
            command(unknown, changes=WANTED),
            command(customer, partition=0, phone=WANTED["phone"]),
            command(customer, partition=1, phone=STORED["phone"]),
        )
        self._bad_key_at = places[2]
        expired = cloud_event(f"{self._mark} expired", source=f"/{self._mark}", expirytime="2001-01-01T00:00:00Z")
        await self._stage.topics.publish(
            [
                command(customer, headers, changes=WANTED),
                command(customer, headers, changes=STORED_AS_WANTED),
                command(customer, expired, changes=WANTED),
            ]
        )
        await follower.of([f"{self._mark} twice", f"{self._mark} expired"])
        await self._settle(follower, command(customer, note="the end of the scene"))

    async def _refusals(self, follower: Follower, ids: list[str]) -> None:
        """Answers that repeat what was sent."""
        echo = " and ".join([*WANTED.values(), *STORED.values(), API_TOKEN])
        issues = [{"code": "custom", "path": ["email"], "message": f"{WANTED['email']} is not '{STORED['email']}'"}]
        zod = {"success": False, "error": {"name": "ZodError", "message": json.dumps(issues)}}
        person = {**STORED, "id": 5, "tags": None}
        effects: list[dict[str, Any]] = [
            refusal_of("email"),
            status(400, body=zod),
            status(400, body={"error": {"message": echo}}),
            status(409, text=echo),
            status(422, body={"error": WANTED["name"], "description": f"{WANTED['address_line1']}: no such place"}),
            status(410, text=f"gone: {WANTED['contact']}" + " x" * 5000),
            {"kind": "wrong_content", "body": person},
            {"kind": "wrong_content", "body": {**person, WANTED["name"]: WANTED["email"]}},
            {"kind": "wrong_content", "text": echo},
            {"kind": "wrong_content", "text": json.dumps(STORED)[:-9], "content_type": "application/json"},
            status(500, text=echo),
        ]
        faults = [failing(one, effect, method="PATCH") for one, effect in zip(ids, effects, strict=False)]
        unreadable = (status(400, text=f"{STORED['contact']} is odd"), status(409, body={"error": STORED["name"]}))
        faults += [failing(one, effect, method="GET") for one, effect in zip(reversed(ids), unreadable, strict=False)]
        await self._stage.upstream.control(faults=faults)
        await self._settle(follower, *(command(one, changes=WANTED) for one in ids))
        await self._visit()

    async def _failures(self, follower: Follower, ids: list[str]) -> None:
        """Connections that end in every way; one customer fails until the policy is exhausted."""
        effects: list[dict[str, Any]] = [
            {"kind": "reset"},
            {"kind": "reset", "apply": True},
            {"kind": "truncate"},
            {"kind": "hang"},
            status(429, retry_after=1),
            status(503, text=STORED["name"]),
        ]
        faults = [failing(one, effect, first=1) for one, effect in zip(ids, effects, strict=False)]
        faults.append(failing(ids[-1], status(503)))
        await self._stage.upstream.control(faults=faults)
        await self._settle(follower, *(command(one, changes=WANTED) for one in ids))

    async def _too_large(self, follower: Follower, customer: str) -> None:
        if self._real:
            await self._stage.topics.limit_events(3_000)
            await self._settle(follower, command(customer, note=WANTED["note"] * 200))
            await self._stage.topics.limit_events(1_048_588)

    async def _outage(self, follower: Follower, ids: list[str]) -> None:
        """The circuit opens; the pages say why."""
        await self._stage.upstream.control(faults=[{"effect": status(503, text=STORED["name"])}])
        places = await self._stage.topics.publish(command(one, changes=WANTED) for one in ids)
        await self._until_readyz_says("circuit open")
        await self._stage.upstream.control(faults=[])
        await follower.of(places)

    async def _held(self, follower: Follower, ids: list[str], mend: Callable[[], object]) -> None:
        """401 for a token that is not known, then a redirect and a 403 that tell too much."""

        async def token_is_taken_up() -> bool:
            return "token_replaced" in self._worker.log()

        await eventually(token_is_taken_up, within_seconds=15, what="the revoked token is used")
        places = await self._stage.topics.publish(command(one, changes=WANTED) for one in ids)
        await self._until_readyz_says("401")
        mend()
        await follower.of(places)
        for effect, word in (
            (status(302, location=f"https://u:{API_TOKEN}@h.test/{WANTED['email']}?n={STORED['name']}"), "302"),
            (status(403, body={"error": "Forbidden", "description": f"{WANTED['email']} {API_TOKEN}"}), "403"),
        ):
            await self._stage.upstream.control(faults=[{"effect": effect}])
            places = await self._stage.topics.publish([command(ids[0], note=f"{WANTED['note']} {word}")])
            await self._until_readyz_says(word)
            await self._stage.upstream.control(faults=[])
            await follower.of(places)
        await self._visit()

    async def _until_readyz_says(self, words: str) -> None:
        async def said() -> bool:
            return words in (await self._worker.get("/readyz"))[1]

        await eventually(said, within_seconds=15, what=f"/readyz says {words}")
        await self._visit()


def pages() -> list[str]:
    """Every page that ends."""
    served = [path for path, _ in routes(lambda: None, None, lambda _: None, {})]  # type: ignore[arg-type,return-value]  # nobody asks
    return ["/", "/api/group", "/api/replica", *served]


def _beginning_of(stream: str) -> str:
    """The first of what a page sends that never ends."""
    with urllib.request.urlopen(stream, timeout=5) as answer:
        return "".join(answer.readline().decode() for _ in range(4))


def _printed_by(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """What `customer-sync` prints, on both streams."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        env={**environment, "COLUMNS": "200", "VISUAL": "true"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode in (0, 1, 2, 4, 5), f"{arguments} ended with {done.returncode}: {done.stderr}"
    return f"{done.stdout}\n{done.stderr}"


STORED_AS_WANTED = {"phone": STORED["phone"], "note": STORED["note"]}


def test_nothing_personal_or_secret_is_shown_anywhere(findings: Findings) -> None:
    """Logs, spans, every page at several moments, the command line, and the headers that the worker writes itself."""
    assert leaks(findings.shown, findings.secrets) == []


def test_the_run_went_through_every_outcome_and_did_carry_what_was_planted(
    findings: Findings, session_broker: Broker
) -> None:
    """Otherwise its silence would say nothing."""
    reasons = {"undecodable", "invalid", "unknown_customer", "rejected", "retries_exhausted", "contract", "expired"}
    assert findings.reasons >= reasons | {None} | ({"too_large"} if session_broker.real else set())
    assert len(findings.secrets) > 30
    assert all(json.dumps(WANTED[name])[1:-1] in findings.went_through for name in WANTED if WANTED[name].isascii())
    log = findings.shown["log"]
    assert all(word in log for word in ("dead_letter", "attempt_failed", "breaker", "command_on_wrong_partition"))
    assert "rejected" in findings.shown["/metrics, visit 5"]
    assert {"wait", "GET /customers/{id}", "PATCH /customers/{id}", "commit"} < findings.spans


def test_every_command_is_looked_through(findings: Findings) -> None:
    """One that is new must be run above, or have a reason why not."""
    looked_through = {
        where.removeprefix("customer-sync ") for where in findings.shown if where.startswith("customer-sync ")
    }

    assert {
        name
        for name in leaves(typer.main.get_command(app))
        if not any(f"{one} ".startswith(f"{name} ") for one in looked_through)
    } == SILENT_COMMANDS


def leaves(command: Command, name: str = "") -> Iterator[str]:
    """The names of all commands that do something."""
    inner: Mapping[str, Command] = getattr(command, "commands", {})
    if not inner:
        yield name
    for word, one in inner.items():
        yield from leaves(one, f"{name} {word}".strip())


@pytest.mark.parametrize("secret", [API_TOKEN, *STORED.values(), *WANTED.values()])
def test_a_planted_value_would_be_found_in_any_guise(secret: str) -> None:
    """The search itself can fail: each guise of each value is found where it stands, and nowhere else."""
    for guise, appearance in guises(secret):
        assert leaks({"log": f"some {appearance.upper()}, here"}, {"it": secret}), guise

    assert leaks({"log": "some other text"}, {"it": secret}) == []


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_the_password_for_kafka_is_in_no_log(stage: Stage, log_format: str) -> None:
    """Neither while Kafka cannot be reached, nor when it refuses the login."""
    workers = [
        stage.start_worker(
            LOG_LEVEL="DEBUG",
            LOG_FORMAT=log_format,
            KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
            KAFKA_SASL_MECHANISM="PLAIN",
            KAFKA_SASL_USERNAME="customer-sync",
            KAFKA_SASL_PASSWORD=SASL_PASSWORD,
            **more,
        )
        for more in ({}, {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"})
    ]
    for worker in workers:

        async def complains(worker: WorkerProcess = worker) -> bool:
            return worker.returncode is not None or "kafka_not_reached" in worker.log()

        await eventually(complains, within_seconds=30, what="the worker does not reach Kafka")
        worker.end()

    assert leaks({"log": "".join(worker.log() for worker in workers)}, {"the password": SASL_PASSWORD}) == []

"""`plan`: what a command would do, by the worker's own rules, with nothing sent but the GET."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.command_line import CommandLine, Finished
from harness.commands import VIP, full_customer
from harness.upstream_process import UpstreamProcess

CUSTOMER = "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"
PLANTED = "planted@home.example"


@pytest.fixture
async def on_upstream(customer_sync: CommandLine, upstream: UpstreamProcess) -> CommandLine:
    """The command line, with one customer upstream, whose every value is personal."""
    await upstream.control(customers=[full_customer(CUSTOMER, PLANTED, email=PLANTED, phone=None)])
    customer_sync.give(**upstream.environment())
    return customer_sync


async def planned(command_line: CommandLine, *arguments: str) -> tuple[Finished, dict[str, Any]]:
    """How it ended, and its JSON."""
    finished = await command_line.along("plan", *arguments, "--json")
    assert finished.output, finished.errors
    return finished, json.loads(finished.output)


class TestApply:
    """The worker would apply it."""

    async def test_what_differs_and_what_the_patch_would_hold(
        self, on_upstream: CommandLine, upstream: UpstreamProcess
    ) -> None:
        """Name, e-mail and tags are repeated, since the upstream would delete them otherwise; nothing is written."""
        arguments = (CUSTOMER, "--set", f"city={PLANTED}", "--set", "country=Sweden", "--clear", "zip")

        finished, plan = await planned(on_upstream, *arguments)
        shown = await on_upstream.along("plan", *arguments)

        assert (finished.exit_code, shown.exit_code) == (0, 0)
        assert plan == {
            "verdict": "apply",
            "customer_id": CUSTOMER,
            "requests": 2,
            "fields": {"city": {"differs": True}, "country": {"differs": False}, "zip": {"differs": True}},
            "patch": ["name", "email", "tags", "city", "zip"],
        }
        assert "zip            (hidden) → null" in shown.output
        assert "country        (hidden), as it is already" in shown.output
        assert "PATCH with name, email, tags, city, zip: 2 requests" in shown.output
        assert [request["method"] for request in await upstream.journal()] == ["GET", "GET"]
        assert PLANTED not in finished.output + finished.errors + shown.output + shown.errors

    async def test_values_are_shown_when_they_are_asked_for(self, on_upstream: CommandLine) -> None:
        """--reveal is the decision of whoever types it; no token is shown all the same."""
        arguments = (CUSTOMER, "--set", "phone=1", "--tag", f"{VIP['id']}=VIP", "--reveal")

        _, plan = await planned(on_upstream, *arguments)
        shown = await on_upstream.along("plan", *arguments)

        assert plan["fields"]["phone"] == {"differs": True, "now": None, "then": "1"}
        assert plan["fields"]["tags"]["differs"]
        assert (plan["body"]["email"], plan["body"]["phone"]) == (PLANTED, "1")
        assert 'phone          null → "1"' in shown.output
        assert shown.output.count(PLANTED) >= 1
        assert "token" not in shown.output + json.dumps(plan)

    async def test_what_changes_nothing_costs_no_patch(self, on_upstream: CommandLine) -> None:
        """An event there is all the same."""
        finished, plan = await planned(on_upstream, CUSTOMER, "--clear", "phone")
        shown = await on_upstream.along("plan", CUSTOMER, "--clear", "phone")

        assert (finished.exit_code, plan["requests"], plan["patch"]) == (0, 1, None)
        assert "phone          null, as it is already" in shown.output
        assert "nothing would change: one GET, no PATCH, and an event" in shown.output

    async def test_command_from_a_file(self, on_upstream: CommandLine, tmp_path: Path) -> None:
        """A plain value or an envelope; the customer is the one that it names."""
        body = {"customerId": CUSTOMER, "changes": {"vatNumber": "SE1"}}
        envelope = {"specversion": "1.0", "type": "customer.update", "source": "/x", "id": "1", "data": body}
        for number, document in enumerate((body, envelope)):
            file = tmp_path / f"{number}.json"
            file.write_text(json.dumps(document))

            _, plan = await planned(on_upstream, "--record", str(file))

            assert (plan["customer_id"], plan["fields"]) == (CUSTOMER, {"vat_number": {"differs": True}})


class TestRefuse:
    """The worker would make it a dead letter."""

    async def test_what_cannot_be_read_costs_no_request(
        self, on_upstream: CommandLine, upstream: UpstreamProcess, tmp_path: Path
    ) -> None:
        """All mistakes at once, as in dlq-error; no value."""
        file = tmp_path / "command.json"
        file.write_text(json.dumps({"customer_id": CUSTOMER, "changes": {"email": f"{PLANTED} ", PLANTED: 1}}))

        finished, plan = await planned(on_upstream, "--record", str(file))
        shown = await on_upstream.along("plan", "--record", str(file))

        assert (finished.exit_code, plan["verdict"], plan["reason"], plan["requests"]) == (1, "refuse", "invalid", 0)
        assert "[email_malformed]" in plan["error"]
        assert "[unknown_field]" in plan["error"]
        assert plan["error"] in shown.output
        assert await upstream.journal() == []
        assert PLANTED not in finished.output + finished.errors + shown.output + shown.errors

    async def test_customer_that_nobody_knows(self, on_upstream: CommandLine) -> None:
        """With the words of the dead letter."""
        finished, plan = await planned(on_upstream, CUSTOMER.replace("b3b7", "0000"), "--clear", "phone")

        assert (finished.exit_code, plan["reason"], plan["status"], plan["requests"]) == (1, "unknown_customer", 404, 1)
        assert "[customer_not_found]" in plan["error"]

    async def test_expired_command_costs_no_request(self, on_upstream: CommandLine, upstream: UpstreamProcess) -> None:
        """It is judged by this machine's clock."""
        finished, plan = await planned(on_upstream, CUSTOMER, "--clear", "zip", "--expires", "2020-01-01T00:00:00Z")

        assert (finished.exit_code, plan["reason"], plan["requests"]) == (1, "expired", 0)
        assert await upstream.journal() == []

    async def test_no_record_at_all(self, on_upstream: CommandLine, tmp_path: Path) -> None:
        """An empty file is a null value's kin."""
        file = tmp_path / "empty"
        file.write_bytes(b"")

        finished, plan = await planned(on_upstream, "--record", str(file))

        assert (finished.exit_code, plan["reason"]) == (1, "undecodable")


class TestWait:
    """The worker would neither apply nor refuse it."""

    @pytest.mark.parametrize("code", [401, 429, 503])
    async def test_upstream_that_does_not_answer_as_it_should(
        self, on_upstream: CommandLine, upstream: UpstreamProcess, code: int
    ) -> None:
        """An exit code of its own, and what to do about it."""
        await upstream.control(faults=[{"effect": {"kind": "status", "status": code}}])

        finished, plan = await planned(on_upstream, CUSTOMER, "--clear", "zip")

        assert (finished.exit_code, plan["verdict"], plan["status"]) == (6, "wait", code)
        assert "the worker would wait" in finished.errors

    async def test_upstream_that_is_away(self, on_upstream: CommandLine, upstream: UpstreamProcess) -> None:
        """Nothing answers."""
        upstream.kill()

        finished, _ = await planned(on_upstream, CUSTOMER, "--clear", "zip")

        assert finished.exit_code == 6


class TestUsage:
    """What cannot be understood is said before anything is sent."""

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            (CUSTOMER,),
            (CUSTOMER, "--set", "city"),
            ("--record", "no-such-file"),
            ("--record", "-", "--clear", "zip"),
        ],
    )
    def test_usage_error(self, customer_sync: CommandLine, arguments: tuple[str, ...]) -> None:
        """Exit code 2."""
        assert customer_sync("plan", *arguments).exit_code == 2

    def test_token_is_needed(self, customer_sync: CommandLine) -> None:
        """It asks the upstream."""
        finished = customer_sync("plan", CUSTOMER, "--clear", "zip")

        assert finished.exit_code == 2
        assert "UPSTREAM_TOKEN" in finished.errors

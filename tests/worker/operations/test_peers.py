"""How the other replicas are asked, over real connections."""

import asyncio
import time

import pytest

from harness.broker import free_port
from harness.groups import IDLE, a_busy_view
from harness.scripted_http import Request, Script, Wire, serving
from worker.operations.peers import DEADLINE_SECONDS, LARGEST_ANSWER_BYTES, Answer, ask_peers
from worker.operations.replica import ReplicaUnreadable, from_json, to_json


async def asked(script: Script) -> Answer:
    """What a peer that answers so is taken to say."""
    async with serving(script) as peer:
        address = peer.url.removeprefix("http://")
        return (await ask_peers([address]))[address]


def answering(status: str, body: bytes) -> Script:
    """A peer that answers every request with this."""

    async def script(_request: Request, wire: Wire) -> None:
        await wire.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return script


async def test_peer_is_understood() -> None:
    """Everything that it says of itself comes across."""
    replica = a_busy_view().own
    requests: list[Request] = []

    async def script(request: Request, wire: Wire) -> None:
        requests.append(request)
        await answering("200 OK", to_json(replica))(request, wire)

    assert await asked(script) == replica
    assert [(request.method, request.target) for request in requests] == [("GET", "/api/replica")]
    assert "authorization" not in requests[0].headers


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        ("302 Found\r\nLocation: http://127.0.0.1/", b"", "answers 302"),
        ("503 Busy", b"", "answers 503"),
        ("200 OK", b"{}", "another format"),
        ("200 OK", b"<html>", "another format"),
        ("200 OK", to_json(IDLE).replace(b'"format":1', b'"format":2'), "answers in format 2, not 1"),
        ("200 OK", b" " * (LARGEST_ANSWER_BYTES + 1), "no way that can be read"),
        ("nonsense", b"", "no way that can be read"),
    ],
)
async def test_peer_that_is_not_understood_is_shown_so(status: str, body: bytes, words: str) -> None:
    """No redirect is followed, no answer fills the memory."""
    answer = await asked(answering(status, body))

    assert isinstance(answer, str)
    assert words in answer


async def test_all_peers_have_one_second_together() -> None:
    """A frozen replica holds nobody up for longer."""

    async def hang(_request: Request, wire: Wire) -> None:
        await wire.hang()

    async with serving(hang) as one, serving(hang) as other, serving(answering("200 OK", to_json(IDLE))) as good:
        addresses = [peer.url.removeprefix("http://") for peer in (one, other, good)]
        began = time.monotonic()
        answers = await ask_peers(addresses)
        took = time.monotonic() - began

    assert list(answers.values()) == ["no answer within 1 s", "no answer within 1 s", IDLE]
    assert took < 2 * DEADLINE_SECONDS + 0.5


async def test_peer_that_is_gone_cannot_be_reached() -> None:
    """Nobody listens there any more."""
    address = f"127.0.0.1:{free_port()}"

    assert await ask_peers([address]) == {address: "cannot be reached"}
    assert await ask_peers([]) == {}


def test_later_version_may_say_more() -> None:
    """In a rolling update, whoever only adds something is still read."""
    more = to_json(IDLE).replace(b'{"format":1', b'{"new":[1],"format":1')

    assert from_json(more) == IDLE
    with pytest.raises(ReplicaUnreadable, match="another version"):
        from_json(to_json(IDLE).replace(b'"worker":', b'"name":'))


def test_peers_are_asked_from_a_loop_without_tasks_left_behind() -> None:
    """Nothing of it outlives the question."""

    async def scenario() -> int:
        await ask_peers([f"127.0.0.1:{free_port()}"])
        return len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == 1

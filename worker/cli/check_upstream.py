"""The verdicts of `check` about the upstream: address, token, scopes, limit, and this machine's clock.

Nothing is changed there. The GET asks for an id that was made up just now, so 404 is the good answer. The PATCH of it
carries an empty body, which the upstream refuses with 400 after it has checked the scope and before it looks for the
customer. Both count against the rate limit. The time is read from an answer to a request without a token, which
does not count.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import aiohttp

from worker.cli.verdict import Mark, Verdict
from worker.upstream.answers import (
    Answer,
    ContractBroken,
    DeploymentFault,
    NotFound,
    Ok,
    RateLimited,
    Rejected,
    Unavailable,
)
from worker.upstream.client import UpstreamClient
from worker.upstream.token_source import TokenSource, TokenUnusable

if TYPE_CHECKING:
    from worker.settings import Settings

_SKEW_TO_MENTION_SECONDS: Final = 5.0
_SKEW_TO_REFUSE_SECONDS: Final = 60.0
_GET, _PATCH = "scope customers.read", "scope customers.write"


async def upstream_verdicts(settings: Settings) -> AsyncIterator[Verdict]:
    """Every verdict about the upstream, for two requests of its budget."""
    try:
        token = token_source(settings)
    except TokenUnusable as unusable:
        yield Verdict("upstream", Mark.FAILED, str(unusable), "correct UPSTREAM_TOKEN or UPSTREAM_TOKEN_FILE")
        return
    client = UpstreamClient(settings.upstream_base_url, token, settings.upstream_timeout_seconds, 1)
    nobody = str(uuid.uuid4())
    async with client:
        read = await client.get(nobody)
        verdict = _about(_GET, read, settings)
        yield verdict
        if verdict.mark is Mark.FAILED and not isinstance(read, DeploymentFault):
            return
        if not (isinstance(read, DeploymentFault) and read.status != 403):
            written = await client.patch(nobody, {})
            yield _about(_PATCH, written, settings)
            yield _limit(written, settings)
    yield await _clock(settings)


def token_source(settings: Settings) -> TokenSource:
    """Where the token comes from. Raises `TokenUnusable` where there is none."""
    if settings.upstream_token_file is not None:
        return TokenSource.from_file(settings.upstream_token_file, time.monotonic)
    if settings.upstream_token is None:
        raise TokenUnusable("UPSTREAM_TOKEN", "is not set")
    return TokenSource.from_value(settings.upstream_token.get_secret_value())


def verdict_on_get(answer: Answer, settings: Settings) -> Verdict:
    """What an answer to a GET says about the deployment."""
    return _about(_GET, answer, settings)


def _about(subject: str, answer: Answer, settings: Settings) -> Verdict:
    """What an answer to one of the two requests says about the deployment."""
    address = settings.upstream_base_url
    wrong_address = "correct UPSTREAM_BASE_URL: it ends before /customers"
    match answer:
        case NotFound() if subject == _GET:
            return Verdict(subject, Mark.OK, "the token may read customers")
        case Rejected(status=400) if subject == _PATCH:
            return Verdict(subject, Mark.OK, "the token may write customers; nothing was written")
        case DeploymentFault(status=401):
            return Verdict("token", Mark.FAILED, "the upstream does not know it", "correct UPSTREAM_TOKEN")
        case DeploymentFault(status=403):
            scope = subject.removeprefix("scope ")
            return Verdict(subject, Mark.FAILED, f"the token lacks {scope}", f"add {scope} to the token's scopes")
        case DeploymentFault():
            return Verdict("upstream", Mark.FAILED, f"{answer.status}: {answer.message}", wrong_address)
        case RateLimited():
            text = f"the rate limit is used up for another {answer.retry_after_seconds:.0f} seconds"
            return Verdict(subject, Mark.WARNING, text, "check again afterwards")
        case Unavailable(status=None):
            text = f"{address} does not answer ({answer.cause.replace('_', ' ')})"
            return Verdict("upstream", Mark.FAILED, text, "correct UPSTREAM_BASE_URL, or see what is in the way")
        case Unavailable():
            text = f"{address} answers {answer.status}"
            return Verdict("upstream", Mark.FAILED, text, "the upstream is in trouble: the worker would wait for it")
        case Rejected() | ContractBroken():
            text = f"{address} answers {answer.status}, which the customers API would not"
            return Verdict("upstream", Mark.FAILED, text, wrong_address)
        case Ok() | NotFound():
            text = f"{address} knows a customer that was made up just now"
            return Verdict("upstream", Mark.FAILED, text, wrong_address)


def _limit(answer: Answer, settings: Settings) -> Verdict:
    quota = answer.quota
    if quota is None:
        return Verdict("rate limit", Mark.SKIPPED, "the upstream does not tell its limit")
    told = f"{quota.remaining} of {quota.limit} requests left for {quota.reset_seconds:.0f} s; this check took 2"
    configured, window_seconds = settings.upstream_rate_limit, settings.upstream_rate_window_seconds
    if configured and configured / window_seconds > quota.limit / quota.window_seconds:
        text = f"{told}. UPSTREAM_RATE_LIMIT={configured} in {window_seconds:g} s is more: the upstream's figure counts"
        return Verdict("rate limit", Mark.WARNING, text, "lower UPSTREAM_RATE_LIMIT")
    return Verdict("rate limit", Mark.OK, told)


async def _clock(settings: Settings) -> Verdict:
    timeout = aiohttp.ClientTimeout(total=settings.upstream_timeout_seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(f"{settings.upstream_base_url}/customers/{uuid.uuid4()}", allow_redirects=False) as response,
        ):
            here = time.time()  # noqa: TID251  # this machine's clock is what is looked at
            date = response.headers.get("Date", "")
    except (aiohttp.ClientError, TimeoutError):
        return Verdict("clock", Mark.SKIPPED, "the upstream does not tell the time")
    return clock_verdict(date, here)


def clock_verdict(date: str, here: float) -> Verdict:
    """How far this machine's clock, *here* in seconds since 1970, is from an HTTP *date*."""
    try:
        there = parsedate_to_datetime(date)
    except ValueError:
        return Verdict("clock", Mark.SKIPPED, "the upstream does not tell the time")
    # The header has whole seconds; on average it is half of one late.
    skew = here - (there.replace(tzinfo=there.tzinfo or UTC).timestamp() + 0.5)
    if abs(skew) <= _SKEW_TO_MENTION_SECONDS:
        return Verdict("clock", Mark.OK, f"within {_SKEW_TO_MENTION_SECONDS:g} seconds of the upstream's")
    text = f"{abs(skew):.0f} seconds {'ahead of' if skew > 0 else 'behind'} the upstream's: expirytime is judged by it"
    mark = Mark.FAILED if abs(skew) > _SKEW_TO_REFUSE_SECONDS else Mark.WARNING
    return Verdict("clock", mark, text, "synchronise this machine's clock")

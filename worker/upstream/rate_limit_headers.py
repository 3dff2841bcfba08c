"""Reads what an answer says about the rate limit. Whatever a header holds, the result is usable or None.

The headers are `RateLimit-Policy: 1000;w=600`, `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`
(seconds; draft-ietf-httpapi-ratelimit-headers-06), and `Retry-After` (RFC 9110 section 10.2.3). A proxy in between
may send others of its own, or none.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from worker.upstream.answers import Quota

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_RETRY_SECONDS = 10.0
"""After a 429 that says nothing: long enough to spare the upstream, short enough to lose no whole window."""
SHORTEST_RETRY_SECONDS = 1.0
"""`Retry-After: 0` means "in less than a second"; waiting less would be a hot loop."""
LONGEST_RETRY_SECONDS = 3600.0
"""Beyond an hour a header is taken for a mistake; the next answer will tell."""
LONGEST_WINDOW_SECONDS = 86_400

_NUMBER = re.compile(r"\s*(-?)(\d{1,12})(?:\.\d*)?\s*", re.ASCII)
_WINDOW = re.compile(r";\s*w=(\d{1,12})(?![\d.])", re.ASCII)


def quota_from(headers: Mapping[str, str]) -> Quota | None:
    """The window's account, or None unless limit, remaining, window and reset are all there and make sense.

    *headers* must find a name in whatever case it was sent.
    """
    policy = headers.get("ratelimit-policy")
    if policy is None:
        return None
    limit = _number(headers.get("ratelimit-limit"))
    remaining = _number(headers.get("ratelimit-remaining"))
    reset = _number(headers.get("ratelimit-reset"))
    window = _WINDOW.search(policy)
    if limit is None or remaining is None or reset is None or window is None:
        return None
    window_seconds = int(window[1])
    if limit < 1 or not 1 <= window_seconds <= LONGEST_WINDOW_SECONDS:
        return None
    return Quota(
        limit=limit,
        remaining=min(max(remaining, 0), limit),
        window_seconds=float(window_seconds),
        reset_seconds=float(min(max(reset, 0), window_seconds)),
    )


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """How long a 429 asks to wait: `Retry-After`, else `RateLimit-Reset`, else a default; between 1 s and an hour."""
    wait = _retry_after(headers)
    if wait is None:
        wait = _number(headers.get("ratelimit-reset"))
        if wait is not None and wait < 0:
            wait = None
    if wait is None:
        return DEFAULT_RETRY_SECONDS
    return min(max(float(wait), SHORTEST_RETRY_SECONDS), LONGEST_RETRY_SECONDS)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now; a date is compared with the answer's own `Date`, so that clocks may differ."""
    text = headers.get("retry-after")
    if text is None:
        return None
    number = _number(text)
    if number is not None:
        return float(number) if number >= 0 else None
    try:
        until, sent = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("date", ""))
        return max((until - sent).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):  # no date; only one of the two with a zone; beyond the calendar
        return None


def _number(text: str | None) -> int | None:
    """The whole part of a decimal number; None where *text* is none, or absurdly long."""
    if text is None:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    return -int(match[2]) if match[1] else int(match[2])

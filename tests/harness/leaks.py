"""Finds planted values again, in whatever guise they come out."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus


def leaks(texts: Mapping[str, str], secrets: Mapping[str, str]) -> list[str]:
    """Which of *secrets* stands in which of *texts*, and how; both by names that may be shown."""
    return [
        f"{name} in {where}, as {guise}"
        for where, text in texts.items()
        for name, secret in secrets.items()
        for guise, appearance in guises(secret)
        if appearance.casefold() in text.casefold()
    ]


def guises(secret: str) -> Iterator[tuple[str, str]]:
    """How a value may look after it was encoded on its way; upper and lower case aside."""
    seen: set[str] = set()
    for guise, appearance in _guises(secret):
        if appearance not in seen:
            seen.add(appearance)
            yield guise, appearance


def _guises(secret: str) -> Iterable[tuple[str, str]]:
    yield "it is", secret
    yield "JSON", json.dumps(secret)[1:-1]
    yield "JSON in JSON", json.dumps(json.dumps(secret)[1:-1])[1:-1]
    yield "Python's repr", repr(secret)[1:-1]
    yield "Python's repr of bytes", repr(secret.encode())[2:-1]
    yield "a part of a URL", quote(secret, safe="")
    yield "a part of a form", quote_plus(secret)
    yield "HTML", secret.replace("&", "&amp;").replace("'", "&#x27;")
    yield "without blanks", secret.replace(" ", "")
    # Wherever it stands in a longer text that is encoded as a whole, one of the three contains its middle.
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + secret.encode()).decode()
        yield "base64", encoded[4:-4]

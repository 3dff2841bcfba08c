"""The API token, read again when its file changes, so that a corrected token needs no restart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK_EVERY_SECONDS = 1.0
LONGEST_TOKEN = 4096

_SENDABLE = re.compile(r"[\x21-\x7e]+")
"""Visible ASCII: what fits into a header as it is."""

_log = structlog.get_logger(__name__)


class TokenUnusable(Exception):
    """There is no token to send. *where* names the variable or file, *why* what is wrong with it; never the token."""

    def __init__(self, where: str, why: str) -> None:
        self.where = where
        self.why = why
        super().__init__(f"{where}: {why}")


class TokenSource:
    """The upstream's API token, from a value or from a file that may be replaced while the worker runs.

    A file is looked at when a token is asked for, at most once a second. While it is missing, empty or unusable the
    last good token stays in use, `trouble` says so, and so does one line in the log. It is read rather than compared
    by its times: a token is small, a Kubernetes secret is swapped by a symbolic link, and two writes within one tick
    of the file system's clock look alike.
    """

    __slots__ = ("_clock", "_file", "_looked_at", "_token", "_trouble", "_version")

    def __init__(self, token: str, file: Path | None, clock: Callable[[], float]) -> None:
        self._token = token
        self._file = file
        self._clock = clock
        self._looked_at = clock()
        self._version = 1
        self._trouble: str | None = None

    @classmethod
    def from_value(cls, token: str) -> Self:
        """A token that never changes. Blanks around it are dropped. Raises TokenUnusable."""
        return cls(_checked(token, "UPSTREAM_TOKEN"), None, lambda: 0.0)

    @classmethod
    def from_file(cls, file: Path, clock: Callable[[], float]) -> Self:
        """The token in *file*; *clock* gives monotonic seconds. Raises TokenUnusable where there is none at first."""
        return cls(_read(file), file, clock)

    @property
    def version(self) -> int:
        """Grows by one each time `current` finds another token; 1 at the start."""
        return self._version

    @property
    def trouble(self) -> str | None:
        """What is wrong with the file at present, while the last good token is used; None while all is well."""
        return self._trouble

    def current(self) -> str:
        """The token to send now. Reads the file if the last look is a second old (a small, blocking read)."""
        if self._file is not None and (now := self._clock()) - self._looked_at >= LOOK_EVERY_SECONDS:
            self._looked_at = now
            self._look(self._file)
        return self._token

    def _look(self, file: Path) -> None:
        try:
            token = _read(file)
        except TokenUnusable as unusable:
            if self._trouble != unusable.why:
                _log.warning("token_file_unusable", file=str(file), reason=unusable.why, kept="the last good token")
            self._trouble = unusable.why
            return
        self._trouble = None
        if token != self._token:
            self._token = token
            self._version += 1
            _log.info("token_replaced", file=str(file), version=self._version)

    def __repr__(self) -> str:
        return f"TokenSource(file={str(self._file) if self._file else None!r}, version={self._version})"


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(LONGEST_TOKEN + 3)
    except OSError as error:
        raise TokenUnusable(str(file), f"cannot be read ({error.strerror or type(error).__name__})") from error
    return _checked(content.decode("latin-1"), str(file))


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not token:
        raise TokenUnusable(where, "is empty")
    if len(token) > LONGEST_TOKEN:
        raise TokenUnusable(where, f"is longer than {LONGEST_TOKEN} characters")
    if _SENDABLE.fullmatch(token) is None:
        raise TokenUnusable(where, "holds blanks, line breaks or other characters that no token has")
    return token

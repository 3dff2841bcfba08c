"""The API token, read again when its file changes, so that a corrected token needs no restart."""

from __future__ import annotations


class TokenSource:
    """The upstream's API token, from a value or from a file that may be replaced while the worker runs."""

    @property
    def version(self) -> int:
        """Grows by one each time the token changes; 1 at the start."""
        raise NotImplementedError

    def current(self) -> str:
        """The token to send now."""
        raise NotImplementedError

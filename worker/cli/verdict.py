"""One line of `check`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """What a verdict comes to. Only FAILED makes `check` fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, what it comes to, why, and what to do about it."""

    subject: str
    mark: Mark
    text: str
    fix: str = ""

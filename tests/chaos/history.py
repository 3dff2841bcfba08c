"""The rounds so far, one JSON object a line, and their sum."""

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One round, as it went; *commit* is the code's, with a + where it was changed since."""

    seed: str
    commit: str
    began: str
    commands: int
    copies: int
    outcomes: int
    requests: int
    kills: int
    freezes: int
    terminations: int
    broker_restarts: int
    upstream_bursts: int
    is_static: bool
    seconds: float
    settle_seconds: float
    exceptions: dict[str, int] = field(default_factory=dict)
    breaches: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folder: str = ""


class History:
    """Kept in *path*; a line that was cut by a kill is left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: list[Entry] = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                document = _read(line)
                if document is not None:
                    self.entries.append(Entry(**document))

    def add(self, entry: Entry) -> None:
        """Writes it down at once."""
        self.entries.append(entry)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")

    def done(self) -> set[str]:
        """The seeds of the rounds that need not be repeated: those without a breach."""
        return {entry.seed for entry in self.entries if not entry.breaches}


def total(entries: Sequence[Entry]) -> dict[str, float]:
    """The sum of *entries*."""
    counted: Counter[str] = Counter()
    for entry in entries:
        counted["rounds"] += 1
        counted["breaches"] += len(entry.breaches)
        for name in ("commands", "copies", "outcomes", "requests", "kills", "freezes", "terminations"):
            counted[name] += getattr(entry, name)
        counted["broker restarts"] += entry.broker_restarts
        counted["upstream bursts"] += entry.upstream_bursts
    return {**counted, "hours": round(sum(entry.seconds for entry in entries) / 3600, 2)}


def commit(root: Path) -> str:
    """The commit of the code at *root*, with a + where the worker was changed since; "?" outside of Git."""

    def git(*arguments: str) -> str:
        asked = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        return asked.stdout.strip()

    name = git("rev-parse", "--short", "HEAD")
    return (name + ("+" if git("status", "--porcelain", "worker", "handlers") else "")) if name else "?"


def _read(line: str) -> dict[str, Any] | None:
    try:
        document: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return document

"""What became of the lives that were lived so far: a run that is cut short goes on where it ended.

Kept for one state of the code: what an earlier one did says nothing of this one.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from simulation.faults import Fault, Stage
from simulation.life import Verdict

ROOT = Path(__file__).resolve().parents[2]
CODE = ("handlers", "worker", "tests/simulation")


@dataclass(slots=True)
class Lived:
    """One life, as far as it is kept."""

    seed: int
    breaches: list[str]
    covered: Counter[tuple[Fault, Stage]]
    commands: int
    requests: int
    limited: int
    cpu_seconds: float

    @classmethod
    def of(cls, verdict: Verdict, cpu_seconds: float) -> Self:
        """A life that has just ended, after so many seconds of one core."""
        return cls(
            verdict.seed,
            verdict.breaches,
            verdict.covered,
            verdict.commands,
            verdict.requests,
            verdict.limited,
            cpu_seconds,
        )

    def to_line(self) -> str:
        """As JSON."""
        covered = [(fault.name, stage.name, times) for (fault, stage), times in self.covered.items()]
        return json.dumps(
            [self.seed, self.breaches, covered, self.commands, self.requests, self.limited, self.cpu_seconds]
        )

    @classmethod
    def from_line(cls, line: str) -> Self:
        """What `to_line` made."""
        seed, breaches, covered, commands, requests, limited, cpu_seconds = json.loads(line)
        counts = Counter({(Fault[fault], Stage[stage]): times for fault, stage, times in covered})
        return cls(seed, breaches, counts, commands, requests, limited, cpu_seconds)


@dataclass(slots=True)
class History:
    """The lives of this code, in a file; a line that a kill has cut short is left out."""

    path: Path
    lives: dict[int, Lived] = field(default_factory=dict)

    @classmethod
    def of_this_code(cls) -> Self:
        """What is known already."""
        digest = hashlib.blake2b(digest_size=6)
        for folder in CODE:
            for module in sorted((ROOT / folder).rglob("*.py")):
                digest.update(module.read_bytes())
        history = cls(ROOT / ".artifacts" / "simulation" / f"{digest.hexdigest()}.jsonl")
        if history.path.exists():
            *whole, _ = history.path.read_text(encoding="utf-8").split("\n")
            for lived in map(Lived.from_line, whole):
                history.lives[lived.seed] = lived
        return history

    def missing(self, seeds: Iterable[int]) -> list[int]:
        """Those of *seeds* that have not been lived yet."""
        return [seed for seed in seeds if seed not in self.lives]

    def add(self, lived: Lived) -> None:
        """Keeps one more."""
        self.lives[lived.seed] = lived
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(lived.to_line() + "\n")

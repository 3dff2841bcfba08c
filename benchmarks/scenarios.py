"""What is asked of every contestant: which customers, how many commands, how fast, how slow an upstream."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

ZIPF_EXPONENT = 1.1


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load. *per_second* None: everything waits from the beginning. *killed*: by SIGKILL, half way through."""

    name: str
    meaning: str
    latency_ms: int
    customers: int
    commands: int
    per_second: float | None = None
    skewed: bool = False
    in_flight: int = 256
    killed: bool = False

    @property
    def limit_per_second(self) -> float:
        """What physics allows without coalescing: each command is a GET and a PATCH in a row."""
        return self.per_second or self.in_flight / (2 * self.latency_ms / 1000)

    def customer_numbers(self) -> Sequence[int]:
        """The customer of each command, in order: in turn, or few customers most of them (Zipf)."""
        if not self.skewed:
            return [number % self.customers for number in range(self.commands)]
        weights = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, self.customers + 1)))
        chance = random.Random(20_261_123)
        return chance.choices(range(self.customers), cum_weights=weights, k=self.commands)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("distinct-20", "10,000 customers with one command each", 20, 10_000, 10_000),
        Scenario("distinct-50", "10,000 customers with one command each", 50, 10_000, 10_000),
        Scenario("shared-20", "1,000 customers with ten commands each", 20, 1_000, 10_000),
        Scenario("hot-50", "Zipf 1.1 over 1,000 customers", 50, 1_000, 2_000, skewed=True),
        Scenario("paced-20", "50 commands/s", 20, 1_000, 1_000, per_second=50),
        Scenario(
            "killed-20", "1,000 customers with ten commands each, SIGKILL half way", 20, 1_000, 10_000, killed=True
        ),
    )
}

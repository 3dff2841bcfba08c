"""Faults on demand: which requests a rule hits, and what becomes of them.

Rules are tried in order. A slow rule adds its delay and the next rule is tried; the first other rule that hits decides.
"""

import random
from collections.abc import Sequence
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Seconds: TypeAlias = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Match(_Strict):
    """The requests a rule is about; whatever is left out does not matter. At most one of first, every, probability."""

    method: Literal["GET", "PATCH"] | None = None
    customer_id: str | tuple[str, ...] | None = None
    first: int | None = Field(default=None, ge=1)
    every: int | None = Field(default=None, ge=1)
    probability: float | None = Field(default=None, ge=0, le=1)
    seed: int = 0

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if sum(choice is not None for choice in (self.first, self.every, self.probability)) > 1:
            raise ValueError("name at most one of first, every, probability")
        return self


class Slow(_Strict):
    """Carried out on arrival, answered *seconds* to *seconds* + *jitter_seconds* later."""

    kind: Literal["slow"]
    seconds: Seconds
    jitter_seconds: Seconds = 0.0


class _Body(_Strict):
    body: JsonValue = None
    text: str | None = None
    content_type: str | None = None

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.text is not None and "body" in self.model_fields_set:
            raise ValueError("name at most one of body, text")
        return self


class Status(_Body):
    """Another status than the true one; with *apply* the request is carried out before."""

    kind: Literal["status"]
    status: int = Field(ge=300, le=599)
    retry_after: int | None = Field(default=None, ge=0)
    location: str | None = None
    apply: bool = False


class Hang(_Strict):
    """No answer until the client hangs up."""

    kind: Literal["hang"]
    apply: bool = False


class Reset(_Strict):
    """A TCP reset instead of an answer."""

    kind: Literal["reset"]
    apply: bool = False


class Truncate(_Strict):
    """The true answer, its body cut in half, the connection closed. The request is carried out."""

    kind: Literal["truncate"]


class WrongContent(_Body):
    """200 with a body that is no customer."""

    kind: Literal["wrong_content"]
    apply: bool = True


Failure: TypeAlias = Status | Hang | Reset | Truncate | WrongContent
Effect: TypeAlias = Annotated[Slow | Failure, Field(discriminator="kind")]


class Rule(_Strict):
    """One entry of ``faults``."""

    match: Match = Match()
    effect: Effect


class _Running:
    """A rule at work, with its count of the requests it matched (*seen*) and of those it hit."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.seen = 0
        self.hit = 0
        self._random = random.Random(rule.match.seed)
        ids = rule.match.customer_id
        self._ids: Final = None if ids is None else frozenset({ids} if isinstance(ids, str) else ids)

    def hits(self, method: str, customer_id: str | None) -> bool:
        match = self.rule.match
        if match.method is not None and match.method != method:
            return False
        if self._ids is not None and customer_id not in self._ids:
            return False
        self.seen += 1
        if match.first is not None:
            hit = self.seen <= match.first
        elif match.every is not None:
            hit = self.seen % match.every == 0
        elif match.probability is not None:
            hit = self._random.random() < match.probability
        else:
            hit = True
        self.hit += hit
        return hit

    def delay(self, slow: Slow) -> float:
        return slow.seconds + slow.jitter_seconds * self._random.random()


class Faults:
    """The rules in force. The same rules, seeds and requests give the same faults."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._running = [_Running(rule) for rule in rules]

    def pick(self, method: str, customer_id: str | None) -> tuple[float, Failure | None]:
        """Seconds by which the answer to this request is late, and the failure it gets instead of its true answer."""
        delay = 0.0
        for running in self._running:
            if running.hits(method, customer_id):
                effect = running.rule.effect
                if not isinstance(effect, Slow):
                    return delay, effect
                delay += running.delay(effect)
        return delay, None

    def statistics(self) -> list[dict[str, JsonValue]]:
        """Each rule as it was given, with how many requests it matched (*seen*) and how many of them it hit."""
        return [
            {**running.rule.model_dump(exclude_unset=True, mode="json"), "seen": running.seen, "hit": running.hit}
            for running in self._running
        ]

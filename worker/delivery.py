"""Turns are taken: a customer is read, merged with what its commands change, and written, or not.

`run` begins a turn whenever a lane is ready and the gate admits one. A turn is at most one GET and one PATCH; what
its answers mean is decided by the fold (the commands) and the gate (the upstream as a whole). A turn that must wait
gives its slot back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from handlers.merge import patch_body
from worker.fold import Fold, Retry, Settled
from worker.lease import Lease
from worker.pacing.backoff import RetryPolicy
from worker.pacing.gate import Gate, Pass
from worker.partition import Partition
from worker.telemetry.metrics import Metrics
from worker.telemetry.trail import Exchange
from worker.turns import Turns
from worker.upstream.answers import (
    Answer,
    ContractBroken,
    DeploymentFault,
    NotFound,
    Ok,
    RateLimited,
    Rejected,
    Request,
    Unavailable,
)

log = structlog.get_logger(__name__)

# A 404 or a broken answer before the first good one may be a wrong address: it is asked again before it counts.
CONFIRM_SECONDS = 2.0
# The shortest wait for a moment that has come: never a busy loop.
TICK_SECONDS = 0.005
# So many turns that need no request are settled before the loop goes on to others: heartbeats run in it.
SETTLED_AT_ONCE = 100
# How soon to look again whether a customer's earlier request has ended.
BUSY_SECONDS = 0.05


Failure = NotFound | Rejected | RateLimited | Unavailable | DeploymentFault | ContractBroken


class Upstream(Protocol):
    """What a turn needs of the upstream client."""

    async def get(self, customer_id: str) -> Answer:
        """Reads one customer."""

    async def patch(self, customer_id: str, body: Mapping[str, object], known: Mapping[str, object]) -> Answer:
        """Writes one customer; *known* is what was read, which no answer may repeat."""


class Delivery:
    """Takes the turns of all assigned partitions."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        gate: Gate,
        lease: Lease,
        turns: Turns[Partition],
        policy: RetryPolicy,
        metrics: Metrics,
        now: Callable[[], float],
        now_ms: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        """*now* is monotonic seconds, *now_ms* wall-clock milliseconds since 1970, *random* gives 0 to 1."""
        self._upstream = upstream
        self._gate = gate
        self._lease = lease
        self._turns = turns
        self._policy = policy
        self._metrics = metrics
        self._now = now
        self._now_ms = now_ms
        self._random = random
        self._wake = asyncio.Event()
        self._partitions: tuple[Partition, ...] = ()
        # A partition has one turn of a customer at a time. But a customer can be on two partitions (publishers that
        # partition differently), and a partition that is built anew knows nothing of the turns of the one before.
        self._customers: set[str] = set()

    def set_partitions(self, partitions: tuple[Partition, ...]) -> None:
        """The partitions whose turns are taken from now on."""
        self._partitions = partitions
        self._turns.set_partitions(partitions)
        self.wake()

    def wake(self) -> None:
        """Something changed that may let a turn begin: commands came, a commit was made, a breaker moved."""
        self._wake.set()

    async def run(self) -> None:
        """Takes turns until cancelled; turns under way are then cut short."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as under_way:
            while True:
                self._wake.clear()
                due = self._begin_turns(under_way)
                timer = None if due is None else loop.call_later(max(due - self._now(), TICK_SECONDS), self._wake.set)
                try:
                    await self._wake.wait()
                finally:
                    if timer is not None:
                        timer.cancel()

    def _begin_turns(self, under_way: asyncio.TaskGroup) -> float | None:
        """Begins every turn that may begin, and returns when time alone may let the next one begin."""
        now = self._now()
        for partition in self._partitions:
            partition.lanes.wake(now)
        settled_at_once = 0
        while self._lease.is_valid(now) and self._gate.admit(now):
            turn = self._turns.next(self._now_ms(), admits_bulk=self._gate.admits_bulk(now))
            if turn is None:
                break
            partition, fold = turn
            if not fold.changes():
                partition.settle(fold, fold.decided().fates)
                settled_at_once += 1
                if settled_at_once == SETTLED_AT_ONCE:
                    return now
                continue
            if fold.customer_id in self._customers:
                partition.retry(fold, due=now + BUSY_SECONDS, now=now)
                continue
            self._customers.add(fold.customer_id)
            pass_ = self._gate.enter(fold.customer_id, now, is_bulk=not fold.is_live)
            under_way.create_task(self._turn(partition, fold, pass_))
        return self._next_due(gate_due=self._gate.next_change_at(now))

    def _next_due(self, *, gate_due: float | None) -> float | None:
        dues = [due for partition in self._partitions if (due := partition.lanes.next_due()) is not None]
        if gate_due is not None:
            dues.append(gate_due)
        return min(dues, default=None)

    async def _turn(self, partition: Partition, fold: Fold, pass_: Pass) -> None:
        try:
            verdict = await self._attempt(partition, fold, pass_)
        finally:
            self._customers.remove(fold.customer_id)
            self._gate.leave(pass_, self._now())
        if isinstance(verdict, Settled):
            self._metrics.turns.inc()
            self._metrics.folded.inc(len(verdict.fates) - 1)
            partition.settle(fold, verdict.fates)
        else:
            now = self._now()
            partition.retry(fold, due=now + verdict.after_seconds, now=now)
        self.wake()

    async def _attempt(self, partition: Partition, fold: Fold, pass_: Pass) -> Settled | Retry:
        if not self._lease.is_valid(self._now()):
            # Frozen between the turn's beginning and this first step of it.
            return Retry(0)
        answer, spent = await self._ask(Request.GET, self._upstream.get(fold.customer_id), pass_, fold)
        if not isinstance(answer, Ok):
            return self._verdict(fold, Request.GET, answer, spent)
        body = patch_body(answer.customer, fold.changes())
        if body is None:
            return fold.applied(answer.customer)
        now = self._now()
        may_patch = self._gate.may_patch(pass_) and not self._gate.budget.is_refused(now)
        if partition.is_closing or not may_patch or not self._lease.is_valid(now):
            return Retry(0)
        patching = self._upstream.patch(fold.customer_id, body, answer.customer.body)
        answer, spent = await self._ask(Request.PATCH, patching, pass_, fold)
        if isinstance(answer, Ok):
            return fold.applied(answer.customer)
        return self._verdict(fold, Request.PATCH, answer, spent)

    async def _ask(self, request: Request, asking: Awaitable[Answer], pass_: Pass, fold: Fold) -> tuple[Answer, float]:
        """The answer, and the seconds it took."""
        began = self._now()
        answer = await asking
        now = self._now()
        self._gate.record(pass_, request, answer, now, now - began)
        self._metrics.requests_of(request.value, answer.kind).inc()
        self._metrics.request_seconds.of(request.value).observe(now - began)
        if fold.trail is not None:
            exchange = Exchange(request.value, type(answer).__name__, answer.status, fold.attempts + 1, began, now)
            fold.trail.exchanges.append(exchange)
        return answer, now - began

    def _verdict(self, fold: Fold, request: Request, answer: Failure, spent_seconds: float) -> Settled | Retry:
        """What becomes of the fold after an answer that is not the customer."""
        match answer:
            case RateLimited() | DeploymentFault():
                return Retry(0)
            case Rejected():
                return fold.rejected(answer, request)
            case NotFound() | ContractBroken():
                return self._verdict_on_stranger(fold, answer)
            case Unavailable():
                return self._verdict_on_failure(fold, request, answer, spent_seconds)

    def _verdict_on_stranger(self, fold: Fold, answer: NotFound | ContractBroken) -> Settled | Retry:
        if not self._gate.is_proven:
            if self._gate.held_for:
                return Retry(0)
            if not fold.is_asked_again:
                fold.is_asked_again = True
                return Retry(CONFIRM_SECONDS)
        return fold.not_found() if isinstance(answer, NotFound) else fold.contract_broken(answer)

    def _verdict_on_failure(
        self, fold: Fold, request: Request, answer: Unavailable, spent_seconds: float
    ) -> Settled | Retry:
        log.warning("request_failed", request=request.value, cause=answer.cause, status=answer.status)
        if not self._gate.is_open:
            return Retry(0)
        # Between two failures, and not long before: else the last good answer before an outage would count.
        since, fold.failed_at = fold.failed_at, self._now()
        verdict = fold.unavailable(
            answer,
            request,
            spent_seconds=spent_seconds,
            others_succeed=since is not None and self._gate.others_succeed(request, fold.customer_id, since),
            policy=self._policy,
            random=self._random,
        )
        if isinstance(verdict, Retry):
            self._metrics.retries.inc()
        log.debug(
            "attempt_failed", request=request.value, cause=answer.cause, status=answer.status, verdict=repr(verdict)
        )
        return verdict

"""Outcomes become public: each once, in order, with its offset, whatever befalls a commit."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.record import OutcomeKind, OutcomeRecord
from harness.memory_ledger import Fault, MemoryLedger
from harness.virtual_time import now, run_virtually, settled
from worker import progress
from worker.commit import LARGEST_COMMIT, TELL_SECONDS, Committer, Decision, Settlement
from worker.kafka.errors import OutcomeTooLarge, PartitionLost
from worker.kafka.ledger import Publication
from worker.progress import Tried
from worker.watermark import Watermark

INTERVAL_SECONDS = 0.01


def event(name: str, *, size: int = 10) -> Publication:
    """An event of *size* bytes."""
    return "events", OutcomeRecord(OutcomeKind.EVENT, name.encode(), b"x" * size, ())


def dead_letter(name: str, *, size: int = 10) -> Publication:
    """A dead letter of *size* bytes."""
    return "dead letters", OutcomeRecord(OutcomeKind.DEAD_LETTER, name.encode(), b"x" * size, ())


def names(publications: Sequence[Publication]) -> list[str]:
    """What was published, as it was named."""
    return [(record.key or b"").decode() for _, record in publications]


@dataclass
class Commits:
    """A committer at work on offsets 0 to *begun*, its ledger, and what it has reported."""

    ledger: MemoryLedger
    watermark: Watermark
    committer: Committer
    reported: list[str] = field(default_factory=list)
    wanted_horizon: int = 0
    tried: list[tuple[int, Tried]] = field(default_factory=list)
    heard: list[int] = field(default_factory=list)
    """The horizon as it stood whenever a commit was announced."""

    def submit(self, *settlements: Settlement, name: str = "") -> None:
        """One decision, which is reported as *name*."""
        self.committer.submit(Decision(settlements, lambda: self.reported.append(name)))

    def settle(self, *offsets: int) -> None:
        """One decision for each offset, named after it."""
        for offset in offsets:
            self.submit(Settlement(offset, event(str(offset))), name=str(offset))

    def committed(self) -> tuple[int, int]:
        """The committed offset and the bits beside it."""
        offset, metadata = self.ledger.committed
        return offset, progress.decode(metadata).completed_beyond


@asynccontextmanager
async def committing(
    ledger: MemoryLedger | None = None,
    *,
    begun: int = 10,
    expects_company: Callable[[], bool] = lambda: False,
    horizon: int = 0,
) -> AsyncIterator[Commits]:
    """A committer that runs as long as the block; what it raises comes out of it."""
    ledger = ledger or MemoryLedger()
    watermark = Watermark(0)
    for offset in range(begun):
        watermark.begin(offset)
    commits: Commits
    committer = Committer(
        ledger,
        watermark,
        partition=0,
        interval_seconds=INTERVAL_SECONDS,
        horizon=horizon,
        expects_company=expects_company,
        wanted_horizon=lambda: commits.wanted_horizon,
        read_progress=ledger.read_progress,
        on_commit=lambda: commits.heard.append(commits.committer.horizon),
        tried=lambda: [*commits.tried],
    )
    commits = Commits(ledger, watermark, committer)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(committer.run())
        yield commits
        running.cancel()


def test_nothing_submitted_is_idle() -> None:
    """A rebalance waits for nobody."""

    async def scenario() -> None:
        async with committing() as commits, asyncio.timeout(0.1):
            await commits.committer.idle()

            assert commits.ledger.attempts == []

    run_virtually(scenario())


def test_commit_holds_all_that_is_ready() -> None:
    """Outcomes, the offset they settle, and what is settled beyond it: one transaction."""

    async def scenario() -> None:
        async with committing() as commits:
            commits.settle(0, 1, 3)
            await commits.committer.idle()

            assert [names(publications) for publications, _, _ in commits.ledger.commits] == [["0", "1", "3"]]
            assert commits.committed() == (2, 0b10)
            assert commits.reported == ["0", "1", "3"]
            assert commits.committer.commits == 1
            assert commits.committer.settled == 3

    run_virtually(scenario())


def test_outcomes_are_published_in_the_order_of_the_decisions() -> None:
    """A customer's outcomes keep their order; one decision's settlements stay together."""

    async def scenario() -> None:
        async with committing() as commits:
            commits.submit(Settlement(4, event("4")), Settlement(6, event("6")), name="first")
            commits.submit(Settlement(1, event("1")), name="second")
            await commits.committer.idle()

            assert names(commits.ledger.published) == ["4", "6", "1"]
            assert commits.reported == ["first", "second"]

    run_virtually(scenario())


def test_what_comes_during_a_commit_goes_with_the_next() -> None:
    """And nobody forgets it: idle means that all is committed."""

    async def scenario() -> None:
        ledger = MemoryLedger([Fault.FAILED])
        async with committing(ledger) as commits:
            commits.settle(0)
            await settled()
            commits.settle(1)
            await commits.committer.idle()

            assert [names(publications) for publications, _, _ in ledger.commits] == [["0"], ["1"]]
            assert commits.committed() == (2, 0)

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("expected", "seconds"),
    [pytest.param(True, INTERVAL_SECONDS, id="turns are under way"), pytest.param(False, 0.0, id="nobody else comes")],
)
def test_commits_keep_a_distance_only_where_company_is_near(expected: bool, seconds: float) -> None:
    """COMMIT_INTERVAL_MS: an outcome after a while of rest is not delayed, many in a row share one transaction."""

    async def scenario() -> None:
        times: list[float] = []
        ledger = MemoryLedger(on_attempt=lambda: times.append(now()))
        async with committing(ledger, expects_company=lambda: expected) as commits:
            commits.settle(0)
            await commits.committer.idle()
            commits.settle(1)
            await commits.committer.idle()
            await asyncio.sleep(INTERVAL_SECONDS)
            commits.settle(2)
            await commits.committer.idle()

            at_rest = seconds + INTERVAL_SECONDS
            assert times == [pytest.approx(0.0), pytest.approx(seconds), pytest.approx(at_rest)]

    run_virtually(scenario())


def test_repeated_command_is_settled_without_an_outcome() -> None:
    """The first copy's outcome stands for both."""

    async def scenario() -> None:
        async with committing() as commits:
            commits.submit(Settlement(0, event("0")), name="0")
            commits.submit(Settlement(1, None), name="copy")
            await commits.committer.idle()

            assert names(commits.ledger.published) == ["0"]
            assert commits.committed() == (2, 0)
            assert commits.reported == ["0", "copy"]

    run_virtually(scenario())


def test_commit_that_failed_is_repeated_whole_with_the_same_bytes() -> None:
    """Nothing is left out, nothing added: what failed left nothing behind."""

    async def scenario() -> None:
        ledger = MemoryLedger([Fault.FAILED] * 3)
        async with committing(ledger) as commits:
            commits.settle(0, 2)
            await commits.committer.idle()

            assert len(ledger.attempts) == 4
            assert len(commits.heard) == 1
            assert all(attempt == ledger.attempts[0] for attempt in ledger.attempts)
            assert names(ledger.published) == ["0", "2"]
            assert ledger.starts == 3

    run_virtually(scenario())


@pytest.mark.parametrize("fault", [Fault.UNCERTAIN_AND_WRITTEN, Fault.UNCERTAIN_AND_NOT_WRITTEN])
def test_commit_of_unknown_fate_takes_place_exactly_once(fault: Fault) -> None:
    """A new start of the ledger ends the transaction; then Kafka says whether it took place."""

    async def scenario() -> None:
        ledger = MemoryLedger([fault])
        async with committing(ledger) as commits:
            commits.settle(0, 2)
            await commits.committer.idle()

            assert names(ledger.published) == ["0", "2"]
            assert commits.committed() == (1, 0b10)
            assert ledger.starts == 1
            assert commits.reported == ["0", "2"]

    run_virtually(scenario())


@pytest.mark.parametrize("fault", [Fault.UNCERTAIN_AND_WRITTEN, Fault.UNCERTAIN_AND_NOT_WRITTEN])
def test_unknown_fate_is_found_out_however_long_kafka_is_away(fault: Fault) -> None:
    """Neither the start nor the question may be skipped because it failed once."""

    async def scenario() -> None:
        ledger = MemoryLedger([fault, Fault.FAILED], start_faults=2, read_faults=2)
        async with committing(ledger) as commits:
            commits.settle(0)
            await commits.committer.idle()
            commits.settle(1)
            await commits.committer.idle()

            assert names(ledger.published) == ["0", "1"]

    run_virtually(scenario())


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.UNCERTAIN_AND_NOT_WRITTEN])
def test_commit_on_top_of_somebody_else_s_is_not_repeated(fault: Fault) -> None:
    """The partition was given away meanwhile: repeating it would undo what its new owner has settled."""
    ledger = MemoryLedger([fault])

    async def scenario() -> None:
        async with committing(ledger) as commits:
            commits.settle(0)
            await settled()
            ledger.committed = (7, "")
            await commits.committer.idle()

    with pytest.raises(ExceptionGroup) as caught:
        run_virtually(scenario())

    assert isinstance(caught.value.exceptions[0], PartitionLost)
    assert ledger.published == []


def test_lost_partition_is_said_and_nothing_is_reported() -> None:
    """Somebody else has it: the lanes must not go on as if it were committed."""
    reported: list[str] = []

    async def scenario() -> None:
        async with committing(MemoryLedger([Fault.LOST])) as commits:
            commits.reported = reported
            commits.settle(0)
            await commits.committer.idle()

    with pytest.raises(ExceptionGroup) as caught:
        run_virtually(scenario())

    assert isinstance(caught.value.exceptions[0], PartitionLost)
    assert reported == []


def test_outcome_too_large_costs_only_itself() -> None:
    """It is found by halves, and its dead letter stands in its place; the others keep their order."""

    async def scenario() -> None:
        async with committing() as commits:
            commits.settle(0, 1, 2, 3)
            commits.submit(
                Settlement(4, event("4", size=5_000), lambda why: dead_letter(f"4 is {why}")), name="too large"
            )
            commits.settle(5, 6)
            await commits.committer.idle()

            assert names(commits.ledger.published) == ["0", "1", "2", "3", "4 is MessageSizeTooLargeError", "5", "6"]
            assert commits.committed() == (7, 0)
            assert commits.reported == ["0", "1", "2", "3", "too large", "5", "6"]

    run_virtually(scenario())


@pytest.mark.parametrize(
    "settlement",
    [
        pytest.param(Settlement(0, dead_letter("0", size=5_000)), id="a dead letter"),
        pytest.param(
            Settlement(0, event("0", size=5_000), lambda _: dead_letter("0", size=5_000)), id="an event's dead letter"
        ),
    ],
)
def test_dead_letter_too_large_stops_the_partition_loudly(settlement: Settlement) -> None:
    """There is no third place to go; skipping it would lose the command."""
    ledger = MemoryLedger()

    async def scenario() -> None:
        async with committing(ledger) as commits:
            commits.submit(settlement)
            await commits.committer.idle()

    with pytest.raises(ExceptionGroup) as caught:
        run_virtually(scenario())

    assert isinstance(caught.value.exceptions[0], OutcomeTooLarge)
    assert ledger.published == []


def test_commit_is_bounded_and_the_rest_follows_at_once() -> None:
    """A decision that goes over two commits is reported when its last settlement is public."""

    async def scenario() -> None:
        begun = LARGEST_COMMIT + 10
        async with committing(begun=begun) as commits:
            commits.submit(
                *(Settlement(offset, event(str(offset))) for offset in range(begun)), name="of two transactions"
            )
            await commits.committer.idle()

            assert [len(publications) for publications, _, _ in commits.ledger.commits] == [LARGEST_COMMIT, 10]
            assert commits.reported == ["of two transactions"]
            assert commits.committed() == (begun, 0)

    run_virtually(scenario())


def test_metadata_never_outgrows_what_the_broker_takes() -> None:
    """Settlements whose places do not fit wait for those before them; they are done, only not public yet."""

    async def scenario() -> None:
        begun = 60_000
        scattered = sorted(random.Random(0).sample(range(1, begun), begun // 2))
        async with committing(begun=begun) as commits:
            commits.settle(*scattered)
            await settled()

            assert all(len(metadata) <= progress.METADATA_LIMIT for _, _, metadata in commits.ledger.attempts)
            assert 0 < len(commits.ledger.published) < len(scattered)
            commits.settle(*sorted(set(range(begun)) - set(scattered), reverse=True))
            await commits.committer.idle()
            assert all(len(metadata) <= progress.METADATA_LIMIT for _, _, metadata in commits.ledger.attempts)
            assert sorted(map(int, names(commits.ledger.published))) == list(range(begun))
            assert commits.committed() == (begun, 0)

    run_virtually(scenario())


def test_no_part_of_a_commit_outgrows_what_the_broker_takes() -> None:
    """A commit that is too large is written in parts: places that filled gaps together may tear them apart alone."""

    async def scenario() -> None:
        begun = 60_000
        async with committing(begun=begun) as commits:
            # Runs all over the upper half; then a commit that closes those and opens as many in the lower.
            commits.settle(*range(30_001, 33_000, 2))
            await commits.committer.idle()
            closing = sorted([*range(2, 2_700, 2), *range(30_002, 33_000, 2)], reverse=True)
            commits.submit(*(Settlement(offset, event(str(offset))) for offset in closing[:-1]), name="closing")
            commits.submit(Settlement(2, event("2", size=5_000), lambda _: dead_letter("2")), name="too large")
            await commits.committer.idle()

            assert max(len(metadata) for _, _, metadata in commits.ledger.attempts) <= progress.METADATA_LIMIT
            assert commits.reported[-2:] == ["closing", "too large"] or "too large" in commits.reported

    run_virtually(scenario())


def test_what_was_tried_in_vain_goes_with_the_commits_that_take_place_anyway() -> None:
    """No commit more, and places as the offset that is committed counts them."""

    async def scenario() -> None:
        async with committing() as commits:
            commits.tried = [(0, Tried(1, 0.5)), (4, Tried(2, 1.5, 0, (0, 2)))]
            commits.committer.tell_soon()
            commits.settle(0, 1)
            await commits.committer.idle()
            await asyncio.sleep(2 * TELL_SECONDS)

            assert [progress.decode(metadata).tried for _, _, metadata in commits.ledger.commits] == [
                ((2, Tried(2, 1.5, 0, (0, 2))),)
            ]

    run_virtually(scenario())


def test_what_was_tried_in_vain_is_told_soon_where_nothing_else_is_to_be_committed() -> None:
    """Once a second at most, however many attempts fail."""

    async def scenario() -> None:
        times: list[float] = []
        async with committing(MemoryLedger(on_attempt=lambda: times.append(now()))) as commits:
            for attempt in range(25):
                commits.tried = [(3, Tried(attempt + 1, 0.1))]
                commits.committer.tell_soon()
                await asyncio.sleep(0.1)
            await asyncio.sleep(2 * TELL_SECONDS)

            assert times == pytest.approx([1.0, 2.0, 3.0], abs=0.2)
            assert progress.decode(commits.ledger.committed[1]).tried == ((3, Tried(25, 0.1)),)

    run_virtually(scenario())


def test_who_leaves_tells_first_what_was_tried_in_vain() -> None:
    """The successor goes on from there."""

    async def scenario() -> None:
        async with committing() as commits, asyncio.timeout(TELL_SECONDS / 2):
            commits.tried = [(3, Tried(1, 0.1))]
            commits.committer.tell_soon()
            commits.committer.tell()
            await commits.committer.idle()

            assert progress.decode(commits.ledger.committed[1]).tried == ((3, Tried(1, 0.1)),)
            commits.committer.tell()
            await commits.committer.idle()
            assert len(commits.ledger.commits) == 1

    run_virtually(scenario())


def test_what_has_no_room_keeps_nobody_from_leaving() -> None:
    """It is done again; to wait for the commands before it, which are not done, would be in vain."""

    async def scenario() -> None:
        begun = 60_000
        async with committing(begun=begun) as commits, asyncio.timeout(TELL_SECONDS):
            commits.settle(*range(1, begun, 2))
            await commits.committer.idle()

            assert 0 < len(commits.ledger.published) < begun // 2

    run_virtually(scenario())


def test_horizon_is_that_of_the_predecessor_until_the_first_commit() -> None:
    """The predecessor may have acted up to there, and said so: so may this worker."""

    async def scenario() -> None:
        async with committing(horizon=700) as commits:
            assert commits.committer.horizon == 700

    run_virtually(scenario())


def test_horizon_never_moves_back() -> None:
    """A successor that dies before it has read so far must not hide from the next one how far its predecessor went."""

    async def scenario() -> None:
        async with committing(horizon=700) as commits:
            commits.wanted_horizon = 50
            commits.committer.move_horizon()
            await commits.committer.idle()

            assert commits.committer.horizon == 700
            assert progress.decode(commits.ledger.committed[1]).horizon == 700

    run_virtually(scenario())


def test_horizon_is_committed_before_it_counts() -> None:
    """What is beyond it is not sent before the commit that says so is in Kafka."""

    async def scenario() -> None:
        ledger = MemoryLedger([Fault.FAILED])
        async with committing(ledger) as commits:
            commits.wanted_horizon = 5_000
            commits.committer.move_horizon()
            await settled()

            assert commits.committer.horizon == 0
            await commits.committer.idle()
            assert commits.committer.horizon == 5_000
            assert ledger.published == []
            assert commits.heard == [5_000], "lanes beyond the old horizon wait for this"

    run_virtually(scenario())


def test_horizon_moves_along_with_each_commit() -> None:
    """It is counted from the committed offset, so that it takes little room."""

    async def scenario() -> None:
        async with committing() as commits:
            commits.wanted_horizon = 5_000
            commits.settle(0, 1, 2)
            await commits.committer.idle()

            assert commits.committer.horizon == 5_000
            assert progress.decode(commits.ledger.committed[1]).horizon == 4_997

    run_virtually(scenario())


@given(data=st.data())
def test_every_settlement_is_public_once_with_its_offset_whatever_befalls_the_commits(data: st.DataObject) -> None:
    """Random decisions at random moments, random faults, some outcomes too large."""
    order = data.draw(st.permutations(range(12)), label="order of settling")
    sizes = data.draw(st.lists(st.integers(min_value=1, max_value=3), min_size=12, max_size=12), label="decisions")
    too_large = data.draw(st.sets(st.sampled_from(order), max_size=3), label="too large")
    faults = data.draw(st.lists(st.sampled_from([f for f in Fault if f is not Fault.LOST]), max_size=8), label="faults")
    pauses = data.draw(st.lists(st.sampled_from([0.0, 0.005, 0.3]), min_size=12, max_size=12), label="pauses")

    async def scenario() -> None:
        ledger = MemoryLedger(faults, start_faults=len(faults) % 3, read_faults=len(faults) % 2)
        async with committing(ledger, begun=12, expects_company=lambda: len(ledger.attempts) % 2 == 0) as commits:
            waiting, decided = list(order), []
            for size, pause in zip(sizes, pauses, strict=True):
                taken, waiting = waiting[:size], waiting[size:]
                commits.submit(
                    *(
                        Settlement(
                            offset,
                            event(str(offset), size=5_000 if offset in too_large else 1),
                            lambda _, offset=offset: dead_letter(str(offset)),  # type: ignore[misc]  # binds the loop's
                        )
                        for offset in taken
                    ),
                    name=str(taken),
                )
                decided += [str(taken)] if taken else []
                await asyncio.sleep(pause)
            await commits.committer.idle()

            assert names(ledger.published) == [str(offset) for offset in order]
            assert {
                name for topic, record in ledger.published if topic != "events" for name in names([(topic, record)])
            } == {str(offset) for offset in too_large}
            assert commits.committed() == (12, 0)
            assert commits.reported == decided
        public: set[int] = set()
        for publications, offset, metadata in ledger.commits:
            public |= set(map(int, names(publications)))
            bits = progress.decode(metadata).completed_beyond
            assert public == set(range(offset)) | {offset + i for i in range(bits.bit_length()) if bits >> i & 1}

    run_virtually(scenario())

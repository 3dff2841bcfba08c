"""What a replay may do: each rule by itself, from the command log to the verdict."""

from collections.abc import Mapping

import pytest

from handlers.errors import Reason
from handlers.record import CommandRecord, Headers
from handlers.replay import Place
from harness.builders import a_record
from harness.desk_letters import a_letter, a_replay, looked_at, replayed
from worker.desk.decisions import Action
from worker.desk.later_writes import Candidate, Elsewhere
from worker.desk.verdicts import Held, Obstacle, Replay, Superseded, Verdict, in_order, verdicts

DEAD = a_record(10, {"city": "Ghent", "phone": "1"})
LETTER = a_letter(DEAD)
CITY, PHONE, BOTH = {"city": "Bruges"}, {"phone": "2"}, {"city": "Bruges", "phone": "2"}
NAMED: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"x"),
    ("ce_source", b"/tests"),
    ("ce_type", b"customer.update"),
)


def judged(candidates: list[Candidate], *, force: bool = False, kept_from: int = 0) -> dict[int, Verdict]:
    """The verdicts by the offset that died; the log is kept from offset *kept_from* on."""
    found = verdicts(candidates, is_covered=lambda place: place.offset + 1 >= kept_from, force=force)
    return {one.letter.died.offset: verdict for one, verdict in found}


def verdict_beside(*log: CommandRecord, **known: object) -> Verdict:
    """On `LETTER`, where *log* is all there is."""
    return judged(looked_at([LETTER], [DEAD, *log], **known))[10]  # type: ignore[arg-type]  # as looked_at has it


def left_out(verdict: Verdict) -> set[str]:
    """The fields that a replay leaves to later commands."""
    assert isinstance(verdict, Replay)
    return set(verdict.left_out)


@pytest.mark.parametrize(
    "log",
    [
        pytest.param([], id="nothing"),
        pytest.param([a_record(20, {"note": "n"})], id="another field"),
        pytest.param([a_record(20, BOTH, customer=1)], id="another customer"),
        pytest.param([a_record(9, BOTH)], id="an earlier command"),
        pytest.param([a_record(20, value=b"{")], id="what is no command"),
    ],
)
def test_nothing_newer_lets_the_original_record_be_replayed(log: list[CommandRecord]) -> None:
    """Byte by byte."""
    verdict = verdict_beside(*log)

    assert isinstance(verdict, Replay)
    assert verdict.is_whole
    assert verdict.fields == {"city", "phone"}


def test_field_that_a_later_command_has_set_is_left_out() -> None:
    """And it is said which command that was."""
    verdict = verdict_beside(a_record(20, CITY))

    assert isinstance(verdict, Replay)
    assert verdict.fields == {"phone"}
    assert verdict.left_out["city"].place.offset == 20
    assert not verdict.is_whole


def test_fields_that_were_all_set_since_leave_nothing_to_replay() -> None:
    """Also by several commands together."""
    verdict = verdict_beside(a_record(20, CITY), a_record(21, PHONE))

    assert isinstance(verdict, Superseded)
    assert {name: write.place.offset for name, write in verdict.by.items()} == {"city": 20, "phone": 21}


def test_later_command_that_still_waits_holds_the_dead_letter_back() -> None:
    """It may yet die: then nothing would have set the field that was left out."""
    verdict = verdict_beside(a_record(20, CITY), settled_below=20)

    assert isinstance(verdict, Held)
    assert verdict.obstacle is Obstacle.WAITING
    assert {name: write.place.offset for name, write in verdict.writes.items()} == {"city": 20}


def test_field_that_is_set_already_need_not_wait() -> None:
    """What waits will set it once more."""
    verdict = verdict_beside(a_record(19, CITY), a_record(20, CITY), settled_below=20)

    assert left_out(verdict) == {"city"}


def test_record_that_nobody_has_committed_yet_counts_as_waiting() -> None:
    """Its transaction may end either way."""
    verdict = verdict_beside(uncommitted=[a_record(20, CITY)])

    assert isinstance(verdict, Held)
    assert verdict.obstacle is Obstacle.WAITING


@pytest.mark.parametrize("reason", [Reason.UNKNOWN_CUSTOMER, Reason.REJECTED])
def test_later_command_that_died_for_certain_has_set_nothing(reason: Reason) -> None:
    """Were it replayed later, it would come later."""
    later = a_record(20, CITY)

    verdict = verdict_beside(later, others=[a_letter(later, reason=reason)])

    assert left_out(verdict) == set()


@pytest.mark.parametrize(
    ("reason", "attempts"),
    [
        (Reason.RETRIES_EXHAUSTED, 5),
        (Reason.CONTRACT, 1),
        (Reason.TOO_LARGE, 1),
        (Reason.EXPIRED, 0),
        (Reason.REJECTED, 2),
    ],
)
def test_later_command_that_may_have_been_applied_holds_the_dead_letter_back(reason: Reason, attempts: int) -> None:
    """Nobody knows whether the field would go back."""
    later = a_record(20, CITY)

    verdict = verdict_beside(later, others=[a_letter(later, reason=reason, attempts=attempts)])

    assert isinstance(verdict, Held)
    assert verdict.obstacle is Obstacle.UNCERTAIN


def test_dead_letters_that_are_replayed_together_keep_their_order_and_hold_back_nothing() -> None:
    """The later one is replayed after the earlier one, in the same transaction."""
    later = a_record(20, CITY)

    found = judged(looked_at([a_letter(later, reason=Reason.CONTRACT), LETTER], [DEAD, later]))

    assert list(found) == [10, 20]
    assert [left_out(verdict) for verdict in found.values()] == [set(), set()]


def test_later_one_that_is_replayed_without_the_field_does_not_help() -> None:
    """Its value may stand upstream, and its replay would not restore it."""
    uncertain, applied = a_record(20, BOTH), a_record(30, PHONE)
    letters = [LETTER, a_letter(uncertain, reason=Reason.CONTRACT)]

    found = judged(looked_at(letters, [DEAD, uncertain, applied]))
    assert left_out(found[20]) == {"phone"}
    assert left_out(found[10]) == {"phone"}

    found = judged(looked_at(letters, [DEAD, uncertain, applied], settled_below=30))
    assert {type(verdict) for verdict in found.values()} == {Held}


def test_replay_of_an_older_command_is_not_newer() -> None:
    """It was held to what it found, so it has written nothing that this command would not replace."""
    older = a_letter(a_record(5, BOTH))
    again = a_replay(older, 20)

    verdict = verdict_beside(again, decided=[replayed(older, again)])

    assert left_out(verdict) == set()


@pytest.mark.parametrize(
    ("action", "forced"),
    [
        pytest.param(Action.REPLAYED, True, id="forced"),
        pytest.param(Action.EDITED, False, id="edited"),
        pytest.param(Action.FOUND, False, id="published by other means"),
    ],
)
def test_replay_that_was_not_held_to_newer_commands_is_as_new_as_its_place(action: Action, forced: bool) -> None:
    """Somebody wanted these values there, then."""
    older = a_letter(a_record(5, BOTH))
    again = a_replay(older, 20)

    verdict = verdict_beside(again, decided=[replayed(older, again, action=action, forced=forced)])

    assert isinstance(verdict, Superseded)


def test_own_earlier_replays_are_not_newer() -> None:
    """A replay that died again, for an uncertain reason, is the same command."""
    again = a_replay(LETTER, 20)
    letter = a_letter(again, command_id=f"{LETTER.command_id}#1", reason=Reason.CONTRACT)
    decided = [replayed(LETTER, again, forced=True)]

    found = judged(looked_at([letter], [DEAD, again], decided=decided, others=[LETTER]))

    assert left_out(found[20]) == set()


def test_replay_that_died_again_is_as_old_as_its_command() -> None:
    """What came between the command and its replay is newer than both."""
    again = a_replay(LETTER, 20)
    letter = a_letter(again, command_id=f"{LETTER.command_id}#1")
    between = a_record(15, CITY)

    found = judged(looked_at([letter], [DEAD, between, again], decided=[replayed(LETTER, again)], others=[LETTER]))

    assert left_out(found[20]) == {"city"}


def test_replay_that_somebody_else_has_published_is_found() -> None:
    """By the command's id and the number, wherever it comes from; the first one counts."""
    first, second = (
        a_replay(LETTER, 20),
        a_replay(a_letter(a_replay(LETTER, 20), command_id=f"{LETTER.command_id}#1"), 30),
    )

    assert verdict_beside(first, second) == Elsewhere(1, Place("customer.update", 0, 20, 20))


def test_replay_that_is_not_committed_is_not_found_yet() -> None:
    """If it is aborted, the dead letter is still open."""
    verdict = verdict_beside(uncommitted=[a_replay(LETTER, 20)])

    assert isinstance(verdict, Held)
    assert verdict.obstacle is Obstacle.WAITING


def test_death_of_a_replay_that_nobody_recorded_cannot_be_traced() -> None:
    """When its command was published is unknown, and so is what is newer."""
    again = a_replay(LETTER, 20)
    letter = a_letter(again, command_id=f"{LETTER.command_id}#1")

    verdict = judged(looked_at([letter], [again]))[20]

    assert verdict == Held(Obstacle.UNTRACEABLE, {})


def test_copy_of_an_older_command_is_not_newer() -> None:
    """It was settled in silence; only beyond the window it would have been applied again."""
    older = a_record(5, BOTH, headers=NAMED)
    copy = a_record(20, BOTH, headers=NAMED)

    found = judged(looked_at([LETTER], [older, DEAD, copy]))
    assert left_out(found[10]) == set()
    found = judged(looked_at([LETTER], [older, DEAD, copy], window=14))
    assert isinstance(found[10], Superseded)


def test_commands_that_retention_has_deleted_hold_back_what_came_before_them() -> None:
    """Nobody can tell any more what they set."""
    assert isinstance(judged(looked_at([LETTER], []), kept_from=11)[10], Replay)

    verdict = judged(looked_at([LETTER], []), kept_from=12)[10]

    assert verdict == Held(Obstacle.LOG_DELETED, {})


def test_what_the_worker_would_refuse_again_is_not_replayed() -> None:
    """It has to be corrected first."""
    letter = a_letter(a_record(10, value=b"{"), reason=Reason.UNDECODABLE)

    assert judged(looked_at([letter], []))[10] == Held(Obstacle.REFUSED, {})


def test_partitions_are_compared_by_the_times_of_their_records() -> None:
    """A customer may have been on two: another partitioner, or partitions added meanwhile."""
    earlier = a_record(90, CITY, partition=1)
    same_time_or_later = CommandRecord("customer.update", 2, 3, DEAD.timestamp_ms + 1, earlier.key, earlier.value)
    long_before = CommandRecord("customer.update", 2, 999, DEAD.timestamp_ms - 1, earlier.key, earlier.value)

    assert left_out(verdict_beside(long_before)) == set()
    assert left_out(verdict_beside(same_time_or_later)) == {"city"}


def test_force_replays_the_original_whatever_speaks_against_it() -> None:
    """What was decided by force is marked, so that it counts as new."""
    broken = a_letter(a_record(11, value=b"{"), reason=Reason.UNDECODABLE)
    free = a_letter(a_record(12, {"note": "n"}))
    letters = [LETTER, broken, free]

    found = judged(looked_at(letters, [DEAD, a_record(20, BOTH)]), force=True, kept_from=12)

    forced: Mapping[int, bool] = {offset: isinstance(one, Replay) and one.is_forced for offset, one in found.items()}
    assert forced == {10: True, 11: True, 12: False}


def test_force_leaves_nothing_out() -> None:
    """A field that a later command has set is written over, and the replay counts as new."""
    found = judged(looked_at([LETTER], [DEAD, a_record(20, CITY)]), force=True)[10]

    assert found == Replay(frozenset({"city", "phone"}), {}, is_forced=True)


def test_force_does_not_replay_what_was_replayed_elsewhere() -> None:
    """It would be a copy of that."""
    found = judged(looked_at([LETTER], [DEAD, a_replay(LETTER, 20)]), force=True)

    assert isinstance(found[10], Elsewhere)


def test_order_of_replays_is_that_of_the_commands() -> None:
    """By offset on one partition, whatever clock the publishers had; else by time."""
    old_clock = CommandRecord("customer.update", 0, 30, 5, DEAD.key, DEAD.value)
    elsewhere = CommandRecord("customer.update", 1, 1, 4, DEAD.key, DEAD.value)

    on_one = in_order(looked_at([a_letter(old_clock), LETTER], []))
    on_two = in_order(looked_at([LETTER, a_letter(old_clock), a_letter(elsewhere)], []))

    assert [one.letter.died.offset for one in on_one] == [10, 30]
    assert [one.letter.died.offset for one in on_two] == [1, 30, 10]

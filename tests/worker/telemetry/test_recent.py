"""What happened lately."""

from worker.telemetry.recent import FAULTS_OF_A_REASON, REBALANCES, DeadLetters, Rebalance, Recent


class Ticking:
    """A clock that goes on by a second whenever it is asked."""

    def __init__(self) -> None:
        self.now_ms = 0

    def __call__(self) -> int:
        """Milliseconds."""
        self.now_ms += 1_000
        return self.now_ms


def die(recent: Recent, reason: str, error: str, offset: int) -> None:
    """A command becomes a dead letter."""
    recent.dead_letter(reason=reason, command=f"t:0:{offset}", status=None, attempts=0, error=error)


def test_same_fault_is_counted_and_named_by_its_latest() -> None:
    """A publisher's mistake comes by the hundred."""
    recent = Recent(Ticking())
    die(recent, "invalid", "no @", 1)
    die(recent, "rejected", "no @", 2)
    die(recent, "invalid", "no @", 3)

    assert recent.dead_letters == [
        DeadLetters("invalid", "no @", 2, 3_000, "t:0:3", None, 0),
        DeadLetters("rejected", "no @", 1, 2_000, "t:0:2", None, 0),
    ]


def test_flood_of_one_reason_hides_no_other() -> None:
    """Each reason keeps a few; of one that comes again and again the count goes on."""
    recent = Recent(Ticking())
    die(recent, "contract", "not a customer", 0)
    for offset in range(100):
        die(recent, "invalid", f"fault {offset}", offset)
        die(recent, "invalid", "usual", offset)
    found = recent.dead_letters

    assert len(found) == FAULTS_OF_A_REASON + 1
    assert found[-1].reason == "contract"
    assert (found[0].error, found[0].commands) == ("usual", 100)


def test_only_the_latest_rebalances_are_kept() -> None:
    """With the partitions in order."""
    recent = Recent(Ticking())
    for _ in range(2 * REBALANCES):
        recent.rebalance("assigned", [3, 1])

    assert len(recent.rebalances) == REBALANCES
    assert recent.rebalances[-1] == Rebalance(2 * REBALANCES * 1_000, "assigned", (1, 3))

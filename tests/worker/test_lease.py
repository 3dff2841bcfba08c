"""The right to send: as long as nobody else can have been given the partitions."""

from worker.lease import Lease


def test_worker_that_never_joined_may_not_send() -> None:
    """Nothing has been assigned to it."""
    assert not Lease(seconds=10).is_valid(0.0)


def test_heartbeat_gives_the_right_for_the_session_timeout() -> None:
    """Counted from when it was sent: when it was accepted, only the group knows."""
    lease = Lease(seconds=10)
    lease.renew(100.0)

    assert lease.is_valid(100.0)
    assert lease.is_valid(109.9)
    assert not lease.is_valid(110.0)
    assert lease.renewed_at == 100.0


def test_worker_that_was_frozen_has_lost_the_right() -> None:
    """Until the group accepts a heartbeat that was sent after the thaw."""
    lease = Lease(seconds=10)
    lease.renew(100.0)
    assert not lease.is_valid(500.0)
    lease.renew(500.5)

    assert lease.is_valid(501.0)


def test_late_answer_to_an_early_heartbeat_takes_nothing_away() -> None:
    """Answers may come in any order."""
    lease = Lease(seconds=10)
    lease.renew(100.0)
    lease.renew(90.0)

    assert lease.is_valid(109.0)

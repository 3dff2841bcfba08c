"""The journal is ordered, bounded, and tells requests of one customer that overlap."""

from worker.demo.upstream.journal import Journal


def test_requests_of_one_customer_that_overlap_are_counted() -> None:
    """Those of different customers are not."""
    journal = Journal()
    first = journal.begin(1.0, "GET", "a", b"")
    journal.begin(2.0, "GET", "b", b"")
    assert journal.overlaps == 0
    journal.begin(3.0, "GET", "a", b"")
    journal.end(first, 4.0)

    assert (journal.overlaps, journal.under_way) == (1, 2)


def test_requests_one_after_another_do_not_overlap() -> None:
    """Also in the same instant."""
    journal = Journal()
    for _ in range(3):
        journal.end(journal.begin(1.0, "GET", "a", b""), 1.0)

    assert (journal.overlaps, journal.under_way, journal.requests) == (0, 0, 3)


def test_the_oldest_entries_go_first() -> None:
    """By their number, and by the bytes of their bodies."""
    by_number = Journal(longest=2)
    by_bytes = Journal(most_bytes=10)
    for journal in (by_number, by_bytes):
        for body in (b"1234", b"1234", b"1234"):
            journal.begin(0.0, "PATCH", None, body)

    assert [entry["sequence"] for entry in by_number.since()] == [2, 3]
    assert [entry["sequence"] for entry in by_bytes.since()] == [2, 3]
    assert (by_number.first, by_number.requests) == (2, 3)


def test_reading_goes_on_where_it_ended() -> None:
    """Also where entries between have gone."""
    journal = Journal(longest=3)
    for _ in range(5):
        journal.begin(0.0, "GET", None, b"")

    read = [
        [entry["sequence"] for entry in journal.since(since, most)] for since, most in ((0, None), (3, 1), (5, None))
    ]

    assert read == [[3, 4, 5], [4], []]


def test_a_body_is_shown_as_json_or_else_as_text() -> None:
    """Whatever a client sent can be shown."""
    journal = Journal()
    for body in (b"", b'{"a":1}', b'{"a', b'"\\ud800"', b"\xff"):
        journal.begin(0.0, "PATCH", None, body)

    assert [entry["body"] for entry in journal.since()] == [None, {"a": 1}, '{"a', '"\\ud800"', "�"]

"""The token: from a value, or from a file that operators and Kubernetes replace under the running worker."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from worker.upstream.token_source import LONGEST_TOKEN, TokenSource, TokenUnusable


class Clock:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Stands still until the test moves it."""
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A token file as `echo` writes it."""
    file = tmp_path / "token"
    file.write_text("mid_first\n")
    return file


def test_a_value_loses_the_blanks_around_it() -> None:
    """Copied tokens bring a line break along."""
    assert TokenSource.from_value(" mid_first\r\n").current() == "mid_first"


def test_a_file_loses_its_line_break(file: Path, clock: Clock) -> None:
    """A text file ends with one."""
    assert TokenSource.from_file(file, clock).current() == "mid_first"


def test_a_replaced_file_is_taken_up_a_second_later(file: Path, clock: Clock) -> None:
    """A corrected token needs no restart, and the file is not read for every request."""
    token = TokenSource.from_file(file, clock)
    file.write_text("mid_other\n")
    clock.now += 0.9
    before = token.current()
    clock.now += 0.1

    assert before == "mid_first"
    assert token.current() == "mid_other"
    assert token.version == 2


def test_the_version_stands_still_while_the_token_does(file: Path, clock: Clock) -> None:
    """A file that was written again with the same token is no new token."""
    token = TokenSource.from_file(file, clock)
    file.write_text("mid_first")
    clock.now += 1

    assert token.current() == "mid_first"
    assert token.version == 1


def test_a_kubernetes_secret_is_followed_through_its_symbolic_links(tmp_path: Path, clock: Clock) -> None:
    """The kubelet swaps the link `..data`; the file's own path never changes."""
    for name, content in (("v1", "mid_first"), ("v2", "mid_other")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(content)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "token").symlink_to("..data/token")
    token = TokenSource.from_file(tmp_path / "token", clock)
    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    clock.now += 1

    assert token.current() == "mid_other"


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        pytest.param(None, "cannot be read (No such file or directory)", id="missing"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\n \n", "is empty", id="blank"),
        pytest.param(b"mid_a\nmid_b\n", "holds blanks, line breaks", id="two lines"),
        pytest.param(b"\xef\xbb\xbfmid_first", "holds blanks, line breaks", id="with a byte order mark"),
        pytest.param(b"\xff\xfe\x00", "holds blanks, line breaks", id="not a text"),
        pytest.param(b"x" * (LONGEST_TOKEN + 1), "is longer than", id="not a token's size"),
    ],
)
def test_while_the_file_is_unusable_the_last_good_token_stays(
    file: Path, clock: Clock, content: bytes | None, trouble: str
) -> None:
    """A secret that is being replaced must not stop the worker; it says so once, not at every look."""
    token = TokenSource.from_file(file, clock)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with capture_logs() as logs:
        for _ in range(3):
            clock.now += 1
            assert token.current() == "mid_first"

    assert trouble in (token.trouble or "")
    assert [line["event"] for line in logs] == ["token_file_unusable"]
    assert token.version == 1


def test_trouble_ends_with_the_next_good_file(file: Path, clock: Clock) -> None:
    """What was reported is taken back when it is over."""
    token = TokenSource.from_file(file, clock)
    file.write_text("")
    clock.now += 1
    token.current()
    file.write_text("mid_other")
    clock.now += 1

    assert token.current() == "mid_other"
    assert token.trouble is None


@pytest.mark.parametrize("content", ["", "two words", "line\nbreak", "mid_ü"])
def test_no_worker_starts_without_a_usable_token(tmp_path: Path, clock: Clock, content: str) -> None:
    """At the start there is no last good token to fall back on."""
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(TokenUnusable) as unusable:
        TokenSource.from_file(file, clock)

    assert unusable.value.where == str(file)


def test_the_token_shows_nowhere(file: Path, clock: Clock) -> None:
    """Neither the representation nor the log of a change nor an error holds the token."""
    token = TokenSource.from_file(file, clock)
    file.write_text("mid_other")
    clock.now += 1
    with capture_logs() as logs:
        token.current()
    file.write_text("mid_third mid_third")
    clock.now += 1
    with capture_logs() as more_logs:
        token.current()
    with pytest.raises(TokenUnusable) as unusable:
        TokenSource.from_value("mid_fourth mid_fourth")

    assert "mid_" not in f"{token!r} {token} {logs} {more_logs} {unusable.value!r} {token.trouble}"

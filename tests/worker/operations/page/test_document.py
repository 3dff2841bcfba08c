"""The page as a whole, as it is served: without JavaScript this is all there is."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.groups import BUDGET, IDLE, a_busy_view, a_group, a_look, a_view, held, waits
from worker.operations.group import GroupView, put_together
from worker.operations.page.document import document, live_parts
from worker.operations.page.tables import MOST_PARTITIONS
from worker.operations.replica import Customers, Replica
from worker.telemetry.recent import DeadLetters

VOID = {"meta", "link", "wbr", "hr", "br"}
DRAWN = {"svg", "path", "rect", "circle"}


class Page(HTMLParser):
    """What a browser would make of it: elements, texts, and whether everything is closed."""

    def __init__(self, view: GroupView) -> None:
        super().__init__()
        self.source = document(view, live_parts(view))
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element of a picture."""
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """An element ends."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Some text."""
        if data.strip():
            self.texts.append(data.strip())

    @property
    def text(self) -> str:
        """All of it."""
        return " ".join(self.texts)

    def attributes(self, name: str) -> list[str]:
        """Every value of this attribute."""
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    def rows(self, name: str) -> list[str]:
        """The texts of the rows of the tables in this live part."""
        part = str(live_parts_of(self.source)[name])
        rows = re.findall(r"<tr role=\"row\"><th scope=\"row\".*?</tr>", part)
        return [re.sub(r"<[^>]*>", "|", row).strip("|") for row in rows]


def live_parts_of(source: str) -> dict[str, str]:
    """The content of each element with `data-live`, up to the next one."""
    pieces = re.split(r'data-live="([^"]+)">', source)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def figures(row: str) -> list[str]:
    """The texts of a row."""
    return [text for text in row.split("|") if text.strip()]


def test_page_is_well_formed_in_every_state() -> None:
    """Idle and busy: each element is closed, each id is there once."""
    for view in (a_view(), a_busy_view()):
        page = Page(view)
        assert [name for name, number in Counter(page.attributes("id")).items() if number > 1] == []


def test_page_needs_nothing_from_elsewhere_and_nothing_inline() -> None:
    """The policy that it is served with would not have it."""
    page = Page(a_busy_view())
    addresses = page.attributes("src") + page.attributes("href")

    assert all(address.startswith(("/", "#")) and not address.startswith("//") for address in addresses)
    assert page.attributes("style") == []
    assert [name for _, attributes in page.elements for name in attributes if name.startswith("on")] == []
    assert not {"style", "iframe", "img", "form", "input", "base"} & {tag for tag, _ in page.elements}


def test_landmarks_and_headings_lead_through_the_page() -> None:
    """One of the first rank, no rank left out, and every section has a name."""
    page = Page(a_busy_view())
    tags = [tag for tag, _ in page.elements]
    ranks = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]

    assert {tag: tags.count(tag) for tag in ("header", "main", "footer", "nav")} == dict.fromkeys(
        ("header", "main", "footer", "nav"), 1
    )
    assert ranks.count(1) == 1
    assert ranks[0] == 1
    assert set(ranks) == {1, 2}
    sections = [attributes for tag, attributes in page.elements if tag == "section"]
    assert all("aria-label" in one or one["aria-labelledby"] in page.attributes("id") for one in sections)


def test_every_table_has_a_caption_and_headers() -> None:
    """For those who hear it."""
    tables = re.findall(r"<table.*?</table>", Page(a_busy_view()).source, re.DOTALL)

    assert len(tables) >= 8
    for table in tables:
        assert "<caption>" in table
        assert 'scope="col"' in table
        assert 'scope="row"' in table


def test_everything_that_changes_has_its_place() -> None:
    """A part without an element would never be seen again."""
    assert sorted(Page(a_busy_view()).attributes("data-live")) == sorted(live_parts(a_busy_view()))


def test_only_the_name_of_the_state_is_read_aloud() -> None:
    """Figures that change every two seconds would never end."""
    page = Page(a_busy_view())
    read_aloud = [attributes for _, attributes in page.elements if attributes.get("role") == "status"]

    assert [attributes["data-live"] for attributes in read_aloud] == ["state"]
    assert "aria-live" not in page.source


def test_idle_page_says_so() -> None:
    """In every part."""
    page = Page(a_view(replace(IDLE, partitions=(held(0),))))

    for words in (
        "Idle",
        "All caught up: nothing waits.",
        "Nobody waits.",
        "None since the replicas have started.",
        "No request has been sent yet.",
        "None yet.",
        "no limit",
    ):
        assert words in page.text
    assert figures(page.rows("partitions")[0]) == ["0", "0", "now", "nothing", "sync-0"]


def test_busy_page_says_what_an_operator_asks() -> None:
    """Partitions, customers, dead letters, outcomes, upstream, replicas, rebalances, settings."""
    page = Page(a_busy_view())

    assert [figures(row) for row in page.rows("partitions")] == [
        ["0", "40", "9 s", "30 waiting, 2 under way, 1 to retry", "0"],
        ["1", "5", "2 s", "5 waiting", "0"],
        ["2", "0", "now", "nothing", "1"],
        ["3", "–", "–", "not known", "nobody"],
    ]
    assert [figures(row) for row in page.rows("customers")] == [
        ["5eed…0001", "23", "1 min 30 s", "its turn comes next"],
        ["5eed…0002", "4", "1 min 30 s", "2 failed attempts, the next in 3 s"],
    ]
    assert "7 customers: its turn comes next (5), to be tried again (2)." in page.text
    assert "3 invalid and 1 rejected since the replicas have started." in page.text
    assert "customer.update:1:17" in re.sub(r"</?(wbr|code)>", "", page.source)
    assert "2 attempts, the last answered 400." in page.text
    assert [figures(row) for row in page.rows("upstream")] == [
        ["GET", "802", "2", "75 ms", "98 ms", "100 ms"],
        ["PATCH", "641", "0", "–", "–", "–"],
    ]
    assert figures(page.rows("outcomes")[0]) == ["event", "1,204", "99.7 %"]
    assert figures(page.rows("replicas")[0]) == ["sync-0 ", "(this one)", "running, ready", "0–1", "1 h 2 min", "1.2.3"]
    assert figures(page.rows("rebalances")[0])[1:] == ["0", "got 0–1"]
    assert "433 of 1,000" in page.text
    assert "a new window in 3 min 10 s" in page.text
    assert "******" in page.text
    assert "1 other at their defaults" in page.text


def test_figures_at_the_head() -> None:
    """What waits, until when, since when, how fast it goes, how much went wrong."""
    page = Page(a_busy_view())
    head = dict(re.findall(r"<dt>(.*?)</dt><dd><b>(.*?)</b>", page.source))

    assert head == {
        "Commands waiting": "45",
        "Settled in": "9 s",
        "Oldest waits": "2 min 5 s",
        "Settled a minute": "38",
        "Dead letters": "1",
    }


def test_words_from_outside_are_escaped() -> None:
    """The upstream's words stand in the reason of a hold, a dead letter's in its error."""
    evil = "<script>alert(1)</script>"
    replica = replace(
        IDLE,
        worker=evil,
        reason=evil,
        held_for=f"401: {evil}",
        version=evil,
        customers=Customers(1, 0, {evil: 1}, (waits(evil, why=evil),)),
        dead_letters=(DeadLetters(evil, evil, 1, 0, evil, None, 0),),
    )
    view = put_together(a_look(replica, {"10.0.0.1:1": evil}, members=a_group("10.0.0.1:1")))
    page = Page(view)

    assert [tag for tag, _ in page.elements].count("script") == 1
    assert "&lt;script&gt;" in page.source


def test_many_partitions_are_folded_away_but_those_with_most_to_do() -> None:
    """And those that nobody has come first."""
    many = replace(IDLE, partitions=tuple(held(number, number) for number in range(40)))
    page = Page(a_view(many, partitions=41))
    rows = [figures(row)[0] for row in page.rows("partitions")]

    assert rows[: MOST_PARTITIONS + 1] == [
        "40",
        *(str(number) for number in range(39, 39 - MOST_PARTITIONS + 1, -1)),
        "0",
    ]
    assert len(rows) == 41
    assert "25 other partitions, 300 waiting" in page.text


def test_open_circuit_is_told_in_words() -> None:
    """Not by its colour alone."""
    page = Page(a_view(replace(IDLE, circuits={"get": "open", "patch": "closed"}, held_for="401: no")))
    tracks = re.findall(r"<figcaption><b>(.*?)</b> <span class=\"now\">(.*?)</span>", page.source)

    assert tracks[-3:] == [("GET circuit", "open"), ("PATCH circuit", "closed"), ("Hold", "in force")]


@pytest.mark.parametrize(
    ("replica", "words"),
    [
        (replace(IDLE, held_for="401: no"), "before the hold ends"),
        (replace(IDLE, circuits={"get": "open"}), "before the upstream is back"),
        (replace(IDLE, pace=replace(IDLE.pace, commands_per_second=99)), "while more comes than is settled"),
        (replace(IDLE, budget=BUDGET), "at the present budget and pace"),
    ],
)
def test_no_end_in_sight_has_its_reason(replica: Replica, words: str) -> None:
    """Under the figure."""
    assert words in Page(a_view(replace(replica, partitions=(held(0, 9),)))).text


def test_silent_replicas_are_shown_with_their_partitions() -> None:
    """In words, among the others."""
    members = a_group("10.0.0.1:1", partitions={"10.0.0.1:1": (0, 1, 3)})
    page = Page(put_together(a_look(answers={"10.0.0.1:1": "no answer within 1 s"}, members=members)))

    assert figures(page.rows("replicas")[1]) == ["10.0.0.1:1", "no answer within 1 s", "0–1, 3", "–", "–"]


def test_settings_that_differ_are_shown() -> None:
    """In the middle of an update that is right; at any other time it is not."""
    view = replace(a_view(), differing={"UPSTREAM_RATE_LIMIT": {"a": "500", "b": "1000"}})

    assert "Replicas differ in UPSTREAM_RATE_LIMIT (a: 500, b: 1000)." in Page(view).text

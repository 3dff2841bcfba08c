"""What the tables of the page say."""

from collections.abc import Iterable, Mapping, Sequence

from worker.operations.group import GroupPartition, GroupView
from worker.operations.page import pictures
from worker.operations.page.figures import drained
from worker.operations.page.grid import STACKED, Column, breakable, code, nothing, table
from worker.operations.page.markup import Html, html
from worker.operations.replica import WHY, Shown, WaitingCustomer
from worker.operations.words import clock, count, listed, milliseconds, moment, number, span
from worker.telemetry.recent import DeadLetters

MOST_PARTITIONS = 16
# Whether the request did its work or not, these were answered as they should be.
_GOOD_ANSWERS = frozenset({"Ok", "NotFound", "Rejected"})
_PARTITION_COLUMNS = (Column("Partition"), Column("Lag", "n"), Column("Settled in", "n"), Column("In memory", "spare"))


def partitions(view: GroupView) -> Html:
    """Every partition; where there are many, those with most to do first and the others behind a fold."""
    found = view.partitions
    shown, rest = list(found), []
    if len(found) > MOST_PARTITIONS:
        by_lag = sorted(found, key=lambda one: (bool(one.replica), -(one.lag or 0), one.partition))
        shown, rest = by_lag[:MOST_PARTITIONS], sorted(by_lag[MOST_PARTITIONS:], key=lambda one: one.partition)
    first = _partition_table(view, shown)
    if not rest:
        return first
    return html(
        "{first}<details><summary>{others}, {waiting} waiting</summary>{rest}</details>",
        first=first,
        others=count(len(rest), "other partition"),
        waiting=number(sum(partition.lag or 0 for partition in rest)),
        rest=_partition_table(view, rest),
    )


def _partition_table(view: GroupView, shown: Sequence[GroupPartition]) -> Html:
    most = max((partition.lag or 0 for partition in view.partitions), default=0)
    return table(
        f"{view.topic}: commands that are not settled",
        [*_PARTITION_COLUMNS, Column("Replica")],
        (
            (
                one.partition,
                _measured(one.lag, (one.lag or 0) / most if most else None),
                drained(one.drained_in_seconds),
                _in_memory(one),
                _short_name(view, one.replica),
            )
            for one in shown
        ),
        empty="No partition is known yet.",
    )


def _in_memory(partition: GroupPartition) -> str:
    if partition.waiting is None:
        return "not known"
    told = [
        f"{number(figure)} {what}"
        for figure, what in (
            (partition.waiting, "waiting"),
            (partition.in_flight, "under way"),
            (partition.retrying, "to retry"),
        )
        if figure
    ]
    return ", ".join(told) or "nothing"


def customers(view: GroupView) -> Html:
    """Why customers wait, and the ten with most waiting commands."""
    found = view.customers
    if not found.waiting:
        return nothing("Nobody waits.")
    reasons = [(WHY.get(reason, reason), amount) for reason, amount in _by_amount(found.why)]
    why = reasons[0][0] if len(reasons) == 1 else ", ".join(f"{words} ({number(amount)})" for words, amount in reasons)
    longest = table(
        "The ten with most waiting commands" if len(found.longest) == 10 else "By waiting commands",
        [Column("Customer", "id"), Column("Commands", "n"), Column("Waits", "n"), Column("Why")],
        (
            (
                html("<code>{customer}</code>", customer=one.customer),
                number(one.commands),
                span(max(view.at_ms - one.oldest_ms, 0) / 1000),
                _why(one),
            )
            for one in found.longest
        ),
    )
    return html(
        '<p class="lead">{total}: {why}.</p>{longest}', total=count(found.waiting, "customer"), why=why, longest=longest
    )


def _why(one: WaitingCustomer) -> str:
    if one.due_in_seconds is not None:
        return f"{count(one.attempts, 'failed attempt')}, the next in {span(one.due_in_seconds)}"
    return WHY.get(one.why, one.why)


def dead_letters(view: GroupView) -> Html:
    """What is wrong with the latest of them: one row for each reason and error."""
    rows = table(
        "The latest faults of each reason",
        [Column("Reason"), Column("What is wrong", "wide"), Column("Commands", "n"), Column("The latest", "where")],
        (
            (
                breakable(one.reason),
                html("{error}{after}", error=one.error, after=_after(one)),
                number(one.commands),
                html("{time} {command}", time=_time(one.at_ms), command=code(one.command)),
            )
            for one in view.dead_letters
        ),
        STACKED,
        empty="None since the replicas have started.",
    )
    if not view.dead_letters:
        return rows
    reasons = _by_amount(view.outcomes.get("dead_letter", {}))
    return html(
        '<p class="lead">{counts} since the replicas have started. '
        "<code>customer-sync dlq list</code> has them all.</p>{rows}",
        counts=listed([f"{number(amount)} {reason}" for reason, amount in reasons]),
        rows=rows,
    )


def _after(letter: DeadLetters) -> Html | None:
    if not letter.attempts:
        return None
    answered = f", the last answered {letter.status}" if letter.status else ""
    return html(' <span class="after">{said}.</span>', said=f"{count(letter.attempts, 'attempt')}{answered}")


def outcomes(view: GroupView) -> Html:
    """What has become of commands since the replicas have started."""
    rows = [("event", view.outcomes.get("event", {}).get("", 0)), *_by_amount(view.outcomes.get("dead_letter", {}))]
    total = sum(amount for _, amount in rows)
    return table(
        "Commands since the replicas have started",
        [Column("Outcome"), Column("Commands", "n"), Column("Share", "n")],
        (
            (
                breakable(name),
                _measured(amount, amount / total if total else None),
                f"{100 * amount / total:.1f} %" if total else "–",
            )
            for name, amount in rows
        ),
    )


def upstream(view: GroupView) -> Html:
    """How many requests went to the upstream, how they ended, how long they took."""
    return table(
        "Requests since the replicas have started; within which time so many of the last minutes’ were answered",
        [Column("Request"), Column("Sent", "n"), Column("Failed", "n")]
        + [Column(name, "n") for name in ("50 %", "95 %", "99 %")],
        (
            (
                kind,
                number(sum(answers.values())),
                number(sum(amount for answer, amount in answers.items() if answer not in _GOOD_ANSWERS)),
                *(milliseconds(_took(view, kind, part)) for part in (0.5, 0.95, 0.99)),
            )
            for kind, answers in sorted(view.requests.items())
        ),
        empty="No request has been sent yet.",
    )


def _took(view: GroupView, kind: str, part: float) -> float | None:
    return view.latencies[kind].quantile(part) if kind in view.latencies else None


def replicas(view: GroupView) -> Html:
    """Everybody in the group, also those that do not answer."""
    answering = (
        (
            html(
                "{name}{here}",
                name=one.worker,
                here=Html(" <span>(this one)</span>") if one.worker == view.here else None,
            ),
            f"{one.state}, {'' if one.ready else 'not '}ready{': ' if one.reason else ''}{one.reason}",
            _numbers(held.partition for held in one.partitions),
            span(one.up_seconds),
            one.version,
        )
        for one in view.replicas
    )
    silent = (
        (one.name, html('<strong class="trouble">{why}</strong>', why=one.why), _numbers(one.partitions), "–", "–")
        for one in view.silent
    )
    return table(
        "Members of the group",
        [Column("Replica"), Column("State", "wide"), Column("Partitions"), Column("Up", "n"), Column("Version")],
        [*answering, *silent],
        STACKED,
    )


def rebalances(view: GroupView) -> Html:
    """Who got and lost which partitions."""
    words = {"assigned": "got", "revoked": "gave back", "expelled": "was thrown out and lost"}
    return table(
        "The latest, newest first",
        [Column("When"), Column("Replica"), Column("Partitions")],
        (
            (
                _time(one.rebalance.at_ms),
                _short_name(view, one.replica),
                f"{words.get(one.rebalance.what, one.rebalance.what)} {_numbers(one.rebalance.partitions)}",
            )
            for one in view.rebalances
        ),
        empty="None yet.",
    )


def differing(settings: Mapping[str, Mapping[str, str]]) -> Html:
    """Settings in which replicas differ: right in the middle of an update, and a mistake at any other time."""
    if not settings:
        return Html("")
    told = listed(
        [
            f"{variable} ({', '.join(f'{replica}: {value}' for replica, value in values.items())})"
            for variable, values in settings.items()
        ]
    )
    return html('<p class="lead"><strong class="trouble">Replicas differ in {told}.</strong></p>', told=told)


def settings(shown: Sequence[Shown]) -> Html:
    """The settings of the replica that serves the page; those that were set first."""
    rest = [one for one in shown if one.source == "default"]
    return html(
        "{given}<details><summary>{others} at their defaults</summary>{rest}</details>",
        given=_settings("Set for the replica that shows this page", (one for one in shown if one.source != "default")),
        others=count(len(rest), "other"),
        rest=_settings("At their defaults", rest),
    )


def _settings(caption: str, shown: Iterable[Shown]) -> Html:
    return table(
        caption,
        [Column("Variable"), Column("Value", "wide"), Column("From")],
        ((code(one.variable), html("<code>{value}</code>", value=one.value), one.source) for one in shown),
        STACKED,
        empty="All are at their defaults.",
    )


def _by_amount(amounts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(amounts.items(), key=lambda pair: -pair[1])


def _measured(amount: int | None, part: float | None) -> Html:
    """A figure, and how much of the most or of all it is."""
    return html("{amount}{bar}", amount=number(amount), bar=None if part is None else pictures.share(part))


def _time(at_ms: int) -> Html:
    return html('<time datetime="{moment}">{clock}</time>', moment=moment(at_ms), clock=clock(at_ms))


def _numbers(partitions: Iterable[int]) -> str:
    """`0–3, 7`: runs are told by their ends."""
    runs: list[list[int]] = []
    for partition in sorted(partitions):
        if runs and partition == runs[-1][1] + 1:
            runs[-1][1] = partition
        else:
            runs.append([partition, partition])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs) or "none"


def _short_name(view: GroupView, name: str) -> str:
    """What tells a replica from the others: pods of one deployment share the beginning of their names."""
    if not name:
        return "nobody"
    parts = [one.split("-") for one in (*(it.worker for it in view.replicas), *(it.name for it in view.silent))]
    if name.split("-") not in parts or len(parts) < 2:
        return name
    shared = 0
    while all(len(one) > shared + 1 and one[shared] == parts[0][shared] for one in parts):
        shared += 1
    return "-".join(name.split("-")[shared:])

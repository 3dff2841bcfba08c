"""Whatever Kafka carries, decoding ends in a command or in a refusal that can be published."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from data.command_rows import CUSTOMER, TAG
from data.good_commands import ENVELOPE_LABEL, IN_BASE64, IN_ENVELOPE, plain, record
from handlers.command import Command, decode, held_bytes, identity_of
from handlers.errors import FAULTS, CommandRefused, Reason
from handlers.fields import CAMEL, CHANGEABLE_FIELDS, CLEARABLE_FIELDS
from handlers.record import CommandRecord, Headers

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([CUSTOMER, TAG, "1.0", "bulk"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text()
            | st.sampled_from(["customer_id", "changes", "tags", "id", "name", "data", "source", "type", "email"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)
header_names = st.sampled_from(
    [f"ce_{name}" for name in ("specversion", "id", "source", "type", "priority", "expirytime", "traceparent")]
    + ["content-type", "traceparent", "dlq-command-id", "dlq-replay", "ce_correlationid"]
)
header_values = (
    st.binary() | st.none() | st.sampled_from([b"1.0", b"customer.update", b"bulk", b"1", ENVELOPE_LABEL[1]])
)
any_headers = st.lists(st.tuples(header_names | st.text(), header_values), max_size=8).map(tuple)
good_values = st.sampled_from(
    [
        plain(),
        plain({"tags": [{"id": TAG, "name": "VIP"}], "name": "Acme", "addressLine1": "a"}),
        IN_ENVELOPE,
        IN_BASE64,
    ]
)


@st.composite
def mutated_values(draw: st.DrawFn) -> bytes:
    """A good command with one part of its JSON replaced, or with some of its bytes."""
    document: Any = deepcopy(draw(good_values))
    if draw(st.booleans()):
        place: Any = document
        while True:
            step = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
            if not isinstance(place[step], (dict, list)) or not place[step] or draw(st.booleans()):
                place[step] = draw(json_values)
                break
            place = place[step]
        return json.dumps(document).encode()
    value = bytearray(json.dumps(document).encode())
    for position in draw(st.lists(st.integers(0, len(value) - 1), max_size=4)):
        value[position : position + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(value)


def decoded(sent: CommandRecord) -> Command | CommandRefused:
    """What becomes of *sent*; any other exception fails the test."""
    try:
        return decode(sent)
    except CommandRefused as refused:
        return refused


def check(sent: CommandRecord) -> None:
    """Decodes *sent* and holds the answer to what every answer must fulfil."""
    command = decoded(sent)
    assert identity_of(sent) == (command.identity, command.replay)
    if isinstance(command, CommandRefused):
        assert command.problems
        assert command.problems == getattr(decoded(sent), "problems", None)
        assert all(problem.code in FAULTS for problem in command.problems)
        assert command.reason in (Reason.UNDECODABLE, Reason.INVALID)
        assert str(command).encode()
        assert command.command_id.encode()
        return
    assert command == decoded(sent)
    assert command.customer_id.encode() == sent.key
    assert command.changes
    assert command.changes.keys() <= set(CHANGEABLE_FIELDS)
    json.dumps(command.changes, ensure_ascii=False, allow_nan=False).encode()
    assert held_bytes(command) > 0


@given(st.none() | st.binary(), st.none() | st.binary() | st.just(CUSTOMER.encode()), any_headers)
def test_random_bytes_never_raise_anything_but_a_refusal(
    value: bytes | None, key: bytes | None, headers: Headers
) -> None:
    """Whatever Kafka may carry."""
    check(CommandRecord("customer.update", 0, 0, -1, key, value, headers))


@given(json_values, any_headers)
def test_random_json_never_raises_anything_but_a_refusal(value: object, headers: Headers) -> None:
    """Any document, NaN and lone surrogates included."""
    check(record(value, headers))


@given(mutated_values(), any_headers)
def test_nearly_good_commands_never_raise_anything_but_a_refusal(value: bytes, headers: Headers) -> None:
    """A good command with a part or some bytes replaced gets deep into the rules."""
    check(record(value, headers))


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
emails = st.from_regex(
    r"\A[A-Za-z0-9_'+-]{0,8}[A-Za-z0-9_+-](\.[A-Za-z0-9_+-]{1,8})?@([A-Za-z0-9][A-Za-z0-9-]{0,5}\.){1,2}[A-Za-z]{2,4}\Z"
)
tags = st.lists(
    st.fixed_dictionaries({"id": st.uuids(version=4).map(str), "name": texts}),
    max_size=3,
    unique_by=lambda tag: tag["id"],
)
valid_changes = st.fixed_dictionaries(
    {},
    optional={
        "name": texts.filter(str.strip),
        "email": emails,
        "tags": tags,
        **dict.fromkeys(CLEARABLE_FIELDS, st.none() | texts),
    },
).filter(bool)


@given(valid_changes, st.data())
def test_every_valid_command_is_read_as_it_was_meant(changes: Mapping[str, object], data: st.DataObject) -> None:
    """Any fields with any values in any spelling and any encoding."""
    spelled = {data.draw(st.sampled_from([name, CAMEL[name]])): value for name, value in changes.items()}
    value = json.dumps(plain(spelled), ensure_ascii=data.draw(st.booleans())).encode()

    assert decode(record(value)).changes == changes

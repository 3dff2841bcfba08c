"""JSON is read as RFC 8259 has it, in linear time, whatever the bytes are."""

import contextlib
import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.strict_json import MAX_DEPTH, RepeatingObject, Unreadable, read

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_what_an_encoder_wrote_is_read_back(value: object, ensure_ascii: bool) -> None:
    """Every JSON value within the bounds survives, escaped or not."""
    assert read(json.dumps(value, ensure_ascii=ensure_ascii).encode("utf-8", "surrogatepass")) == value


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_unreadable(value: bytes) -> None:
    """Whatever the bytes are, the answer is a document or the domain's error."""
    with contextlib.suppress(Unreadable):
        read(value)


@pytest.mark.parametrize(
    ("levels", "is_read"),
    [
        pytest.param(MAX_DEPTH, True, id="as deep as allowed"),
        pytest.param(MAX_DEPTH + 1, False, id="one level deeper"),
    ],
)
def test_the_depth_that_is_read_is_exact(levels: int, is_read: bool) -> None:
    """Brackets in texts do not count, closed ones neither."""
    text = f'["{"[" * 99}", [], [], "\\"[[", {"[" * (levels - 1)}{"]" * (levels - 1)}]'

    if is_read:
        assert isinstance(read(text.encode()), list)
    else:
        with pytest.raises(Unreadable) as unreadable:
            read(text.encode())
        assert unreadable.value.code == "too_deep"


@pytest.mark.parametrize(
    ("digits", "number"),
    [
        pytest.param("9223372036854775807", 2**63 - 1, id="the largest signed 64-bit integer"),
        pytest.param("-9223372036854775808", -(2**63), id="the smallest signed 64-bit integer"),
        pytest.param("18446744073709551615", 2**64 - 1, id="the largest unsigned 64-bit integer"),
        pytest.param("18446744073709551616", math.inf, id="one more"),
        pytest.param("-9223372036854775809", math.inf, id="one less than the smallest"),
        pytest.param("9" * 5_000, math.inf, id="more digits than Python converts"),
        pytest.param("1e999", math.inf, id="beyond a double"),
    ],
)
def test_a_number_beyond_64_bits_becomes_an_infinity(digits: str, number: float) -> None:
    """It stays a number, so that the field's own rule can refuse it."""
    assert read(digits.encode()) == number


def test_a_repeated_name_is_not_lost() -> None:
    """The last value counts, and the object tells which names occurred more than once, each once."""
    document = read(b'{"a": 1, "b": 2, "a": 3, "a": 4, "c": {"d": 0, "d": 1}}')

    assert isinstance(document, RepeatingObject)
    assert document == {"a": 4, "b": 2, "c": {"d": 1}}
    assert list(document.repeated) == ["a"]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"[" * 40 + b'"' + b'\\"' * 500_000, id="a text of quotes that never ends, in deep lists"),
        pytest.param(b"[]," * 40 + b'"' + b'\\"' * 500_000, id="a text of quotes that never ends, after many lists"),
        pytest.param(b'["' + b"[" * 1_000_000 + b'"]', id="a text of brackets"),
        pytest.param(b"[" + b"[]," * 300_000 + b"[]]", id="very many lists"),
        pytest.param(b'["' + b'","' * 300_000 + b"[" * 40, id="very many texts"),
        pytest.param(b"[" + b"7" * 1_000_000 + b"]", id="a number of a million digits"),
        pytest.param(b"[0." + b"7" * 1_000_000 + b"]", id="a fraction of a million digits"),
        pytest.param(b"{" + b'"a":1,' * 150_000 + b'"a":1}', id="one name very often"),
    ],
)
def test_a_megabyte_made_to_be_slow_is_read_in_linear_time(value: bytes) -> None:
    """A quadratic step would take minutes; the bound of five seconds is far above a slow machine's need."""
    began = time.process_time()
    with contextlib.suppress(Unreadable):
        read(value)

    assert time.process_time() - began < 5


def test_the_error_keeps_nothing_of_the_document() -> None:
    """The standard library's error holds the whole document; a traceback of ours must not lead to it."""
    with pytest.raises(Unreadable) as unreadable:
        read(b'{"email": "jane.roe@private.example"')

    assert unreadable.value.__context__ is None
    assert unreadable.value.__cause__ is None
    assert unreadable.value.detail == "from character 36 on"

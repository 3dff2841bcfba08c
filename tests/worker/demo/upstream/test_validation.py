"""The 400s nobody recorded follow the service's schema: its order, its words, every issue at once."""

import json

import pytest
from pydantic import JsonValue

from worker.demo.upstream.validation import MalformedJSON, is_email, issues, parse_json, zod_error

GOOD: dict[str, JsonValue] = {"name": "N", "email": "n@x.test"}
TAG: JsonValue = {"id": "00000000-0000-4000-8000-000000000051", "name": "VIP"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(GOOD, [], id="name and e-mail are enough"),
        pytest.param({**GOOD, "foo": 1, "address_line1": 2}, [], id="unknown and snake_case fields are ignored"),
        pytest.param({**GOOD, "phone": None, "billingEmail": None}, [], id="null clears what may be cleared"),
        pytest.param({**GOOD, "phone": True}, ["phone: expected string, received boolean"], id="a boolean"),
        pytest.param({**GOOD, "note": ["x"]}, ["note: expected string, received array"], id="an array"),
        pytest.param({**GOOD, "city": {}}, ["city: expected string, received object"], id="an object"),
        pytest.param({**GOOD, "zip": 1.5}, ["zip: expected string, received number"], id="a number"),
        pytest.param({**GOOD, "id": "x"}, ["id: Invalid UUID"], id="the id of the body is ignored only if it is one"),
        pytest.param({**GOOD, "tags": ["x"]}, ["tags.0: expected object, received string"], id="a tag that is a text"),
        pytest.param(
            {**GOOD, "tags": [TAG, {"id": "x", "name": None}]},
            ["tags.1.id: Invalid UUID", "tags.1.name: expected string, received null"],
            id="both faults of the second tag",
        ),
        pytest.param(
            {**GOOD, "billingEmail": "a@x.test, A@x.test"},
            ["billingEmail: All billing emails must be valid and unique"],
            id="billing addresses are distinct",
        ),
        pytest.param({**GOOD, "billingEmail": "a@x.test, b@x.test"}, [], id="several billing addresses"),
        pytest.param(None, [": expected object, received null"], id="a body that is null"),
        pytest.param("x", [": expected object, received string"], id="a body that is a text"),
        pytest.param(
            {"tags": 1, "contact": 1, "country": 1, "email": 1, "name": 1},
            [f"{field}: expected string, received number" for field in ("name", "email", "country", "contact")]
            + ["tags: expected array, received number"],
            id="in the order of the schema, not of the body",
        ),
    ],
)
def test_a_body_has_these_issues(body: JsonValue, expected: list[str]) -> None:
    """Each as path and message."""
    found = [
        f"{'.'.join(map(str, issue['path']))}: {str(issue['message']).removeprefix('Invalid input: ')}"
        for issue in issues(body)
        if isinstance(issue["path"], list)
    ]

    assert found == expected


def test_the_issues_come_as_json_in_a_string() -> None:
    """Indented by two, as JSON.stringify(issues, null, 2) writes them."""
    error = json.loads(zod_error(issues({**GOOD, "email": "no"})))

    assert error["error"]["name"] == "ZodError"
    assert error["error"]["message"].startswith('[\n  {\n    "origin": "string",\n    "code": "invalid_format",\n')
    assert json.loads(error["error"]["message"])[0]["path"] == ["email"]


@pytest.mark.parametrize("email", ["o'hara@x.ie", "UPPER@X.TEST", "a.b+c_d-e@a-b.c.test", "1@2.de"])
def test_an_email_that_passes(email: str) -> None:
    """ASCII, a dotted domain that ends in letters."""
    assert is_email(email)


@pytest.mark.parametrize(
    "email",
    [
        *("", "a", "a@localhost", "a@x.test ", "a@x.test\n", " a@x.test", ".a@x.test", "a..b@x.test", "a.@x.test"),
        *("a@x.t", "ü@x.test", "a@bücher.example", "a@-x.test", "a@x.123", "a@b@x.test"),
    ],
)
def test_an_email_that_is_refused(email: str) -> None:
    """Also what other rules let pass."""
    assert not is_email(email)


@pytest.mark.parametrize("body", [b"", b"{", b"{'a':1}", b'{"a":NaN}', b"[1,]", b"\xff", b'{"a":"\n"}', b"[" * 100_000])
def test_what_is_no_json(body: bytes) -> None:
    """Also what Python's parser would read, such as NaN."""
    with pytest.raises(MalformedJSON):
        parse_json(body)


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    """A fetch body is decoded that way, its byte order mark dropped."""
    assert parse_json(b'\xef\xbb\xbf{"a":"\xff"}') == {"a": "�"}

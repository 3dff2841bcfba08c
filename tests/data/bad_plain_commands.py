"""Plain commands (and bytes that are none at all) with what is wrong with each."""

import gzip
import json

from data.command_rows import (
    CUSTOMER,
    EMAIL,
    GOOD,
    OTHER_CUSTOMER,
    PERSON,
    PHONE,
    STREET,
    TAG,
    BadCommand,
    Found,
    command,
)


def _undecodable(row_id: str, value: bytes | None, code: str) -> BadCommand:
    return BadCommand(row_id, value, ((code, "$"),), reason="undecodable")


def _changes(row_id: str, changes: object, *problems: Found) -> BadCommand:
    return BadCommand(row_id, command(changes), tuple((code, f"$.changes{path}") for code, path in problems))


def _email(row_id: str, email: str) -> BadCommand:
    return _changes(row_id, {"email": email}, ("email_malformed", ".email"))


_NESTED_200 = b"[" * 200 + b"]" * 200
_NOT_READABLE = (
    _undecodable("a tombstone", None, "value_missing"),
    _undecodable("an empty value", b"", "value_empty"),
    _undecodable("blanks alone", b" \n ", "not_json"),
    _undecodable("a text that is not JSON", b"Jane Roe, +46701234567", "not_json"),
    _undecodable("JSON that is cut off", GOOD[:-7], "not_json"),
    _undecodable("two documents in one value", GOOD + GOOD, "not_json"),
    _undecodable("quotes of another kind", b"{'customer_id': 1}", "not_json"),
    _undecodable("a trailing comma", GOOD[:-1] + b",}", "not_json"),
    _undecodable("a comment", b"// a command\n" + GOOD, "not_json"),
    _undecodable("an unknown escape", rb'{"customer_id": "\x41"}', "not_json"),
    _undecodable("a raw line break in a text", b'{"customer_id": "a\nb"}', "not_json"),
    _undecodable("a raw U+0000 in a text", b'{"customer_id": "a\x00b"}', "not_json"),
    _undecodable("NaN", command({"phone": float("nan")}), "not_json"),
    _undecodable("Infinity", command({"phone": float("inf")}), "not_json"),
    _undecodable("-Infinity", command({"phone": float("-inf")}), "not_json"),
    _undecodable("Latin-1 instead of UTF-8", '{"name": "Åsa"}'.encode("latin-1"), "not_utf8"),
    _undecodable("UTF-16 with a byte order mark", GOOD.decode().encode("utf-16"), "not_utf8"),
    _undecodable("UTF-16 without a byte order mark", GOOD.decode().encode("utf-16-le"), "not_json"),
    _undecodable("UTF-8 with a byte order mark", b"\xef\xbb\xbf" + GOOD, "byte_order_mark"),
    _undecodable("a surrogate encoded as UTF-8", b'{"name": "\xed\xa0\x80"}', "not_utf8"),
    _undecodable("compressed by the publisher itself", gzip.compress(GOOD, mtime=0), "not_utf8"),
    _undecodable("framed for a schema registry", b"\x00\x00\x00\x00\x07" + GOOD, "not_json"),
    _undecodable("200 nested lists", _NESTED_200, "too_deep"),
    _undecodable(
        "200 nested objects as a field", command({}).replace(b"{}", b'{"note":' * 200 + b"}" * 200), "too_deep"
    ),
    _undecodable("100,000 nested lists", b"[" * 100_000 + b"]" * 100_000, "too_deep"),
    _undecodable("100,000 lists that never end", b"[" * 100_000, "too_deep"),
)

_KEYS = (
    BadCommand("no key", GOOD, (("key_missing", "key"),), key=None),
    BadCommand("an empty key", GOOD, (("key_missing", "key"),), key=b""),
    BadCommand("a key that is not UTF-8", GOOD, (("key_not_utf8", "key"),), key=b"\xff\xfe", reason="undecodable"),
    BadCommand("a key that is no UUID", GOOD, (("key_malformed", "key"),), key=b"4711"),
    BadCommand("a key in upper case", GOOD, (("key_malformed", "key"),), key=CUSTOMER.upper().encode()),
    BadCommand("a key in JSON's quotes", GOOD, (("key_malformed", "key"),), key=json.dumps(CUSTOMER).encode()),
    BadCommand("a key with a line break", GOOD, (("key_malformed", "key"),), key=CUSTOMER.encode() + b"\n"),
    BadCommand("a key of 32 digits", GOOD, (("key_malformed", "key"),), key=CUSTOMER.replace("-", "").encode()),
    BadCommand(
        "a key of no version that RFC 9562 knows",
        GOOD,
        (("key_malformed", "key"),),
        key=b"3f0c1d52-7a1e-0c55-9d0a-6b1f2a7c9e10",
    ),
    BadCommand(
        "neither key nor value",
        None,
        (("key_missing", "key"), ("value_missing", "$")),
        key=None,
        reason="undecodable",
        customer_id=None,
    ),
)


def _customer(row_id: str, customer_id: object, code: str) -> BadCommand:
    value = json.dumps({"customer_id": customer_id, "changes": {"email": EMAIL}}).encode()
    return BadCommand(row_id, value, ((code, "$.customer_id"),))


_CUSTOMERS = (
    BadCommand("no customer id", b'{"changes": {"note": "n"}}', (("customer_id_missing", "$.customer_id"),)),
    _customer("a customer id that is null", None, "customer_id_malformed"),
    _customer("a customer id that is a number", 4711, "customer_id_malformed"),
    _customer("a customer id that is no UUID", EMAIL, "customer_id_malformed"),
    _customer("a customer id in upper case", CUSTOMER.upper(), "customer_id_malformed"),
    _customer("key and customer id differ", OTHER_CUSTOMER, "customer_id_differs"),
    BadCommand(
        "neither key nor customer id is a UUID",
        b'{"customer_id": "4711", "changes": {"note": "n"}}',
        (("key_malformed", "key"), ("customer_id_malformed", "$.customer_id")),
        key=b"4711",
        customer_id=None,
    ),
    BadCommand(
        "the customer id in both spellings",
        command({"note": "n"}, customerId=CUSTOMER),
        (("spelled_twice", "$.customer_id"),),
    ),
)

_DOCUMENTS = (
    BadCommand("a list", b"[]", (("wrong_type", "$"),)),
    BadCommand("a text", b'"+46701234567"', (("wrong_type", "$"),)),
    BadCommand("a number", b"4711", (("wrong_type", "$"),)),
    BadCommand("null", b"null", (("wrong_type", "$"),)),
    BadCommand("an empty object", b"{}", (("customer_id_missing", "$.customer_id"), ("changes_missing", "$.changes"))),
    BadCommand("no changes", json.dumps({"customer_id": CUSTOMER}).encode(), (("changes_missing", "$.changes"),)),
    _changes("changes that are null", None, ("wrong_type", "")),
    _changes("changes that are a list", [{"email": EMAIL}], ("wrong_type", "")),
    _changes("changes that are a text", PHONE, ("wrong_type", "")),
    _changes("empty changes", {}, ("changes_empty", "")),
    BadCommand(
        "fields beside changes instead of in them",
        command({"note": "n"}, email=EMAIL, phone=PHONE),
        (("unknown_field", "$.email"), ("unknown_field", "$.phone")),
    ),
    BadCommand(
        "a name repeated at the top",
        GOOD[:-1] + b', "changes": {"note": "n"}}',
        (("name_repeated", "$.changes"),),
    ),
    BadCommand(
        "a field repeated in the changes",
        command({}).replace(b"{}", b'{"city": "Oslo", "note": "n", "city": "Bergen"}'),
        (("name_repeated", "$.changes.city"),),
    ),
    BadCommand(
        "a name repeated in a tag",
        command({}).replace(b"{}", b'{"tags": [{"id": "%s", "name": "a", "name": "a"}]}' % TAG.encode()),
        (("name_repeated", "$.changes.tags[0].name"),),
    ),
)

_FIELDS = (
    _changes("a misspelled field", {"emial": EMAIL}, ("unknown_field", ".emial")),
    _changes("a field that commands do not have", {"billing_email": EMAIL}, ("unknown_field", ".billing_email")),
    _changes("a field that the upstream keeps itself", {"invoiceCount": 3}, ("unknown_field", ".invoiceCount")),
    _changes("an unknown field that is null", {"fax": None}, ("unknown_field", ".fax")),
    _changes("a person's address as a field's name", {EMAIL: "x"}, ("unknown_field", ".<name 1, not shown>")),
    _changes(
        "a phone number as a field's name", {"city": "Oslo", PHONE: "x"}, ("unknown_field", ".<name 2, not shown>")
    ),
    _changes("a field whose name is empty", {"": "x"}, ("unknown_field", ".<name 1, not shown>")),
    _changes("a field of another case", {"Email": EMAIL}, ("unknown_field", ".Email")),
    _changes(
        "one field in both spellings",
        {"address_line1": STREET, "addressLine1": STREET},
        ("spelled_twice", ".address_line1"),
    ),
    _changes(
        "one field in both spellings, cleared",
        {"vatNumber": None, "vat_number": None},
        ("spelled_twice", ".vat_number"),
    ),
    _changes("a name that is null", {"name": None}, ("null_not_allowed", ".name")),
    _changes("an e-mail address that is null", {"email": None}, ("null_not_allowed", ".email")),
    _changes("tags that are null", {"tags": None}, ("null_not_allowed", ".tags")),
    _changes("a name that is a number", {"name": 4711}, ("wrong_type", ".name")),
    _changes("a phone number that is a number", {"phone": 46701234567}, ("wrong_type", ".phone")),
    _changes("a note that is true", {"note": True}, ("wrong_type", ".note")),
    _changes("a note that is a list", {"note": [STREET]}, ("wrong_type", ".note")),
    _changes("a contact that is an object", {"contact": {"name": PERSON}}, ("wrong_type", ".contact")),
    _changes("an e-mail address that is a list", {"email": [EMAIL]}, ("wrong_type", ".email")),
    _changes("a number beyond 64 bits", {"zip": 2**64}, ("wrong_type", ".zip")),
    BadCommand(
        "a number of 5,000 digits",
        command({"zip": "digits"}).replace(b'"digits"', b"4" * 5_000),
        (("wrong_type", "$.changes.zip"),),
    ),
    BadCommand(
        "a number beyond the largest double",
        command({"zip": "digits"}).replace(b'"digits"', b"-4e999"),
        (("wrong_type", "$.changes.zip"),),
    ),
    _changes("an empty name", {"name": ""}, ("name_blank", ".name")),
    _changes("a blank name", {"name": " \t\u00a0"}, ("name_blank", ".name")),
    _changes("U+0000 in a note", {"note": f"{STREET}\0"}, ("text_nul", ".note")),
    _changes("U+0000 in a name that is otherwise blank", {"name": "\0"}, ("text_nul", ".name")),
    _changes("U+0000 in an e-mail address", {"email": f"{EMAIL}\0"}, ("text_nul", ".email")),
    _changes("the first half of a surrogate pair", {"note": "\ud83d"}, ("text_lone_surrogate", ".note")),
    _changes("the second half of a surrogate pair", {"city": "a\ude00b"}, ("text_lone_surrogate", ".city")),
    _changes(
        "U+0000 and half a surrogate pair in one text",
        {"note": "\0\ud83d"},
        ("text_nul", ".note"),
        ("text_lone_surrogate", ".note"),
    ),
)

_EMAILS = (
    _email("an empty e-mail address", ""),
    _email("an e-mail address without @", "jane.roe"),
    _email("an e-mail address with a blank after it", f"{EMAIL} "),
    _email("an e-mail address with a line break after it", f"{EMAIL}\n"),
    _email("an e-mail address without a top-level domain", "jane@localhost"),
    _email("an international domain", "jane@bücher.example"),
    _email("an international local part", "jané@private.example"),
    _email("a display name around an e-mail address", f"{PERSON} <{EMAIL}>"),
    _email("two e-mail addresses", f"{EMAIL},{EMAIL}"),
    _email("two dots in a row in an e-mail address", "jane..roe@private.example"),
    _email("an e-mail address that starts with a dot", ".jane@private.example"),
    _email("an e-mail address with a dot before its @", "jane.@private.example"),
    _email("an underscore in the domain", "jane@private_.example"),
    _email("a digit in the top-level domain", "jane@private.e2"),
    _email("an address in brackets", "jane@[127.0.0.1]"),
)

_TAG = {"id": TAG, "name": "VIP"}
_TAGS = (
    _changes("tags that are a text", {"tags": "VIP"}, ("wrong_type", ".tags")),
    _changes("tags that are an object", {"tags": _TAG}, ("wrong_type", ".tags")),
    _changes("tags that are texts", {"tags": ["VIP", TAG]}, ("wrong_type", ".tags[0]"), ("wrong_type", ".tags[1]")),
    _changes("a tag that is null", {"tags": [_TAG, None]}, ("wrong_type", ".tags[1]")),
    _changes("a tag without its id", {"tags": [{"name": "VIP"}]}, ("tag_incomplete", ".tags[0].id")),
    _changes("a tag without its name", {"tags": [{"id": TAG}]}, ("tag_incomplete", ".tags[0].name")),
    _changes(
        "a tag that is empty",
        {"tags": [{}]},
        ("tag_incomplete", ".tags[0].id"),
        ("tag_incomplete", ".tags[0].name"),
    ),
    _changes("a tag whose name is null", {"tags": [{"id": TAG, "name": None}]}, ("wrong_type", ".tags[0].name")),
    _changes("a tag whose id is a number", {"tags": [{"id": 7, "name": "VIP"}]}, ("wrong_type", ".tags[0].id")),
    _changes(
        "a tag whose id is no UUID", {"tags": [{"id": "VIP", "name": "VIP"}]}, ("tag_id_malformed", ".tags[0].id")
    ),
    _changes(
        "a tag with more than id and name", {"tags": [{**_TAG, "color": "red"}]}, ("unknown_field", ".tags[0].color")
    ),
    _changes("one tag twice", {"tags": [_TAG, _TAG]}, ("tag_repeated", ".tags[1].id")),
    _changes(
        "one tag twice, once in upper case",
        {"tags": [_TAG, {"id": TAG.upper(), "name": "Other"}]},
        ("tag_repeated", ".tags[1].id"),
    ),
    _changes("U+0000 in a tag's name", {"tags": [{"id": TAG, "name": "\0"}]}, ("text_nul", ".tags[0].name")),
    _changes(
        "half a surrogate pair in a tag's name",
        {"tags": [{"id": TAG, "name": "\ud800"}]},
        ("text_lone_surrogate", ".tags[0].name"),
    ),
)

PLAIN = (*_NOT_READABLE, *_KEYS, *_CUSTOMERS, *_DOCUMENTS, *_FIELDS, *_EMAILS, *_TAGS)

"""Good commands, in every way that a publisher may write them."""

import base64
import json

from data.command_rows import CUSTOMER, binary_headers, envelope
from handlers.record import CommandRecord, Headers

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CHANGES = {"email": "billing@acme.test", "phone": None, "city": "Århus"}
ENVELOPE_LABEL = ("content-type", b"application/cloudevents+json; charset=UTF-8")


def record(value: object, headers: Headers = (), key: bytes | None = CUSTOMER.encode()) -> CommandRecord:
    """A record of the command topic; *value* is bytes, or what JSON is made from."""
    encoded = value if isinstance(value, bytes) else json.dumps(value).encode()
    return CommandRecord("customer.update", 3, 42, 1_795_433_736_390, key, encoded, headers)


def plain(changes: object = CHANGES) -> dict[str, object]:
    """A plain command's JSON object."""
    return {"customer_id": CUSTOMER, "changes": changes}


BINARY_HEADERS: Headers = (
    *binary_headers("order-17", priority=b"bulk", expirytime=b"2026-11-23T18:00:00+01:00", correlationid=b"case-9"),
    ("ce_time", b"whatever"),
    ("ce_shoesize", b"\xff"),
    ("content-type", b"application/json"),
    ("traceparent", TRACEPARENT.encode()),
)
IN_ENVELOPE = envelope(
    "order-17",
    data=plain(),
    priority="bulk",
    expirytime="2026-11-23T18:00:00+01:00",
    correlationid="case-9",
    traceparent=TRACEPARENT,
    shoesize=43,
    comment=None,
    urgent=False,
    ratio=0.5,
)
IN_BASE64: dict[str, object] = {
    **{name: value for name, value in IN_ENVELOPE.items() if name != "data"},
    "data_base64": base64.b64encode(json.dumps(plain()).encode()).decode(),
}

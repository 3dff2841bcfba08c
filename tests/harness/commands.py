"""Commands as publishers make them, and customers as the upstream holds them."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.topics import Message

Header = tuple[str, bytes]

VIP = {"id": "00000000-0000-4000-8000-000000000051", "name": "VIP"}
ENTERPRISE = {"id": "00000000-0000-4000-8000-000000000052", "name": "Enterprise"}
LATE = {"id": "00000000-0000-4000-8000-000000000053", "name": "Late"}
UNKNOWN_TAG = {"id": "00000000-0000-4000-8000-0000000000ff", "name": "Nobody knows"}


def command(
    customer_id: str,
    headers: Sequence[Header] = (),
    *,
    partition: int | None = None,
    changes: Mapping[str, object] | None = None,
    **more_changes: object,
) -> Message:
    """A command that asks for *changes* and *more_changes*, by the names of the contract."""
    value = {"customer_id": customer_id, "changes": {**(changes or {}), **more_changes}}
    return Message(customer_id, value, headers=tuple(headers), partition=partition)


def cloud_event(event_id: str, source: str = "/tests", **extensions: str) -> tuple[Header, ...]:
    """The headers of a command in binary mode; *extensions* such as priority, expirytime, correlationid."""
    attributes = {"specversion": "1.0", "id": event_id, "source": source, "type": "customer.update", **extensions}
    return tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())


def full_customer(customer_id: str, mark: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON of any shape
    """A customer with something in every field that a command can change; *mark* tells it from others."""
    return {
        "id": customer_id,
        "name": f"Name {mark}",
        "email": f"mail-{mark}@people.test",
        "phone": f"+46 8 {mark}",
        "website": f"https://{mark}.people.test",
        "country": "Sweden",
        "addressLine1": f"Street {mark}",
        "addressLine2": f"Stair {mark}",
        "city": f"City {mark}",
        "state": f"State {mark}",
        "zip": f"zip-{mark}",
        "note": f"Note {mark}",
        "vatNumber": f"SE-{mark}",
        "countryCode": "SE",
        "contact": f"Contact {mark}",
        "tags": [VIP, LATE],
        **fields,
    }

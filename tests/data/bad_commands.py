"""Records that are no commands, each with the reason and the problems that its dead letter must give.

Every row is a mistake that a publisher can make. Published one after another (to one partition as well), each ends in a
dead letter of its own: no two share CloudEvents source and id.

Rows are full of values that must never be repeated: `PERSONAL` lists them.
"""

import json

from data.bad_cloudevents import CLOUDEVENTS
from data.bad_plain_commands import PLAIN
from data.command_rows import EMAIL, OTHER_CUSTOMER, PERSON, PERSONAL, STREET, TAG, BadCommand, command

__all__ = ["BAD_COMMANDS", "PERSONAL", "BadCommand"]

_MANY_AT_ONCE = (
    BadCommand(
        "every part wrong in its own way",
        json.dumps(
            {
                "customer_id": OTHER_CUSTOMER.upper(),
                "changes": {
                    "name": " ",
                    "email": PERSON,
                    "phone": 46701234567,
                    "tags": [{"id": PERSON, "name": None}, {"id": TAG, "name": "VIP"}, {"id": TAG, "name": "VIP"}],
                    "addres_line1": STREET,
                    "vat_number": "1",
                    "vatNumber": "2",
                },
                "customer": PERSON,
            }
        ).encode(),
        (
            ("key_malformed", "key"),
            ("attribute_missing", "header ce_type"),
            ("specversion_unsupported", "header ce_specversion"),
            ("customer_id_malformed", "$.customer_id"),
            ("name_blank", "$.changes.name"),
            ("email_malformed", "$.changes.email"),
            ("wrong_type", "$.changes.phone"),
            ("wrong_type", "$.changes.tags[0].name"),
            ("tag_id_malformed", "$.changes.tags[0].id"),
            ("tag_repeated", "$.changes.tags[2].id"),
            ("unknown_field", "$.changes.addres_line1"),
            ("spelled_twice", "$.changes.vat_number"),
            ("unknown_field", "$.customer"),
        ),
        key=PERSON.encode(),
        headers=(("ce_specversion", b"1"), ("ce_id", b"bad-m01"), ("ce_source", b"/crm")),
        command_id="bad-m01",
        customer_id=None,
    ),
    BadCommand(
        "more wrong fields than anybody wants to read",
        command({f"field_{'abcdefghij'[n % 10]}_{'abcdefghij'[n // 10 % 10]}{n // 100}": EMAIL for n in range(1000)}),
        (
            *(
                ("unknown_field", f"$.changes.field_{'abcdefghij'[n % 10]}_{'abcdefghij'[n // 10]}0")
                for n in range(100)
            ),
            ("more_problems", "$"),
        ),
    ),
)


BAD_COMMANDS = (*PLAIN, *CLOUDEVENTS, *_MANY_AT_ONCE)

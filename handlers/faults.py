"""Everything that can go wrong, in one registry: code, meaning, whose fault, what to do.

Error texts, dead-letter reasons, metrics labels, help texts and docs/errors.md are made from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Reason(StrEnum):
    """Why a command became a dead letter: the header ``dlq-reason``."""

    UNDECODABLE = "undecodable"
    INVALID = "invalid"
    UNKNOWN_CUSTOMER = "unknown_customer"
    REJECTED = "rejected"
    RETRIES_EXHAUSTED = "retries_exhausted"
    CONTRACT = "contract"
    EXPIRED = "expired"
    TOO_LARGE = "too_large"


class Whose(StrEnum):
    """Who has to act."""

    PUBLISHER = "publisher"
    UPSTREAM = "upstream"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of thing that goes wrong. *reason* is None where no command is dead-lettered for it."""

    code: str
    reason: Reason | None
    whose: Whose
    meaning: str
    advice: str


def _faults(reason: Reason | None, whose: Whose, texts: Mapping[str, tuple[str, str]]) -> dict[str, Fault]:
    return {code: Fault(code, reason, whose, meaning, advice) for code, (meaning, advice) in texts.items()}


_UNDECODABLE = _faults(
    Reason.UNDECODABLE,
    Whose.PUBLISHER,
    {
        "value_missing": (
            "the record has no value (a tombstone)",
            "Customers cannot be deleted here; publish a command with changes.",
        ),
        "value_empty": ("the value is empty", "Publish a JSON object with customer_id and changes."),
        "not_utf8": ("the value is not UTF-8", "Encode the JSON as UTF-8."),
        "byte_order_mark": ("the value starts with a byte order mark", "Encode as UTF-8 without one."),
        "not_json": ("the value is not JSON (RFC 8259)", "Write it with a JSON encoder; NaN is no JSON either."),
        "too_deep": ("the value nests too deep to be read", "A command needs four levels, in an envelope five."),
        "base64_malformed": ("data_base64 is not base64 (RFC 4648)", "Use the standard alphabet, with padding."),
        "key_not_utf8": ("the key is not UTF-8", "Use the customer's id as a text serializer writes it."),
    },
)
_INVALID = _faults(
    Reason.INVALID,
    Whose.PUBLISHER,
    {
        "key_missing": ("the record has no key", "Use the customer's id as the key: it keeps the order."),
        "key_malformed": ("the key is not a UUID in lower case", "Use the customer's id as it is, without quotes."),
        "customer_id_missing": ("the command names no customer", "Add customer_id, the same as the key."),
        "customer_id_malformed": ("not a UUID in lower case (RFC 9562)", "Use the customer's id as the API gives it."),
        "customer_id_differs": ("key and customer_id are not the same", "Use the customer's id for both."),
        "wrong_type": ("a value of another type is needed here", "See the command's JSON Schema."),
        "unknown_field": (
            "nobody knows this field",
            "Correct or remove it; unknown fields are never dropped silently.",
        ),
        "spelled_twice": ("one field in both spellings", "Use snake_case or camelCase, not both."),
        "name_repeated": ("a name occurs more than once in one object", "Name each field once."),
        "changes_missing": ("the command has no changes", "Add changes, an object with at least one field."),
        "changes_empty": ("changes is empty", "Name at least one field, or do not publish the command."),
        "null_not_allowed": ("this field cannot be cleared", "Give a value or leave it out; [] removes all tags."),
        "name_blank": ("the name is blank", "Give a name or leave the field out."),
        "email_malformed": ("not an e-mail address that the upstream takes", "Give one address in ASCII."),
        "text_nul": ("the text contains U+0000", "Remove the character; the upstream cannot store it."),
        "text_lone_surrogate": ("the text contains half a surrogate pair", "Cut texts between characters."),
        "tag_incomplete": ("a tag needs its id and its name", "Give both, as the API lists them."),
        "tag_id_malformed": ("the tag's id is not a UUID (RFC 9562)", "Use the tag's id as the API gives it."),
        "tag_repeated": ("the same tag occurs twice", "Name each tag once."),
        "attribute_missing": (
            "CloudEvents attributes come all or not at all",
            "Give specversion, id, source and type, or none of them.",
        ),
        "attribute_malformed": ("not a value of this CloudEvents attribute", "See CloudEvents 1.0, type system."),
        "attribute_conflict": ("header and envelope give different values", "Give the attribute once, or alike."),
        "specversion_unsupported": ("not CloudEvents 1.0", "Set specversion to 1.0."),
        "type_unsupported": ("this topic takes events of one type alone", "Set type to customer.update."),
        "priority_malformed": ("priority is neither live nor bulk", "Use one of them, or leave it out for live."),
        "expirytime_malformed": ("expirytime is not a time of RFC 3339", "Write it like 2026-11-23T18:00:00Z."),
        "header_repeated": ("a header that may come once comes more often", "Set it once."),
        "data_missing": ("the CloudEvents envelope has no data", "Put the command into data or data_base64."),
        "data_twice": ("the envelope has both data and data_base64", "Give one of them."),
        "replay_malformed": (
            "dlq-command-id and dlq-replay (a number from 1) come together",
            "Set both on a replay; to publish anew, drop all dlq- headers.",
        ),
        "more_problems": ("not all problems are listed", "Correct these first."),
        "id_reused": (
            "another command has the same source and id",
            "Give each command an id of its own; check whether this change got lost.",
        ),
    },
)
_PUBLISHER = (
    _faults(
        Reason.UNKNOWN_CUSTOMER,
        Whose.PUBLISHER,
        {
            "customer_not_found": (
                "the upstream knows no such customer, or this token may not see it",
                "Check the id and the team; nothing was created. Replay once the customer exists.",
            )
        },
    )
    | _faults(
        Reason.REJECTED,
        Whose.PUBLISHER,
        {
            "upstream_rejected": (
                "the upstream refused the change",
                "Correct what it names and publish again, with a new id.",
            )
        },
    )
    | _faults(
        Reason.EXPIRED,
        Whose.PUBLISHER,
        {
            "command_expired": (
                "the command had not begun by its expirytime",
                "Replay it if it still matters; a replay does not expire. After a crash it may have been applied.",
            )
        },
    )
    | _faults(
        Reason.TOO_LARGE,
        Whose.PUBLISHER,
        {
            "outcome_too_large": (
                "Kafka refused the event as too large; the change was applied",
                "Raise max.message.bytes of the events topic, then replay; a replay changes nothing more.",
            )
        },
    )
    | _faults(
        None,
        Whose.PUBLISHER,
        {
            "duplicate_command": (
                "a copy of a command that was settled before",
                "Nothing to do: it had its outcome.",
            ),
            "wrong_partition": (
                "the record is not on the partition of its key by murmur2; it was applied",
                "Set partitioner=murmur2_random in librdkafka clients, or one customer's order is not kept.",
            ),
        },
    )
)
_UPSTREAM = (
    _faults(
        Reason.RETRIES_EXHAUSTED,
        Whose.UPSTREAM,
        {
            "retries_exhausted": (
                "the upstream gave no usable answer within the retry policy",
                "Replay once it answers again; it may have been applied in part.",
            ),
            "poison_suspected": (
                "the upstream answered 500 again and again to this command while others went through",
                "Look for a tag that was deleted; it may have been applied in part.",
            ),
            "customer_unreadable": (
                "the upstream answered 500 again and again to reading this customer while others could be read",
                "Look at the customer upstream (a malformed e-mail address?), then replay; nothing was changed.",
            ),
        },
    )
    | _faults(
        Reason.CONTRACT,
        Whose.UPSTREAM,
        {
            "contract_broken": (
                "a 2xx answer that is no UpdateCustomerResponse",
                "Compare the API's release with the contract; the change was probably applied.",
            ),
            "response_not_json": ("the answer is not JSON in UTF-8", "Check what answers under the base URL."),
            "response_field_missing": ("the answer lacks a field", "Compare the API's release with the contract."),
            "response_wrong_type": ("a field of another type", "Compare the API's release with the contract."),
            "response_created_at": ("not a point in time with its offset", "Compare the API's release."),
            "response_text": ("a text that is not Unicode", "Look at the customer in the upstream's database."),
            "response_of_another": ("the answer is about another customer", "Check proxies and caches in between."),
        },
    )
    | _faults(
        None,
        Whose.UPSTREAM,
        {
            "rate_limited": ("the upstream's rate limit is used up (429)", "Nothing: the worker waits as told."),
            "circuit_open": (
                "most requests of several customers fail; consuming pauses",
                "Nothing: probes find out when the upstream is back.",
            ),
            "upstream_error": ("the upstream answered 5xx", "Nothing: it is tried again by the policy."),
            "upstream_timeout": ("no answer before the deadline", "Nothing: it is tried again by the policy."),
            "upstream_unreachable": (
                "no connection to the upstream",
                "It is tried again; if it lasts, check address, DNS, TLS and network policy.",
            ),
            "connection_lost": ("the connection ended before the answer", "Nothing: it is tried again."),
            "protocol_error": ("what came back is not HTTP", "Check what answers under the base URL."),
            "response_too_large": ("the answer is larger than the client reads", "Look at the customer upstream."),
        },
    )
)
_DEPLOYMENT = _faults(
    None,
    Whose.DEPLOYMENT,
    {
        "token_refused": (
            "the upstream refused the token (401); consuming pauses",
            "Correct UPSTREAM_TOKEN; a corrected UPSTREAM_TOKEN_FILE is taken up without a restart.",
        ),
        "scope_missing": (
            "the token may not read or write customers (403); consuming pauses",
            "Give it customers.read and customers.write.",
        ),
        "redirected": ("the upstream redirects (3xx); consuming pauses", "Correct UPSTREAM_BASE_URL."),
        "wrong_deployment": (
            "no customer was ever found or readable here; consuming pauses",
            "Check UPSTREAM_BASE_URL and whose token it is.",
        ),
        "settings_invalid": ("the settings are not valid", "Correct the variables that the message names."),
        "kafka_unavailable": ("Kafka cannot be reached", "Check KAFKA_BOOTSTRAP_SERVERS and the network."),
        "topic_unusable": ("a topic is missing or set so that it loses commands", "Run customer-sync check."),
        "partition_lost": (
            "another worker took the partition over; nothing is lost",
            "Nothing if it is rare; otherwise look at pauses and session timeouts.",
        ),
        "dead_letter_refused": (
            "Kafka refused a dead letter as too large; the partition stops",
            "Raise max.message.bytes of the dead-letter topic (topics create sets it).",
        ),
    },
)

FAULTS: Mapping[str, Fault] = MappingProxyType(_UNDECODABLE | _INVALID | _PUBLISHER | _UPSTREAM | _DEPLOYMENT)
"""Every kind of fault by its code."""


def markdown() -> str:
    """The registry as docs/errors.md."""
    lines = [
        "# What can go wrong",
        "",
        "Made from `handlers/faults.py`; a test compares. The code of a problem stands in brackets at the end of its",
        "text, as in the header `dlq-error`. *Dead letter* is the header `dlq-reason`; a dash: no command ends there.",
    ]
    for whose in Whose:
        lines += ["", f"## The {whose}", "", "| code | dead letter | what it means | what to do |", "|---|---|---|---|"]
        lines += [
            f"| `{fault.code}` | {f'`{fault.reason}`' if fault.reason else '–'} | {fault.meaning} | {fault.advice} |"
            for fault in FAULTS.values()
            if fault.whose is whose
        ]
    return "\n".join(lines) + "\n"

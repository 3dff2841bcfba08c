"""What the value of a single setting may look like, as types that pydantic checks and converts to.

A refusal says what the value must be and never repeats it: whoever reports it knows which values are secret.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

MIB: Final = 1024 * 1024
_SIZE_UNITS: Final = {"": 1, "b": 1, "kib": 1024, "mib": MIB, "gib": 1024 * MIB}


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _kafka_name(value: str) -> str:
    # Kafka's own rule for topics and for group instance ids (org.apache.kafka.common.internals.Topic).
    if not re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", value) or value in {".", ".."}:
        raise ValueError("must be 1 to 249 of the characters a-z A-Z 0-9 . _ -")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _bootstrap_servers(value: str) -> str:
    servers = [server.strip() for server in value.split(",")]
    for server in servers:
        match = re.fullmatch(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", server)
        if match is None or not 0 < int(match[1]) < 65_536:
            raise ValueError("must be host:port, several separated by commas, without a scheme")
    return ",".join(servers)


def _base_url(value: str) -> str:
    # The value is left out of every message: a mistaken address can carry a password.
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("must be a URL such as https://api.midday.ai") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or re.search(r"[\s\x00-\x1f]", value):
        raise ValueError("must be a URL such as https://api.midday.ai")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not carry a user or password; the token goes into UPSTREAM_TOKEN")
    if "?" in value or "#" in value:
        raise ValueError("must end with its path, without ? or #")
    return value.rstrip("/")


def _collector_url(value: str) -> str:
    try:
        return _base_url(value)
    except ValueError:
        raise ValueError("must be a URL such as http://collector:4318, without a user or password") from None


def _http_headers(value: SecretStr) -> SecretStr:
    # The OTLP exporter's own form: W3C Baggage without its properties, values percent-encoded.
    pairs = value.get_secret_value().strip().rstrip(",").split(",")
    if not all(re.fullmatch(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+\s*=[\x20-\x7e]*", pair) for pair in pairs):
        raise ValueError("must be name=value, several separated by commas, values percent-encoded")
    return value


def _token(value: SecretStr) -> SecretStr:
    # RFC 6750 section 2.1 allows fewer characters still; what matters is that the token stays within one header field.
    token = value.get_secret_value().strip()
    if not re.fullmatch(r"[\x21-\x7e]{1,4096}", token):
        raise ValueError("must be the bare token: ASCII without blanks, without 'Bearer' before it")
    return SecretStr(token)


def _size(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9]{1,15})\s*([A-Za-z]*)\s*", value)
    if match is None or match[2].lower() not in _SIZE_UNITS:
        raise ValueError("must be a number of bytes, such as 33554432 or 32MiB")
    return int(match[1]) * _SIZE_UNITS[match[2].lower()]


def _enough_for_a_command(value: int) -> int:
    # A command needs a GET and a PATCH, and begins only when the budget grants both.
    if value == 1:
        raise ValueError("must be 0 (no limit) or >= 2, since a command takes two requests")
    return value


def _readable_file(value: Path) -> Path:
    try:
        with value.open("rb"):
            return value
    except OSError as error:
        raise ValueError(f"names a file that cannot be read ({error.strerror})") from None


Text = Annotated[str, AfterValidator(_not_blank)]
KafkaName = Annotated[str, AfterValidator(_kafka_name)]
BootstrapServers = Annotated[str, AfterValidator(_bootstrap_servers)]
SecurityProtocol = Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)]
SaslMechanism = Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)]
ReadableFile = Annotated[Path, AfterValidator(_readable_file)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
CollectorUrl = Annotated[str, AfterValidator(_collector_url)]
HttpHeaders = Annotated[SecretStr, AfterValidator(_http_headers)]
Sampler = Annotated[
    Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ],
    BeforeValidator(_lower),
]
Token = Annotated[SecretStr, AfterValidator(_token)]
RateLimit = Annotated[int, Field(ge=0), AfterValidator(_enough_for_a_command)]
Size = Annotated[int, BeforeValidator(_size)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Delivery = Annotated[Literal["exactly_once", "at_least_once"], BeforeValidator(_lower)]
FieldCase = Annotated[Literal["snake", "camel"], BeforeValidator(_lower)]
ExtraFields = Annotated[Literal["drop", "keep"], BeforeValidator(_lower)]
LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)]
LogFormat = Annotated[Literal["json", "console"], BeforeValidator(_lower)]

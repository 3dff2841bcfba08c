"""The settings: one attribute for each environment variable, checked all at once before anything starts.

The environment is the only source. A variable that is set but empty counts as not set, because that is what compose
files and charts make of an optional value. A secret can also come from a file, named by the variable with `_FILE`
behind it. What this module says about a value never contains a secret.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsConfigDict

from worker.kafka_settings import KafkaSettings, load_certificate
from worker.setting_values import (
    MIB,
    BaseUrl,
    CollectorUrl,
    Delivery,
    ExtraFields,
    FieldCase,
    HttpHeaders,
    KafkaName,
    LogFormat,
    LogLevel,
    RateLimit,
    Sampler,
    Seconds,
    Size,
    Text,
    Token,
)

SECRETS: Final = ("kafka_sasl_username", "kafka_sasl_password", "upstream_token", "otel_exporter_otlp_headers")
"""Attributes whose variable can also be given as a file."""

_ADDRESSES: Final = ("upstream_base_url", "otel_exporter_otlp_endpoint", "otel_exporter_otlp_traces_endpoint")
# A mistaken one can carry a password.

_LARGEST_SECRET_BYTES: Final = 65_536
_LONGEST_ECHO: Final = 60


class Settings(KafkaSettings):
    """Everything that can be set, in the order of the reference table; each description is the help text."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    commands_topic: KafkaName = Field("customer.update", description="Topic the commands are read from.")
    events_topic: KafkaName = Field("customer.updated", description="Topic of the events.")
    dead_letter_topic: KafkaName = Field("customer.update.dlq", description="Topic of the commands that failed.")

    upstream_base_url: BaseUrl = Field("https://api.midday.ai", description="Address of the API, without `/customers`.")
    upstream_token: Token | None = Field(
        None, description="API token with the scopes customers.read and customers.write. Required to run."
    )
    upstream_token_file: Path | None = Field(
        None, description="File that holds the API token; read again when it changes."
    )
    upstream_timeout_seconds: float = Field(
        10, gt=0, le=300, allow_inf_nan=False, description="Longest time one request may take in all."
    )
    upstream_rate_limit: RateLimit = Field(
        1000,
        description="Requests a window for all replicas together; 0 = no limit. "
        "The upstream's answers can lower it, never raise it.",
    )
    upstream_rate_window_seconds: Seconds = Field(600, description="Length of the rate limit's window.")
    upstream_max_concurrency: int = Field(
        64, ge=1, le=4096, description="Most requests of one replica under way at once."
    )

    retry_initial_seconds: Seconds = Field(0.5, description="First wait of the retry policy.")
    retry_multiplier: float = Field(
        1.5, ge=1, le=100, allow_inf_nan=False, description="Factor from one wait to the next."
    )
    retry_max_seconds: Seconds = Field(60, description="Longest wait.")
    retry_max_elapsed_seconds: Seconds = Field(300, description="After this long a failing command is given up.")

    delivery: Delivery = Field(
        "exactly_once", description="`exactly_once`, or `at_least_once` for brokers without transactions."
    )
    commit_interval_ms: int = Field(
        10, ge=0, le=10_000, description="Longest time a finished outcome waits for company, in milliseconds."
    )
    coalesce: bool = Field(
        default=True, description="Whether waiting commands of one customer are applied as one GET and one PATCH."
    )
    bulk_share: float = Field(
        0.2,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Share of the requests for bulk commands while live ones wait.",
    )
    read_ahead_bytes: Size = Field(
        32 * MIB,
        ge=65_536,
        description="Memory for the waiting commands of one partition, in bytes or as `32MiB`; "
        "a process holds at most twice as much.",
    )
    deduplication_window: int = Field(
        10_000, ge=0, le=10_000_000, description="Offsets of a partition within which a repeated command is recognised."
    )

    event_field_case: FieldCase = Field(
        "snake", description="Names in events: `snake` (`vat_number`) or `camel` (`vatNumber`)."
    )
    event_extra_fields: ExtraFields = Field(
        "drop", description="`drop` or `keep` what a newer upstream adds; it may be personal or financial."
    )

    http_host: Text = Field(
        "0.0.0.0",  # noqa: S104  # probes and scrapers reach a pod by its own address
        description="Address that probes, metrics and pages are served on.",
    )
    http_port: int = Field(8080, ge=0, le=65_535, description="Port of the same; 0 = any free one.")
    log_level: LogLevel = Field("INFO", description="`DEBUG`, `INFO`, `WARNING` or `ERROR`.")
    log_format: LogFormat = Field("json", description="`json`, one object a line, or `console` for people.")
    shutdown_grace_seconds: float = Field(
        25,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Time after SIGTERM to finish what is under way; keep it below the pod's termination grace period.",
    )

    otel_exporter_otlp_endpoint: CollectorUrl | None = Field(
        None, description="Collector of traces, by OTLP over HTTP: `http://collector:4318`. Not set: nothing is traced."
    )
    otel_exporter_otlp_traces_endpoint: CollectorUrl | None = Field(
        None, description="The same as a whole address, with its path: `http://collector:4318/v1/traces`."
    )
    otel_exporter_otlp_protocol: Literal["http/protobuf"] = Field(
        "http/protobuf", description="`http/protobuf` is the only one there is."
    )
    otel_exporter_otlp_headers: HttpHeaders | None = Field(
        None, description="Headers for the collector, such as an API key: `name=value`, separated by commas."
    )
    otel_exporter_otlp_headers_file: Path | None = Field(None, description="File that holds these headers.")
    otel_sdk_disabled: bool = Field(default=False, description="Whether tracing is off although a collector is set.")
    otel_traces_exporter: Literal["otlp", "none"] = Field("otlp", description="`otlp`, or `none` for no tracing.")
    otel_traces_sampler: Sampler = Field(
        "parentbased_always_on",
        description="Which commands are traced. `parentbased_traceidratio`: those whose publisher decided so, and of "
        "those without a `traceparent` a share.",
    )
    otel_traces_sampler_arg: float = Field(
        1, ge=0, le=1, allow_inf_nan=False, description="That share, 0 to 1, for the samplers that take one."
    )
    otel_service_name: Text = Field("customer-sync", description="Name of this deployment in traces.")
    otel_resource_attributes: Text | None = Field(
        None, description="More about it, such as `deployment.environment.name=production`."
    )
    otel_bsp_max_queue_size: int = Field(
        2048, ge=1, le=1_000_000, description="Spans that wait for the collector at most; more are dropped and counted."
    )

    @property
    def is_traced(self) -> bool:
        """Whether spans are made and exported."""
        endpoint = self.otel_exporter_otlp_traces_endpoint or self.otel_exporter_otlp_endpoint
        return endpoint is not None and not self.otel_sdk_disabled and self.otel_traces_exporter != "none"

    @property
    def desk_topic(self) -> str:
        """Topic of the decisions about dead letters."""
        return f"{self.dead_letter_topic}.desk"

    @property
    def read_ahead_bytes_of_process(self) -> int:
        """Memory for the waiting commands of all partitions together."""
        return 2 * self.read_ahead_bytes


@dataclass(frozen=True, slots=True)
class SettingFault:
    """One thing wrong with the environment: the variables it concerns, and what to do about them."""

    variables: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{', '.join(self.variables)}: {self.message}"


class SettingsInvalid(Exception):
    """The environment cannot be used; *faults* holds everything that is wrong with it, a line each as text."""

    def __init__(self, faults: Sequence[SettingFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


def load_settings(*, token_required: bool = True) -> Settings:
    """The settings of this process's environment.

    Commands that leave the upstream alone do without a token. Raises `SettingsInvalid` with every fault there is.
    """
    given, faults = _secrets_from_files()
    settings, more = _validated(given)
    faults += more
    faulty = {variable for fault in faults for variable in fault.variables}
    faulty |= {variable.removesuffix("_FILE") for variable in faulty}
    contradictions = list(_contradictions(settings))
    if token_required and settings.upstream_token is None:
        contradictions.append(
            SettingFault(("UPSTREAM_TOKEN",), "is required, or UPSTREAM_TOKEN_FILE with a file that holds it")
        )
    faults += [fault for fault in contradictions if faulty.isdisjoint(fault.variables)]
    if not faults:
        return settings
    order = {variable_of(name): position for position, name in enumerate(Settings.model_fields)}
    raise SettingsInvalid(sorted(faults, key=lambda fault: order[fault.variables[0]]))


def settings_warnings(settings: Settings, environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What is allowed but probably not meant: misspelt variables, a token sent in the clear, too short a grace."""
    warnings = list(_misspelt(os.environ if environment is None else environment))
    address = urlsplit(settings.upstream_base_url)
    if address.scheme == "http" and address.hostname not in {"localhost", "127.0.0.1", "::1"}:
        warnings.append("UPSTREAM_BASE_URL: http sends the token in the clear; use https outside a trusted network.")
    if settings.kafka_security_protocol == "SASL_PLAINTEXT" and settings.kafka_sasl_mechanism == "PLAIN":
        warnings.append("KAFKA_SECURITY_PROTOCOL: SASL_PLAINTEXT with PLAIN sends the password in the clear.")
    if settings.shutdown_grace_seconds < settings.upstream_timeout_seconds:
        warnings.append(
            "SHUTDOWN_GRACE_SECONDS: is shorter than UPSTREAM_TIMEOUT_SECONDS, so a shutdown can cut off requests."
        )
    return tuple(warnings)


def variable_of(name: str) -> str:
    """The environment variable of the attribute *name*."""
    return name.upper()


def _secrets_from_files() -> tuple[dict[str, object], list[SettingFault]]:
    given: dict[str, object] = {}
    faults: list[SettingFault] = []
    for name in SECRETS:
        variable = variable_of(name)
        path = os.environ.get(f"{variable}_FILE", "")
        if not path:
            continue
        if os.environ.get(variable):
            faults.append(SettingFault((variable, f"{variable}_FILE"), "both are given; remove one"))
            continue
        try:
            with Path(path).open("rb") as file:
                content = file.read(_LARGEST_SECRET_BYTES).decode().rstrip("\r\n")
        except OSError as error:
            faults.append(SettingFault((f"{variable}_FILE",), f"the file cannot be read ({error.strerror})"))
        except ValueError:
            faults.append(SettingFault((f"{variable}_FILE",), "the file is not UTF-8 text"))
        else:
            if content.strip():
                given[name] = content
            else:
                faults.append(SettingFault((f"{variable}_FILE",), "the file is empty"))
    return given, faults


def _validated(given: Mapping[str, Any]) -> tuple[Settings, list[SettingFault]]:
    """The settings and their faults; faulty ones stand at their default, so that the rest can be checked on."""
    try:
        return Settings(**given), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    faulty = {str(detail["loc"][0]): detail for detail in details}
    faults = [_fault(name, detail, from_file=name in given) for name, detail in faulty.items()]
    return Settings(**{**given, **{name: Settings.model_fields[name].default for name in faulty}}), faults


def _fault(name: str, detail: ErrorDetails, *, from_file: bool) -> SettingFault:
    variable = variable_of(name)
    field = Settings.model_fields[name]
    got = ""
    if name not in SECRETS and name not in _ADDRESSES:
        value = os.environ.get(variable, "")
        got = f", got {value[:_LONGEST_ECHO]!r}{'…' if len(value) > _LONGEST_ECHO else ''}"
        if value.startswith("tcp://"):
            got += " (a Kubernetes service link: set enableServiceLinks: false)"
    default = "" if field.default is None else f" Default: {field.default}."
    message = f"{_requirement(detail)}{got}. {field.description}{default}"
    return SettingFault((f"{variable}_FILE" if from_file else variable,), message)


def _requirement(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "int_parsing" | "int_from_float" | "int_parsing_size":
            return "must be a whole number"
        case "float_parsing" | "finite_number":
            return "must be a number"
        case "bool_parsing":
            return "must be true or false"
        case "greater_than":
            return f"must be > {context['gt']:.15g}"
        case "greater_than_equal":
            return f"must be >= {context['ge']:.15g}"
        case "less_than":
            return f"must be < {context['lt']:.15g}"
        case "less_than_equal":
            return f"must be <= {context['le']:.15g}"
        case "literal_error":
            return f"must be one of {context['expected'].replace(chr(39), '')}"
        case "value_error":
            return str(context["error"])
        case _:
            return detail["msg"]


def _contradictions(settings: Settings) -> Iterator[SettingFault]:
    protocol = settings.kafka_security_protocol
    for name in ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"):
        given = getattr(settings, name) is not None
        if given != settings.uses_sasl:
            complaint = "has no effect" if given else "is required"
            yield SettingFault(
                (variable_of(name), "KAFKA_SECURITY_PROTOCOL"), f"{complaint} with the protocol {protocol}"
            )
    for name in ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile"):
        if getattr(settings, name) is not None and not settings.uses_tls:
            yield SettingFault(
                (variable_of(name), "KAFKA_SECURITY_PROTOCOL"), f"has no effect with the protocol {protocol}"
            )
    yield from _certificate_faults(settings)
    if settings.retry_max_seconds < settings.retry_initial_seconds:
        yield SettingFault(("RETRY_MAX_SECONDS", "RETRY_INITIAL_SECONDS"), "the longest wait is shorter than the first")
    if len({settings.commands_topic, settings.events_topic, settings.dead_letter_topic}) < 3:
        yield SettingFault(("COMMANDS_TOPIC", "EVENTS_TOPIC", "DEAD_LETTER_TOPIC"), "must be three different topics")


def _certificate_faults(settings: Settings) -> Iterator[SettingFault]:
    authorities, certificate, key = settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authorities is not None:
        try:
            context.load_verify_locations(cafile=authorities)
        except OSError:
            yield SettingFault(("KAFKA_SSL_CAFILE",), "the file holds no PEM certificate")
    if key is not None and certificate is None:
        yield SettingFault(("KAFKA_SSL_KEYFILE", "KAFKA_SSL_CERTFILE"), "a key needs its certificate")
    if certificate is not None:
        try:
            load_certificate(context, certificate, key)
        except OSError:
            yield SettingFault(
                ("KAFKA_SSL_CERTFILE", "KAFKA_SSL_KEYFILE"), "hold no PEM certificate with its unencrypted key"
            )


def _misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    known = [variable_of(name) for name in Settings.model_fields]
    prefixes = tuple({variable.split("_", 1)[0] + "_" for variable in known} - {"HTTP_", "LOG_", "BULK_", "READ_"})
    for variable in sorted(environment):
        name = variable.upper()
        if name in known or name.startswith("OTEL_"):  # OpenTelemetry has many more of its own
            continue
        # Kubernetes adds KAFKA_SERVICE_HOST and its like for every service; only what comes close is a slip.
        meant = get_close_matches(name, known, n=1, cutoff=0.8 if name.startswith(prefixes) else 0.9)
        if meant:
            yield f"{variable}: is not a setting; did you mean {meant[0]}?"

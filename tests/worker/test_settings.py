"""Settings: every variable of the contract, faults all at once and by name, secrets never in sight."""

import shutil
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from worker.settings import SECRETS, Settings, SettingsInvalid, load_settings, settings_warnings, variable_of

SECRET = "planted=secret-4711"
TOKEN = {"UPSTREAM_TOKEN": SECRET}
SASL = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "planted-user",
    "KAFKA_SASL_PASSWORD": SECRET,
}
DEFAULTS = {
    "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
    "KAFKA_GROUP_ID": "customer-sync",
    "KAFKA_GROUP_INSTANCE_ID": None,
    "KAFKA_CLIENT_ID": "customer-sync",
    "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
    "KAFKA_SASL_MECHANISM": None,
    "KAFKA_SASL_USERNAME": None,
    "KAFKA_SASL_PASSWORD": None,
    "KAFKA_SSL_CAFILE": None,
    "KAFKA_SSL_CERTFILE": None,
    "KAFKA_SSL_KEYFILE": None,
    "COMMANDS_TOPIC": "customer.update",
    "EVENTS_TOPIC": "customer.updated",
    "DEAD_LETTER_TOPIC": "customer.update.dlq",
    "UPSTREAM_BASE_URL": "https://api.midday.ai",
    "UPSTREAM_TIMEOUT_SECONDS": 10,
    "UPSTREAM_RATE_LIMIT": 1000,
    "UPSTREAM_RATE_WINDOW_SECONDS": 600,
    "UPSTREAM_MAX_CONCURRENCY": 64,
    "RETRY_INITIAL_SECONDS": 0.5,
    "RETRY_MULTIPLIER": 1.5,
    "RETRY_MAX_SECONDS": 60,
    "RETRY_MAX_ELAPSED_SECONDS": 300,
    "DELIVERY": "exactly_once",
    "COMMIT_INTERVAL_MS": 10,
    "COALESCE": True,
    "BULK_SHARE": 0.2,
    "READ_AHEAD_BYTES": 32 * 1024 * 1024,
    "DEDUPLICATION_WINDOW": 10_000,
    "EVENT_FIELD_CASE": "snake",
    "EVENT_EXTRA_FIELDS": "drop",
    "HTTP_HOST": "0.0.0.0",
    "HTTP_PORT": 8080,
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "json",
    "SHUTDOWN_GRACE_SECONDS": 25,
    "OTEL_EXPORTER_OTLP_ENDPOINT": None,
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": None,
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_HEADERS": None,
    "OTEL_SDK_DISABLED": False,
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_TRACES_SAMPLER": "parentbased_always_on",
    "OTEL_TRACES_SAMPLER_ARG": 1,
    "OTEL_SERVICE_NAME": "customer-sync",
    "OTEL_RESOURCE_ATTRIBUTES": None,
    "OTEL_BSP_MAX_QUEUE_SIZE": 2048,
}

Environment = Callable[..., None]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment without any setting; call it to set some."""
    for name in Settings.model_fields:
        monkeypatch.delenv(variable_of(name), raising=False)

    def give(**variables: str | Path) -> None:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, str(value))

    return give


def faults(*, token_required: bool = False) -> list[str]:
    """The faults of the environment as it is now, a line each."""
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(token_required=token_required)
    return str(refused.value).splitlines()


def test_every_variable_has_the_default_of_the_contract(environment: Environment) -> None:
    """An operator who sets the token alone gets what the contract promises."""
    environment(**TOKEN)

    settings = load_settings()

    assert {variable: getattr(settings, variable.lower()) for variable in DEFAULTS} == DEFAULTS


def test_no_variable_stands_outside_the_contract() -> None:
    """What can be set is what the contract names, the secrets' files included."""
    files = {f"{variable_of(name)}_FILE" for name in SECRETS}

    assert {variable_of(name) for name in Settings.model_fields} == {*DEFAULTS, "UPSTREAM_TOKEN", *files}


def test_token_is_required_to_run_only() -> None:
    """Commands that leave the upstream alone work without a token."""
    assert load_settings(token_required=False).upstream_token is None
    assert faults(token_required=True) == [
        "UPSTREAM_TOKEN: is required, or UPSTREAM_TOKEN_FILE with a file that holds it"
    ]


def test_empty_variable_counts_as_not_set(environment: Environment) -> None:
    """Compose files and charts turn an optional value into an empty one."""
    environment(KAFKA_GROUP_INSTANCE_ID="", HTTP_PORT="", UPSTREAM_TOKEN="", UPSTREAM_TOKEN_FILE="")

    settings = load_settings(token_required=False)

    assert settings.kafka_group_instance_id is None
    assert settings.http_port == 8080


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("UPSTREAM_TIMEOUT_SECONDS", "0", "must be > 0, got '0'. Longest time one request may take in all."),
        ("UPSTREAM_TIMEOUT_SECONDS", "x", "must be a number, got 'x'"),
        ("UPSTREAM_TIMEOUT_SECONDS", "nan", "must be a number"),
        ("UPSTREAM_TIMEOUT_SECONDS", "301", "must be <= 300"),
        ("UPSTREAM_RATE_LIMIT", "-1", "must be >= 0"),
        ("UPSTREAM_RATE_LIMIT", "1", "must be 0 (no limit) or >= 2"),
        ("UPSTREAM_MAX_CONCURRENCY", "1.5", "must be a whole number, got '1.5'"),
        ("UPSTREAM_MAX_CONCURRENCY", "9" * 5000, "must be a whole number, got '999"),
        ("RETRY_MULTIPLIER", "0.9", "must be >= 1"),
        ("BULK_SHARE", "1", "must be < 1"),
        ("COALESCE", "perhaps", "must be true or false, got 'perhaps'"),
        ("DELIVERY", "twice", "must be one of exactly_once or at_least_once, got 'twice'"),
        ("LOG_LEVEL", "LOUD", "must be one of DEBUG, INFO, WARNING or ERROR"),
        ("COMMANDS_TOPIC", "customer update", "must be 1 to 249 of the characters"),
        ("EVENTS_TOPIC", "..", "must be 1 to 249 of the characters"),
        ("DEAD_LETTER_TOPIC", "x" * 250, "must be 1 to 249 of the characters"),
        ("KAFKA_GROUP_INSTANCE_ID", " ", "must be 1 to 249 of the characters"),
        ("KAFKA_GROUP_ID", " ", "must not be blank"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka://broker:9092", "must be host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker", "must be host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker:70000", "must be host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1,,b:2", "must be host:port"),
        ("KAFKA_SSL_CAFILE", "/nowhere", "names a file that cannot be read (No such file or directory)"),
        ("READ_AHEAD_BYTES", "32 parsecs", "must be a number of bytes, such as 33554432 or 32MiB"),
        ("READ_AHEAD_BYTES", "1KiB", "must be >= 65536"),
        ("UPSTREAM_BASE_URL", "api.midday.ai", "must be a URL"),
        ("UPSTREAM_BASE_URL", "ftp://api.midday.ai", "must be a URL"),
        ("UPSTREAM_BASE_URL", "https://api.midday.ai:x", "must be a URL"),
        ("UPSTREAM_BASE_URL", "https://api.midday.ai/?team=1", "must end with its path"),
        ("UPSTREAM_BASE_URL", f"https://me:{SECRET}@api.midday.ai", "must not carry a user or password"),
        ("UPSTREAM_TOKEN", f"Bearer {SECRET}", "must be the bare token"),
        ("UPSTREAM_TOKEN", f"{SECRET}\r\nX-Injected: 1", "must be the bare token"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", f"https://me:{SECRET}@collector", "without a user or password"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317", "must be a URL such as http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "must be one of http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", SECRET.replace("=", " "), "must be name=value"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "must be one of always_on, "),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "must be <= 1"),
        ("HTTP_PORT", "tcp://10.0.0.7:80", "a Kubernetes service link: set enableServiceLinks: false"),
    ],
)
def test_faulty_value_is_refused_by_name(environment: Environment, variable: str, value: str, message: str) -> None:
    """The message names the variable and what it must be; secrets are not repeated."""
    environment(**{variable: value})

    (fault,) = faults()

    assert fault.startswith(f"{variable}: ")
    assert message in fault
    assert SECRET not in fault
    assert len(fault) < 400


def test_all_faults_are_reported_at_once(environment: Environment) -> None:
    """One look at the error mends the whole deployment: values, contradictions and files together."""
    environment(
        HTTP_PORT="x",
        RETRY_MULTIPLIER="0",
        RETRY_MAX_SECONDS="0.1",
        COMMANDS_TOPIC="customer.updated",
        KAFKA_SASL_MECHANISM="PLAIN",
        UPSTREAM_TOKEN_FILE="/nowhere",
    )

    assert [fault.split(":")[0] for fault in faults(token_required=True)] == [
        "KAFKA_SASL_MECHANISM, KAFKA_SECURITY_PROTOCOL",
        "COMMANDS_TOPIC, EVENTS_TOPIC, DEAD_LETTER_TOPIC",
        "UPSTREAM_TOKEN_FILE",
        "RETRY_MULTIPLIER",
        "RETRY_MAX_SECONDS, RETRY_INITIAL_SECONDS",
        "HTTP_PORT",
    ]


def test_fault_does_not_bring_faults_of_its_own(environment: Environment) -> None:
    """A contradiction with a value that is faulty anyway is not reported on top."""
    environment(RETRY_INITIAL_SECONDS="-1", RETRY_MAX_SECONDS="0.1")

    assert [fault.split(":")[0] for fault in faults()] == ["RETRY_INITIAL_SECONDS"]


@pytest.mark.parametrize("missing", ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"])
def test_sasl_needs_mechanism_user_and_password(environment: Environment, missing: str) -> None:
    """A SASL protocol without one of them could only fail later."""
    environment(**{**SASL, missing: ""})

    assert faults() == [f"{missing}, KAFKA_SECURITY_PROTOCOL: is required with the protocol SASL_PLAINTEXT"]


def test_credentials_that_would_not_be_used_are_refused(environment: Environment) -> None:
    """Who gives a password means to use it: PLAINTEXT would connect without."""
    environment(**{**SASL, "KAFKA_SECURITY_PROTOCOL": ""})

    assert {fault.rpartition(": ")[2] for fault in faults()} == {"has no effect with the protocol PLAINTEXT"}


@pytest.mark.parametrize("name", SECRETS)
class TestSecretFile:
    """A secret can come as NAME_FILE instead."""

    def test_content_is_the_secret_without_its_line_end(
        self, environment: Environment, tmp_path: Path, name: str
    ) -> None:
        """`echo secret > file` and a mounted Kubernetes secret give the same."""
        path = tmp_path / "secret"
        path.write_text(f"{SECRET}\n")
        environment(**{**SASL, variable_of(name): "", f"{variable_of(name)}_FILE": path})

        settings = load_settings(token_required=False)

        assert getattr(settings, name).get_secret_value() == SECRET
        assert getattr(settings, f"{name}_file") == path

    def test_both_at_once_are_refused(self, environment: Environment, tmp_path: Path, name: str) -> None:
        """Nobody could tell which of the two counts."""
        path = tmp_path / "secret"
        path.write_text(SECRET)
        environment(**{**SASL, variable_of(name): SECRET, f"{variable_of(name)}_FILE": path})

        assert faults() == [f"{variable_of(name)}, {variable_of(name)}_FILE: both are given; remove one"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            pytest.param(None, "the file cannot be read (No such file or directory)", id="missing"),
            pytest.param(b"", "the file is empty", id="empty"),
            pytest.param(b" \n", "the file is empty", id="blank"),
            pytest.param(b"\xff\xfe", "the file is not UTF-8 text", id="binary"),
        ],
    )
    def test_file_of_no_use_is_refused(
        self, environment: Environment, tmp_path: Path, name: str, content: bytes | None, message: str
    ) -> None:
        """The message names the variable with _FILE, since that is what has to be mended."""
        path = tmp_path / "secret"
        if content is not None:
            path.write_bytes(content)
        environment(**{**SASL, variable_of(name): "", f"{variable_of(name)}_FILE": path})

        assert faults() == [f"{variable_of(name)}_FILE: {message}"]


def test_malformed_token_from_a_file_is_blamed_on_the_file(environment: Environment, tmp_path: Path) -> None:
    """The operator never set UPSTREAM_TOKEN, so the message must not name it."""
    path = tmp_path / "secret"
    path.write_text(f"Bearer {SECRET}")
    environment(UPSTREAM_TOKEN_FILE=path)

    (fault,) = faults()

    assert fault.startswith("UPSTREAM_TOKEN_FILE: must be the bare token")
    assert SECRET not in fault


def test_secrets_are_in_no_text_of_the_settings(environment: Environment) -> None:
    """Whoever logs the settings, or a stack with them in it, gives nothing away."""
    environment(**SASL, **TOKEN)

    settings = load_settings()

    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in text
        assert "planted-user" not in text


def test_refused_secret_is_not_in_pydantics_own_error() -> None:
    """Tests and tools build settings directly, and an error may end up in a log."""
    with pytest.raises(ValidationError) as refused:
        Settings(upstream_token=SecretStr(f"Bearer {SECRET}"), upstream_base_url=f"https://me:{SECRET}@x")

    assert SECRET not in str(refused.value)


@profile(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(junk=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=80))
def test_junk_is_refused_with_a_line_for_each_variable(monkeypatch: pytest.MonkeyPatch, junk: str) -> None:
    """Whatever stands in every variable: nothing but SettingsInvalid, and no secret in it or in its traceback."""
    marked = f"{junk} {SECRET}"
    for name in Settings.model_fields:
        monkeypatch.setenv(variable_of(name), "/nowhere" if name.endswith("_file") else junk)
    for name in SECRETS:
        monkeypatch.setenv(variable_of(name), marked)
        monkeypatch.delenv(f"{variable_of(name)}_FILE")

    with pytest.raises(SettingsInvalid) as refused:
        load_settings()

    assert all(fault.variables and fault.message for fault in refused.value.faults)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_environment_is_the_only_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stray .env in the working directory changes nothing."""
    (tmp_path / ".env").write_text("KAFKA_GROUP_ID=from-a-file\n")
    monkeypatch.chdir(tmp_path)

    assert load_settings(token_required=False).kafka_group_id == "customer-sync"


@pytest.mark.parametrize(
    ("given_bytes", "expected"), [("65536", 65_536), ("64KiB", 65_536), ("1 mib", 1_048_576), ("1GiB", 2**30)]
)
def test_size_reads_plain_bytes_and_binary_units(environment: Environment, given_bytes: str, expected: int) -> None:
    """32MiB is easier to get right than 33554432."""
    environment(READ_AHEAD_BYTES=given_bytes)

    settings = load_settings(token_required=False)

    assert settings.read_ahead_bytes == expected
    assert settings.read_ahead_bytes_of_process == 2 * expected


def test_base_url_loses_its_last_slash(environment: Environment) -> None:
    """A path is put behind it, and the upstream's router knows no `//customers`."""
    environment(UPSTREAM_BASE_URL="http://localhost:8081/v1/")

    assert load_settings(token_required=False).upstream_base_url == "http://localhost:8081/v1"


class TestKafkaClientOptions:
    """What every Kafka client is given."""

    def test_plaintext_carries_no_credentials(self) -> None:
        """Address, name, protocol and nothing else."""
        options = load_settings(token_required=False).kafka_client_options()

        assert options == {
            "bootstrap_servers": "localhost:9092",
            "client_id": "customer-sync",
            "security_protocol": "PLAINTEXT",
        }

    def test_sasl_carries_user_and_password(self, environment: Environment) -> None:
        """The names are aiokafka's."""
        environment(**SASL)

        options = load_settings(token_required=False).kafka_client_options()

        assert options["sasl_mechanism"] == "SCRAM-SHA-512"
        assert options["sasl_plain_username"] == "planted-user"
        assert options["sasl_plain_password"] == SECRET

    def test_tls_checks_the_brokers_name(self, environment: Environment) -> None:
        """Encryption to an unknown peer is worth nothing."""
        environment(KAFKA_SECURITY_PROTOCOL="SSL")

        context = load_settings(token_required=False).kafka_client_options()["ssl_context"]

        assert context.check_hostname

    def test_files_without_a_certificate_are_refused(self, environment: Environment, tmp_path: Path) -> None:
        """Before the first connection, which would fail without saying why."""
        nonsense = tmp_path / "nonsense.pem"
        nonsense.write_text("nothing")
        environment(KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_SSL_CAFILE=nonsense, KAFKA_SSL_CERTFILE=nonsense)

        assert faults() == [
            "KAFKA_SSL_CAFILE: the file holds no PEM certificate",
            "KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE: hold no PEM certificate with its unencrypted key",
        ]

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
    def test_encrypted_key_is_refused_instead_of_asked_for(self, environment: Environment, tmp_path: Path) -> None:
        """A worker in a pod has nobody to type a passphrase: it must not wait for one."""
        key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
        request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=x", "-passout", "pass:geheim"]
        subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        environment(KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_SSL_CERTFILE=certificate, KAFKA_SSL_KEYFILE=key)

        (fault,) = faults()

        assert fault.startswith("KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE: ")


class TestWarnings:
    """What is allowed but probably not meant."""

    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
            ("UPSTREAM_URL", "UPSTREAM_BASE_URL"),
            ("RETRY_MAX_SECOND", "RETRY_MAX_SECONDS"),
            ("COMMAND_TOPIC", "COMMANDS_TOPIC"),
            ("DEADLETTER_TOPIC", "DEAD_LETTER_TOPIC"),
        ],
    )
    def test_misspelt_variable_is_pointed_out(self, variable: str, meant: str) -> None:
        """It would be ignored silently otherwise."""
        warnings = settings_warnings(load_settings(token_required=False), {variable: "x"})

        assert warnings == (f"{variable}: is not a setting; did you mean {meant}?",)

    @pytest.mark.parametrize(
        "variable",
        [
            "HTTP_PROXY",
            "KAFKA_SERVICE_HOST",
            "KAFKA_PORT_9092_TCP_ADDR",
            "UPSTREAM_SERVICE_PORT",
            "PATH",
            "OTEL_SDK_DISABLED",
        ],
    )
    def test_variable_of_somebody_else_is_left_alone(self, variable: str) -> None:
        """Kubernetes adds a handful for every service of the namespace."""
        assert settings_warnings(load_settings(token_required=False), {variable: "x"}) == ()

    def test_token_in_the_clear_is_pointed_out(self, environment: Environment) -> None:
        """Except on this machine, where demos run."""
        environment(UPSTREAM_BASE_URL="http://gateway.internal")
        (warning,) = settings_warnings(load_settings(token_required=False), {})
        environment(UPSTREAM_BASE_URL="http://127.0.0.1:8081")

        assert warning.startswith("UPSTREAM_BASE_URL: ")
        assert settings_warnings(load_settings(token_required=False), {}) == ()

    def test_grace_shorter_than_a_request_is_pointed_out(self, environment: Environment) -> None:
        """A shutdown would cut off requests that may have been applied."""
        environment(SHUTDOWN_GRACE_SECONDS="5")

        (warning,) = settings_warnings(load_settings(token_required=False), {})

        assert warning.startswith("SHUTDOWN_GRACE_SECONDS: ")

"""`config`: the effective settings, their sources, their reference."""

import json
from pathlib import Path

from harness.command_line import CommandLine
from worker.cli.config import grouped, reference_table
from worker.settings import SECRETS, Settings, variable_of

SECRET = "planted=secret-4711"
SASL = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"}
REFERENCE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_secrets_are_masked_whatever_their_source(customer_sync: CommandLine, tmp_path: Path) -> None:
    """The output goes into tickets and chats."""
    file = tmp_path / "password"
    file.write_text(SECRET)
    customer_sync.give(**SASL, KAFKA_SASL_USERNAME=SECRET, KAFKA_SASL_PASSWORD_FILE=file, UPSTREAM_TOKEN=SECRET)
    customer_sync.give(OTEL_EXPORTER_OTLP_HEADERS=SECRET)

    plain, as_json = customer_sync("config"), customer_sync("config", "--json")

    assert plain.exit_code == as_json.exit_code == 0
    assert SECRET not in plain.output + plain.errors + as_json.output + as_json.errors
    settings = json.loads(as_json.output)
    assert {settings[variable_of(name)]["value"] for name in SECRETS} == {"******"}


def test_source_of_each_value_is_told(customer_sync: CommandLine, tmp_path: Path) -> None:
    """Default, environment or file: where to look when a value surprises."""
    file = tmp_path / "token"
    file.write_text(SECRET)
    customer_sync.give(UPSTREAM_TOKEN_FILE=file, HTTP_PORT="9000")

    settings = json.loads(customer_sync("config", "--json").output)

    assert settings["UPSTREAM_TOKEN"] == {"value": "******", "source": "file"}
    assert settings["UPSTREAM_TOKEN_FILE"] == {"value": str(file), "source": "environment"}
    assert settings["HTTP_PORT"] == {"value": 9000, "source": "environment"}
    assert settings["HTTP_HOST"] == {"value": "0.0.0.0", "source": "default"}
    assert settings["KAFKA_SASL_PASSWORD"] == {"value": None, "source": "default"}
    assert len(settings) == len(Settings.model_fields)


def test_faults_come_all_at_once_and_end_with_what_to_do(customer_sync: CommandLine) -> None:
    """An operator corrects the deployment once."""
    customer_sync.give(HTTP_PORT="x", RETRY_MULTIPLIER="0")

    finished = customer_sync("config")

    assert finished.exit_code == 2
    assert finished.output == ""
    lines = finished.errors.splitlines()
    assert lines[0] == "error: the settings cannot be used"
    assert [line.split(":")[0].strip() for line in lines[1:-1]] == ["RETRY_MULTIPLIER", "HTTP_PORT"]
    assert lines[-1].startswith("fix: correct these environment variables")


def test_misspelt_variable_is_pointed_out_on_standard_error(customer_sync: CommandLine) -> None:
    """The result stays clean for scripts."""
    customer_sync.give(KAFKA_GRUOP_ID="x")

    finished = customer_sync("config", "--json")

    assert "warning: KAFKA_GRUOP_ID: is not a setting; did you mean KAFKA_GROUP_ID?" in finished.errors
    json.loads(finished.output)


def test_reference_in_the_docs_is_that_of_the_code() -> None:
    """`customer-sync config --reference > docs/settings.md` renews it."""
    assert REFERENCE.read_text(encoding="utf-8") == reference_table()


def test_reference_holds_every_variable_under_a_heading() -> None:
    """No setting is without a group, and every group has settings."""
    groups = grouped()

    assert "" not in groups
    assert [name for group in groups.values() for name in group] == list(Settings.model_fields)
    assert all(f"`{variable_of(name)}`" in reference_table() for name in Settings.model_fields)
    assert all(field.description for field in Settings.model_fields.values())

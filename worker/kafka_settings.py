"""The settings of the connection to Kafka, and what its clients make of them."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from worker.setting_values import BootstrapServers, KafkaName, ReadableFile, SaslMechanism, SecurityProtocol, Text


class KafkaSettings(BaseSettings):
    """Where the brokers are, and who this is to them."""

    kafka_bootstrap_servers: BootstrapServers = Field(
        "localhost:9092", description="Brokers to begin with: `host:port`, several separated by commas."
    )
    kafka_group_id: Text = Field(
        "customer-sync", description="Consumer group; all replicas of one deployment share it."
    )
    kafka_group_instance_id: KafkaName | None = Field(
        None, description="Static member id: one for each replica, the same after its restart. Not set: dynamic member."
    )
    kafka_client_id: Text = Field("customer-sync", description="Name in the brokers' logs, metrics and quotas.")
    kafka_security_protocol: SecurityProtocol = Field(
        "PLAINTEXT", description="`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`."
    )
    kafka_sasl_mechanism: SaslMechanism | None = Field(
        None, description="`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`; needed with a SASL protocol."
    )
    kafka_sasl_username: SecretStr | None = Field(None, description="User; needed with a SASL protocol.")
    kafka_sasl_username_file: Path | None = Field(None, description="File that holds the user.")
    kafka_sasl_password: SecretStr | None = Field(None, description="Password; needed with a SASL protocol.")
    kafka_sasl_password_file: Path | None = Field(None, description="File that holds the password.")
    kafka_ssl_cafile: ReadableFile | None = Field(
        None, description="PEM file with the authorities to trust. Not set: the system's."
    )
    kafka_ssl_certfile: ReadableFile | None = Field(None, description="PEM file with the client's certificate.")
    kafka_ssl_keyfile: ReadableFile | None = Field(
        None, description="PEM file with the client's unencrypted key, if the certificate's file does not hold it."
    )

    def kafka_client_options(self) -> dict[str, Any]:
        """Address, name and security as every aiokafka client takes them.

        Raises `OSError` (`ssl.SSLError` is one) where a certificate file has gone since it was checked.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers,
            "client_id": self.kafka_client_id,
            "security_protocol": self.kafka_security_protocol,
        }
        if self.uses_sasl and self.kafka_sasl_username and self.kafka_sasl_password:
            options["sasl_mechanism"] = self.kafka_sasl_mechanism
            options["sasl_plain_username"] = self.kafka_sasl_username.get_secret_value()
            options["sasl_plain_password"] = self.kafka_sasl_password.get_secret_value()
        if self.uses_tls:
            context = ssl.create_default_context(cafile=self.kafka_ssl_cafile)
            if self.kafka_ssl_certfile is not None:
                load_certificate(context, self.kafka_ssl_certfile, self.kafka_ssl_keyfile)
            options["ssl_context"] = context
        return options

    @property
    def uses_sasl(self) -> bool:
        """Whether the brokers ask for a user and a password."""
        return self.kafka_security_protocol.startswith("SASL_")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection to the brokers is encrypted."""
        return self.kafka_security_protocol.endswith("SSL")


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Loads a client's certificate. `OSError` (`ssl.SSLError` is one) where it has none, or no unencrypted key."""
    # With a password at hand, even an empty one, OpenSSL fails on an encrypted key instead of asking a terminal.
    context.load_cert_chain(certificate, key, password="")

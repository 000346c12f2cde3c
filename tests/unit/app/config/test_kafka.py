from pathlib import Path

import pytest

from app.config.kafka import Brokers, KafkaSecurity
from app.config.settings import Settings
from app.core.errors import FatalError, TransientError
from app.kafka.client import client_options
from cdc.connector.client import ConnectClient


def test_without_settings_clients_are_told_addresses_alone() -> None:
    assert client_options(Settings(_env_file=None).kafka) == {"bootstrap_servers": ["127.0.0.1:9092"]}
    assert client_options(["a:1", "b:2"]) == {"bootstrap_servers": ["a:1", "b:2"]}


def test_sasl_is_told_with_its_user() -> None:
    settings = Settings.model_validate(
        {
            "kafka_brokers": ["a:1", "b:2"],
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_sasl_username": "u",
            "kafka_sasl_password": "a-password",
        }
    )
    brokers = settings.kafka
    options = client_options(brokers)
    context = options.pop("ssl_context")
    assert context.check_hostname
    assert options == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "a-password",
    }
    assert (len(brokers), brokers[1], ", ".join(brokers)) == (2, "b:2", "a:1, b:2")
    assert "hidden" not in f"{settings!r}{brokers.security!r}"


@pytest.mark.parametrize("field", ["ca_file", "certificate_file"])
def test_a_file_that_is_not_there_is_named(field: str) -> None:
    security = KafkaSecurity(protocol="SSL", **{field: Path("/nowhere.pem")})  # type: ignore[arg-type]
    with pytest.raises(FatalError, match=r"/nowhere\.pem"):
        client_options(Brokers(["a:1"], security))


async def test_a_password_in_the_address_of_connect_is_not_told() -> None:
    with pytest.raises(TransientError) as told:
        await ConnectClient("http://user:hidden@127.0.0.1:1").names()
    assert "hidden" not in str(told.value)
    assert "127.0.0.1:1" in str(told.value)

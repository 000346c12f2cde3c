"""The jar of Flink's functions, built once: offline where `python -m infra install` has run."""

from pathlib import Path

import pytest

from infra.install.functions import functions_jar
from infra.settings import InfraSettings


@pytest.fixture(scope="session")
def stack() -> InfraSettings:
    return InfraSettings(flink_phone_region="BR")


@pytest.fixture(scope="session")
def jar(stack: InfraSettings) -> Path:
    return functions_jar(stack)

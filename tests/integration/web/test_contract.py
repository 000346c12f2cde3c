"""The whole service against its own description: schemathesis sends what it allows, and what it does not.

Data is made without chance, so that a failure is the same one the next time.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from app.config.settings import Settings
from app.config.topics import TopicNames
from app.core.api_keys import Scope, digest_of, id_of, new_text
from app.core.models import Batch
from tests.integration.web.serving import assembled
from tests.rows import edge, point, prop
from web.server.server import WebServer
from web.services import SERVICES

pytestmark = pytest.mark.integration

_RUN = "from schemathesis.cli import schemathesis; schemathesis()"
_LIMIT_S = 400  # some 30 s where nothing else runs
_EXAMPLES = 6
# What a schema can't say: unknown parameters are ignored; a token of another database and a cursor of another list are
# refused; so are names that are longer in bytes, an alias that differs from its parameter, 1.0 for an integer, and
# ambiguous references. A dry run answers with what it refuses.
_CONFIG = """
[generation]
mode = "all"
allow-extra-parameters = false

[checks.negative_data_rejection]
expected-statuses = ["400", "404", "405", "413", "414", "415", "422", "431"]

[phases.stateful]
enabled = false

[parameters]
"header.Consistency-Token" = "{token}"

[[operations]]
include-operation-id = [
  "findEntitiesByProperty", "listEntities", "listRelationships", "listDeadLetters", "followEvents", "watchEntity",
  "getEntity", "getEntityByReference",
]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "400", "404", "414"]

[[operations]]
include-operation-id = ["getEntities"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "400", "404", "414", "422"]

[[operations]]
include-operation-id = ["syncGraph", "ingestTemporal"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "422"]
[operations.checks.negative_data_rejection]
expected-statuses = ["200", "400", "405", "415", "422"]
"""


class Service(NamedTuple):
    address: str
    token: str
    key: str


@pytest.fixture
async def service(settings: Settings, topics: TopicNames) -> AsyncIterator[Service]:
    """It asks for keys; this one may do everything. Streams of events are over before anybody loses patience."""
    async with assembled(settings.model_copy(update={"web_event_stream_s": 0.1})) as (application, stores):
        changes = await stores.writer.write(
            Batch(
                properties=[prop("a", "name", '"A"'), prop("b", "email", '"b@example.com"')],
                edges=[edge("a", "b"), edge("b", "a")],
                temporal=[point("a", "k", "1.50")],
            )
        )
        key = new_text()
        await stores.keys.add(
            key_id=id_of(key) or "",
            digest=digest_of(key),
            name="contract",
            scopes=frozenset(Scope),
            expires_at=None,
            rate=None,
        )
        keys = application[SERVICES].keys
        assert keys is not None
        await keys.read()
        server = WebServer.from_settings(application, settings)
        await server.start()
        token = application[SERVICES].tokens.spell(changes.position)
        yield Service(f"http://127.0.0.1:{server.port}", token, key)
        await server.stop()


@pytest.mark.timeout(450)
async def test_the_service_keeps_to_its_description(service: Service, tmp_path: Path) -> None:
    address, token, key = service
    config = tmp_path / "schemathesis.toml"
    config.write_text(_CONFIG.replace("{token}", token))
    told = tmp_path / "told.txt"
    with told.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-c", _RUN, "--config-file", str(config), "run"),
            *("--generation-deterministic", "--max-examples", str(_EXAMPLES), "--no-color"),
            *("--header", f"Authorization: Bearer {key}"),
            f"{address}/openapi.json",
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
        try:
            async with asyncio.timeout(_LIMIT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
    assert process.returncode == 0, told.read_text()[-12_000:]

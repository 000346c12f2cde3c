"""Keys from the command line to an answer, on real servers."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from app.config.settings import Settings
from app.core.api_keys import Rate, Scope, digest_of, new_text
from app.core.clock import SystemClock
from app.core.errors import TransientError
from load.measure.processes import Server
from load.measure.web_worker import web_worker
from storage.stores import Stores
from tests.integration.web.serving import Served, serving
from web.auth.api_key_cache import KeyRing

if TYPE_CHECKING:
    import asyncpg

pytestmark = pytest.mark.integration

REFRESH_S = 0.3
BOUND_S = 30.0  # generous: the machine may be busy


async def keys(settings: Settings, *arguments: str, **overrides: str) -> tuple[int, str, str]:
    """Run the command; its code, stdout and stderr."""
    replicas = ",".join(dsn.get_secret_value() for dsn in settings.postgres_replica_dsns)
    environment = {
        **os.environ,
        "PROFILE_POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
        "PROFILE_POSTGRES_READ_DSN": settings.read_dsn.get_secret_value(),
        "PROFILE_POSTGRES_WRITE_DSN": settings.write_dsn.get_secret_value(),
        "PROFILE_POSTGRES_REPLICA_DSNS": replicas,
        "PROFILE_LOG_FORMAT": "json",
        "PROFILE_KEY_FILE": "/nonexistent/key",
        **overrides,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "keys", *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode().strip(), error.decode().strip()


def of_a_worker(settings: Settings, **overrides: str) -> dict[str, str]:
    """The environment of a worker that no setting opens."""
    return {
        "PROFILE_POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
        "PROFILE_POSTGRES_REPLICA_DSNS": ",".join(
            d.get_secret_value() for d in settings.postgres_replica_dsns
        ),
        "PROFILE_REDIS_NODES": ",".join(settings.redis_nodes),
        "PROFILE_KAFKA_BROKERS": ",".join(settings.kafka_brokers),
        "PROFILE_CACHE_PREFIX": settings.cache_prefix,
        "PROFILE_TOPIC_PREFIX": settings.topic_prefix,
        "PROFILE_APP_ID": settings.app_id,
        "PROFILE_AUTH": "",
    } | overrides


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    closed = settings.model_copy(update={"auth": "required"})
    async with serving(closed, keys_refresh_s=REFRESH_S) as found:
        yield found


async def status(served: Served, text: str | None, method: str = "GET", path: str = "/v1/entities") -> int:
    headers = {} if text is None else {"Authorization": f"Bearer {text}"}
    async with served.client.request(method, path, headers=headers) as response:
        return response.status


async def until(served: Served, text: str | None, wanted: int) -> None:
    async with asyncio.timeout(BOUND_S):
        while await status(served, text) != wanted:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)


async def until_metrics(served: Served, text: str) -> None:
    async with asyncio.timeout(BOUND_S):
        while await status(served, text, "GET", "/metrics") != 200:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)


@pytest.mark.timeout(300)
async def test_from_the_first_key_to_the_last(
    served: Served, settings: Settings, db: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert await status(served, None) == 401
    code, text, told = await keys(settings, "create", "--name", "ana", "--scope", "read,write")
    assert code == 0
    assert text.startswith("upk_")
    assert '"event":"key_created"' in told
    assert text not in told
    await until(served, text, 200)
    assert await status(served, text, "DELETE", "/v1/graph/1") == 403
    assert await status(served, text, "GET", "/metrics") == 403

    row = await db.fetchrow("SELECT * FROM api_keys")
    assert row is not None
    assert row["digest"] == digest_of(text)
    assert text.split("_")[2] not in str(dict(row))

    _, scraper, _ = await keys(settings, "create", "--name", "prometheus", "--scope", "metrics")
    await until_metrics(served, scraper)
    assert await status(served, scraper) == 403
    await keys(settings, "revoke", scraper.split("_")[1])

    key_id = text.split("_")[1]
    code, listed, _ = await keys(settings, "list")
    assert code == 0
    assert listed.split("\t")[:3] == [key_id, "good", "read,write"]
    assert text.split("_")[2] not in listed

    code, _, told = await keys(settings, "revoke", key_id)
    assert code == 0
    assert '"event":"key_revoked"' in told
    await until(served, text, 401)
    assert await status(served, None) == 401  # the last key is gone, and nobody is let in for that
    assert (await keys(settings, "revoke", "0" * 12))[0] == 1
    assert "revoked" in (await keys(settings, "list"))[1]


async def test_a_store_that_is_away_is_transient(settings: Settings) -> None:
    stores = await Stores.open(settings)
    ring = KeyRing(stores.keys, SystemClock(), refresh_s=1, outage_s=60)
    await ring.read()
    await stores.close()
    with pytest.raises(TransientError):
        await ring.read()
    assert ring.is_known


@pytest.mark.timeout(300)
async def test_a_worker_asks_for_keys(settings: Settings) -> None:
    code, text, _ = await keys(
        settings, "create", "--name", "probe", "--scope", "admin,read", "--rate", "1000"
    )
    assert code == 0
    environment = of_a_worker(settings)
    with ExitStack() as running:
        server = await asyncio.to_thread(running.enter_context, web_worker(environment))
        async with aiohttp.ClientSession(server.url) as session:
            for path, wanted in (("/metrics", 401), ("/v1/entities", 401), ("/healthz", 200)):
                async with session.get(path) as response:
                    assert response.status == wanted
            for path in ("/metrics", "/v1/entities"):
                async with session.get(path, headers={"Authorization": f"Bearer {text}"}) as response:
                    assert response.status == 200


@pytest.mark.timeout(300)
async def test_a_first_start_makes_one_key_and_is_closed(
    settings: Settings, db: "asyncpg.Connection[asyncpg.Record]", tmp_path: Path
) -> None:
    """Two workers start at once on an empty database; nothing says how they are to be opened."""
    state = {"XDG_STATE_HOME": str(tmp_path)}
    environment = of_a_worker(settings, **state)
    own = {"PROFILE_KEY_FILE": "", **state}
    assert (await keys(settings, "show", **own))[0] == 1
    with ExitStack() as running:
        starts = (asyncio.to_thread(running.enter_context, web_worker(environment)) for _ in range(2))
        servers = await asyncio.gather(*starts)
        assert await db.fetchval("SELECT count(*) FROM api_keys") == 1
        (file,) = (tmp_path / "user-profile").iterdir()
        code, text, _ = await keys(settings, "show", **own)
        assert (code, text) == (0, file.read_text().strip())
        assert await keys(settings, "link", PROFILE_WEB_PORT="1234", **own) == (
            0,
            f"http://127.0.0.1:1234/#key={text}",
            "",
        )
        async with aiohttp.ClientSession() as session:

            async def get(server: Server, key: str | None, path: str = "/v1/entities") -> int:
                headers = {} if key is None else {"Authorization": f"Bearer {key}"}
                async with session.get(server.url + path, headers=headers) as response:
                    return response.status

            for server in servers:
                assert [await get(server, key) for key in (None, text)] == [401, 200]
                assert await get(server, text, "/metrics") == 200
            code, told, _ = await keys(settings, "renew", **own)
            assert (code, str(file) in told) == (0, True)
            renewed = file.read_text().strip()
            async with asyncio.timeout(BOUND_S):
                while await get(servers[0], text) != 401:  # noqa: ASYNC110 - see above
                    await asyncio.sleep(0.05)
            assert await get(servers[0], renewed) == 200
            # The last key goes, its file with it, and nothing opens.
            assert (await keys(settings, "revoke", renewed.split("_")[1], **own))[0] == 0
            assert not file.exists()
            async with asyncio.timeout(BOUND_S):
                while await get(servers[0], renewed) != 401:  # noqa: ASYNC110 - see above
                    await asyncio.sleep(0.05)
            assert await get(servers[0], None) == 401


async def test_of_many_first_keys_the_database_takes_one(settings: Settings) -> None:
    stores = await Stores.open(settings)
    try:
        texts = [new_text() for _ in range(8)]
        added = await asyncio.gather(
            *(
                stores.keys.add_first(
                    key_id=text.split("_")[1],
                    digest=digest_of(text),
                    name="first",
                    scopes=frozenset(Scope),
                    rate=Rate(per_s=1, burst=1),
                )
                for text in texts
            )
        )
        assert sum(added) == 1
        assert [key.id for key in await stores.keys.all()] == [texts[added.index(True)].split("_")[1]]
    finally:
        await stores.close()

"""A worker that is killed between pieces of a deletion and of a merge: the next one goes on where it stood."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import Role, Settings
from app.core.models import Batch
from storage.stores import Stores
from tests.e2e.workers import Worker
from tests.rows import edge, entity, user

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(180)]

EDGES = 500
SMALL = {
    "PROFILE_ERASURE_PIECE_ROWS": "50",
    "PROFILE_ERASURE_ROWS_PER_S": "1000",
    "PROFILE_PLACEHOLDER_INTERVAL_S": "0.2",
}


@pytest.mark.ci
async def test_killed_between_pieces(settings: Settings, db: Any, tmp_path: Path) -> None:
    stores = await Stores.open(settings.model_copy(update={"erasure_piece_rows": 50}))
    placeholder = [edge(f"n{n}", "x")._replace(right_type="unknown") for n in range(EDGES)]
    hub = [edge("hub", f"n{n}") for n in range(EDGES)]
    await stores.writer.write(Batch(edges=[*placeholder, *hub], entities=[entity("x")]))
    await stores.eraser.erase(user("hub"))
    web = settings.model_copy(update={"roles": [Role.WEB]})

    with Worker(web, tmp_path / "killed.log", PROFILE_HOOKS="between-pieces:kill:5", **SMALL) as worker:
        assert await worker.exit_code(within_s=60) == -signal.SIGKILL

    left = await db.fetchval("SELECT count(*) FROM edges")
    assert 2 * EDGES - 5 * 50 <= left < 2 * EDGES, "it was not killed in the middle"
    with Worker(web, tmp_path / "again.log", **SMALL):
        async with asyncio.timeout(60):
            while (await stores.deletions.under_way()).deletions or await db.fetchval(  # noqa: ASYNC110
                "SELECT count(*) FROM entities WHERE type = 'unknown'"
            ):
                await asyncio.sleep(0.2)
    typed = await db.fetchval("SELECT id FROM entities WHERE type = 'user' AND reference = 'x'")
    assert await db.fetchval("SELECT count(*) FROM edges WHERE right_entity_id = $1", typed) == EDGES
    assert await db.fetchval("SELECT count(*) FROM edges") == EDGES
    receipt = await stores.eraser.erase(user("hub"))
    assert receipt is not None
    assert receipt.edges == EDGES
    await stores.close()

"""A worker with empty caches and few connections, and far more requests than those can answer at once."""

import asyncio
from collections import Counter

import pytest

from app.config.settings import Settings
from app.core.models import Batch
from tests.integration.web.serving import serving
from tests.rows import edge, entity, point

pytestmark = pytest.mark.integration

USERS = 200


@pytest.mark.parametrize("patience_s", [0.05, 30.0])
async def test_each_request_is_answered_or_refused_in_time(settings: Settings, patience_s: float) -> None:
    narrow = settings.model_copy(
        update={"postgres_pool_size": 2, "postgres_replica_dsns": [], "read_queue_s": patience_s}
    )
    async with serving(narrow) as served:
        names = [f"u{n}" for n in range(USERS)]
        await served.stores.writer.write(
            Batch(
                entities=[entity(name) for name in names],
                edges=[edge(name, f"o{n % 20}") for n, name in enumerate(names)],
                temporal=[point(name, "k", "1") for name in names],
            )
        )

        async def read(name: str) -> int:
            async with served.client.get(f"/v1/graph/by-reference/user/{name}?depth=3") as response:
                if response.status == 503:
                    assert int(response.headers["Retry-After"]) >= 1
                    assert "answers in time" in (await response.json())["detail"]
                return response.status

        statuses = Counter(await asyncio.gather(*map(read, names)))
        assert statuses.keys() <= {200, 503}
        assert statuses[200] >= 2
        if patience_s > 1:
            assert statuses == {200: USERS}
        else:
            assert statuses[503]

"""The lag of replicas, by this process's clock."""

from typing import Any

import pytest

from storage.postgres import replica_lag
from storage.postgres.replica_lag import ServerWatch
from storage.postgres.replicas import Replica
from tests.unit.app.fakes import FakeClock


class Servers:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.positions: dict[str, int | None] = {"primary": 100, "r1": 100, "r2": 100}
        monkeypatch.setattr(replica_lag, "_position", self._position)
        self.clock = FakeClock()
        pools: dict[str, Any] = {name: name for name in self.positions}
        replicas = [Replica(name, pools[name], self.clock) for name in ("r1", "r2")]
        self.watch = ServerWatch(pools["primary"], replicas, self.clock)

    async def _position(self, pool: Any) -> int | None:
        return self.positions[pool]

    async def after(self, seconds: float, **positions: int | None) -> list[tuple[int | None, float | None]]:
        self.clock.seconds += seconds
        self.positions |= positions
        await self.watch.look()
        return [(figures.lag_bytes, figures.lag_s) for figures in self.watch.figures()]


async def test_lag_counts_from_when_the_primary_was_first_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers(monkeypatch)
    assert await servers.after(0) == [(0, 0), (0, 0)]
    assert await servers.after(60) == [(0, 0), (0, 0)]  # a quiet database
    assert await servers.after(2, primary=500, r1=500) == [(0, 0), (400, 0)]
    assert await servers.after(2, primary=900, r1=900) == [(0, 0), (800, 2)]
    assert await servers.after(2, r2=500) == [(0, 0), (400, 2)]
    assert await servers.after(2, r2=900) == [(0, 0), (0, 0)]


async def test_who_does_not_answer_has_no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers(monkeypatch)
    assert await servers.after(0, r2=None) == [(0, 0), (None, None)]
    assert await servers.after(2, primary=None) == [(None, None), (None, None)]


async def test_a_new_timeline_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = Servers(monkeypatch)
    await servers.after(0, primary=900)
    assert await servers.after(2, primary=300, r1=300, r2=200) == [(0, 0), (100, 0)]

"""What the measurements of reads share: the data, the servers that are watched, and single runs."""

import random
import secrets
import time
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

import orjson

from app.config.settings import Settings
from load.measure import cpu, read_statements
from load.measure.cores import Cores
from load.measure.fetching import fetch
from load.measure.processes import Server
from load.measure.read_samples import Sample
from load.measure.server_cpu import ServerCpu
from load.measure.write_side import WriteSide
from load.measure.wrk_run import run_wrk

SERVICE: Final = "service"
BARE: Final = "bare"
_BODIES: Final = 500
_IDS_OF_A_BATCH: Final = 100
_FILLERS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBench:
    """One call of the command. Each run has requests of its own, drawn with a seed of its own."""

    settings: Settings
    cores: Cores
    servers: ServerCpu
    directory: Path  # of its files; theirs to write
    users: Sequence[tuple[int, str, str]]  # id, e-mail, document number
    csv: Path
    email_path: str
    seconds: int
    rounds: int
    seed: int
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    name: str = field(default_factory=lambda: f"bench-{secrets.token_hex(4)}")

    @property
    def ids(self) -> list[int]:
        return [user[0] for user in self.users]

    def seed_of(self, turn: str) -> int:
        """The seed of the requests of one turn."""
        return zlib.crc32(f"{self.seed} {turn}".encode())

    def order(self, servers: Iterable[str], turn: int) -> list[str]:
        """Who comes later may find a busier machine, so the order changes with each turn."""
        return list(servers) if turn % 2 == 0 else list(servers)[::-1]

    def sample(
        self,
        server: Server,
        urls: Path,
        *,
        connections: int,
        writes: WriteSide | None = None,
        with_checks: bool = False,
    ) -> Sample:
        """One run and what it cost. Checks cost wrk so much that it would hold up a bare server."""
        written, began = (0 if writes is None else writes.committed()), time.monotonic()
        reads = read_statements.calls(self.settings)
        redis, postgres = self.servers.redis_s(), self.servers.postgres_s()
        own = cpu.process_s(server.pid)
        result = run_wrk(
            server.url,
            urls,
            seconds=self.seconds,
            connections=connections,
            core=self.cores.client,
            with_checks=with_checks,
        )
        own = cpu.process_s(server.pid) - own
        redis_now, postgres_now = self.servers.redis_s(), self.servers.postgres_s()
        return Sample(
            result=result,
            server_cpu_s=own,
            redis_cpu_s=None if redis is None or redis_now is None else redis_now - redis,
            postgres_cpu_s=None if postgres is None or postgres_now is None else postgres_now - postgres,
            postgres_reads=read_statements.calls(self.settings) - reads,
            written_per_s=None
            if writes is None
            else (writes.committed() - written) / (time.monotonic() - began),
        )

    def bodies(self, server: Server, urls: Path) -> list[bytes]:
        """What the service answers to some of the requests, for a bare handler to return."""
        asked = urls.read_text("utf-8").splitlines()
        chosen = random.Random(self.seed).sample(asked, min(_BODIES, len(asked)))
        return [fetch(server.url + path) for path in chosen]

    def fill(self, server: Server) -> None:
        """Have every user's tree read once, so that Redis holds it."""
        ids = self.ids
        for start in range(0, len(ids), _IDS_OF_A_BATCH):
            body = orjson.dumps({"entity_ids": ids[start : start + _IDS_OF_A_BATCH]})
            fetch(f"{server.url}/v1/graph/batch?depth=10", body)

    def fill_lookups(self, server: Server) -> None:
        """Have every user be looked for once by e-mail and by document, so that Redis holds who it is."""
        values = [(self.email_path, user[1]) for user in self.users]
        values += [("document.number", user[2]) for user in self.users]
        urls = [f"{server.url}/v1/graph/by-property/{p}/value/{quote(v, safe='')}?depth=1" for p, v in values]
        with ThreadPoolExecutor(_FILLERS) as pool:
            for _ in pool.map(fetch, urls):
                pass

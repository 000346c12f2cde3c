"""Clients of web workers that write what only grows and read it in every way; see tests/e2e/history.py."""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp

from app.core.consistency_token import HEADER
from tests.e2e.history import Cell, History, Write

USERS: Final = 6
QUIET: Final = 4  # of them, beside those
EDGE_EVERY: Final = 12  # writes of one user
_DAY0: Final = datetime(2025, 1, 15, tzinfo=UTC)
_FOLLOWED_S: Final = 3.0
_QUIET_S: Final = 3.0  # long enough to see that what is old stays
_PAIR_S: Final = (
    0.05,
    0.6,
)  # between two writes, of which the second meets a fill that the first one brought about
_AGAIN: Final = 3  # so that what a miss has stored is asked for before the next write
_UNREACHABLE: Final = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError)


def date_of(version: int) -> str:
    """The reference date of a version: told again, it changes nothing."""
    return (_DAY0 + timedelta(seconds=version)).isoformat()


class Traffic:
    """Users u0, u1, … in a ring of edges; each has an e-mail address that changes, edges that are added and a point.

    The next ones, `quiet`, stand alone and are written twice, with a long pause between the pairs: what is old of those
    that are written all the time lives no longer than until their next write.
    """

    def __init__(self, urls: Sequence[str], history: History, *, seed: int) -> None:
        self._urls = urls
        self.history = history
        self._random = random.Random(seed)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=8))
        self._ids: dict[str, int] = {}
        self.statuses: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.quiet = [f"u{USERS + i}" for i in range(QUIET)]
        self.ending = False

    async def close(self) -> None:
        await self._session.close()

    # --- writing

    async def populate(self) -> None:
        """Make the users and learn their ids."""
        edges = [_edge(f"u{i}", f"u{(i + 1) % USERS}", "next") for i in range(USERS)]
        alone = [{"reference": user, "type": "user"} for user in self.quiet]
        status, _ = await self._post(0, "/v1/graph/sync", {"relationships": edges, "entities": alone})
        assert status == 202
        for user in (*(f"u{i}" for i in range(USERS)), *self.quiet):
            async with self._session.get(f"{self._urls[0]}/v1/graph/by-reference/user/{user}") as response:
                assert response.status == 200, await response.text()
                self._ids[user] = (await response.json())["id"]

    async def writes_users(self, user: str) -> None:
        """Properties, an e-mail address and, now and then, an edge, in one POST each."""
        number, email, edges = (self.history.cell(f"{user}.{name}") for name in ("number", "email", "edges"))
        while not self.ending:
            version = number.version + 1
            cells = [number, email]
            properties = {"number": version, "email": email_of(user, version)}
            body: dict[str, Any] = {"entities": [_entity(user, properties, version)]}
            if version % EDGE_EVERY == 0:
                cells.append(edges)
                body["relationships"] = [_edge(user, f"{user}-{edges.version}", "has")]
            await self._writes("/v1/graph/sync", body, user, cells)
            await asyncio.sleep(self._random.uniform(0.02, 0.15))

    async def writes_in_pairs(self, user: str) -> None:
        """One property, twice, and then nothing while it is read everywhere."""
        number = self.history.cell(f"{user}.number")
        while not self.ending:
            for pause in (self._random.uniform(*_PAIR_S), 0.0):
                version = number.version + 1
                body = {"entities": [_entity(user, {"number": version}, version)]}
                reading = [asyncio.create_task(self._reads_all_over(user, for_s=pause))] if pause else []
                await self._writes("/v1/graph/sync", body, user, [number], followed=False)
                await asyncio.gather(asyncio.sleep(pause), *reading)
            await self._reads_all_over(user, for_s=_QUIET_S)

    async def _reads_all_over(self, user: str, *, for_s: float) -> None:
        """Ask each worker again and again; who is held at a place holds up nobody else."""
        until = time.monotonic() + for_s

        async def of(worker: int) -> None:
            while time.monotonic() < until and not self.ending:
                await self._reads_tree(worker, user, depth=1)
                await asyncio.sleep(0.05)

        await asyncio.gather(*map(of, range(len(self._urls))))

    async def writes_points(self, user: str) -> None:
        """A temporal row whose version grows."""
        point = self.history.cell(f"{user}.point")
        while not self.ending:
            version = point.version + 1
            told = {
                "entity_reference": user,
                "entity_type": "user",
                "key": "point",
                "granularity": "day",
                "reference_date": date_of(0),
                "version": version,
                "value": version,
            }
            await self._writes("/v1/temporal/ingest", {"data_points": [told]}, user, [point])
            await asyncio.sleep(self._random.uniform(0.05, 0.3))

    async def _writes(
        self, path: str, body: object, user: str, cells: Sequence[Cell], *, followed: bool = True
    ) -> None:
        """Write until it is acknowledged, by whichever worker, and follow it on another one."""
        worker = self._any_worker()
        now = time.monotonic()
        writes = [cell.begin(now) for cell in cells]
        while True:
            try:
                status, token = await self._post(worker, path, body)
            except _UNREACHABLE as error:
                self.statuses[f"POST {type(error).__name__}"] += 1
                # A server that can't be connected to has taken nothing.
                if not isinstance(error, aiohttp.ClientConnectorError):
                    _interrupt(writes)
                worker = self._other(worker)
                await asyncio.sleep(0.02)
                continue
            self.statuses[f"POST {status}"] += 1
            if status == 202:
                break
            assert status == 503, f"{path}: {status}"
            await asyncio.sleep(0.05)
        now = time.monotonic()
        for write in writes:
            write.acked = now
        if followed:
            await self._follows(self._other(worker), user, cells[0], token)

    async def _follows(self, worker: int, user: str, cell: Cell, token: str) -> None:
        """Read from this worker until it shows the write or is gone, and once with its token, first or last."""
        version = cell.version
        at_once = self._random.random() < 0.3
        if at_once:
            await self._reads_tree(worker, user, depth=1, told={cell.name: version}, token=token)
        until = time.monotonic() + _FOLLOWED_S
        while time.monotonic() < until:
            seen, _ = await self._reads_tree(worker, user, depth=1)
            if not seen or seen[cell.name] >= version:
                break
            await asyncio.sleep(0.002)
        if not at_once:
            await self._reads_tree(worker, user, depth=1, told={cell.name: version}, token=token)

    async def _post(self, worker: int, path: str, body: object) -> tuple[int, str]:
        async with self._session.post(f"{self._urls[worker]}{path}", json=body) as response:
            await response.read()
            return response.status, response.headers.get(HEADER, "")

    # --- reading

    async def reads(self) -> None:
        """By id, by reference and by property, of all workers, without tokens."""
        while not self.ending:
            worker, user = self._any_worker(), self._any_user()
            look_up, depth = self._random.random() < 0.4, self._random.choice((1, 1, 2, 4))
            for _ in range(_AGAIN):
                if look_up:
                    await self._reads_look_up(worker, user)
                else:
                    await self._reads_tree(worker, user, depth=depth)
            await asyncio.sleep(0.01)

    async def reads_in_a_session(self) -> None:
        """With the token of each answer in the next question, now here, now there: it never goes back."""
        token, session = "", dict[str, int]()
        for turn in itertools.count():
            if self.ending:
                return
            seen, token = await self._reads_tree(
                turn % len(self._urls),
                self._any_user(),
                depth=self._random.choice((1, 3)),
                told=session,
                token=token,
            )
            for name, version in seen.items():
                session[name] = max(session.get(name, 0), version)
            await asyncio.sleep(0.01)

    def _any_worker(self) -> int:
        return self._random.randrange(len(self._urls))

    def _other(self, worker: int) -> int:
        return (worker + self._random.randrange(1, len(self._urls))) % len(self._urls)

    def _any_user(self) -> str:
        return f"u{self._random.randrange(USERS)}"

    async def _reads_tree(
        self, worker: int, user: str, *, depth: int, told: Mapping[str, int] | None = None, token: str = ""
    ) -> tuple[dict[str, int], str]:
        """What it showed and the token of the answer; nothing where there was no answer."""
        by_id = self._random.random() < 0.7
        path = f"/v1/graph/{self._ids[user]}" if by_id else f"/v1/graph/by-reference/user/{user}"
        known = dict(told or {})
        seen: dict[str, int] = {}

        def take(answer: Any) -> None:
            _versions(answer, depth, seen)

        answered = await self._get(worker, f"{path}?depth={depth}", token, take, seen)
        if answered is None:
            return {}, token
        for name, version in known.items():
            if name in seen and seen[name] < version:
                self.history.broken_tokens.append(
                    f"{name}: {seen[name]} after {version} from {worker}: {path}"
                )
        return seen, answered

    async def _reads_look_up(self, worker: int, user: str) -> None:
        """The current address, or the one before it, perhaps of a moment ago."""
        cell = self.history.cell(f"{user}.email")
        version = cell.version - self._random.randrange(3)
        if version < 1:
            return
        began = time.monotonic()
        seen: dict[str, int] = {}
        found: list[Any] = []
        by = f"worker {worker}, asked for a look-up"
        path = f"/v1/graph/by-property/email/value/{email_of(user, version)}?depth=2"

        def take(answers: Any) -> None:
            found.extend(answers)
            for answer in answers:
                _versions(answer, 2, seen)

        if await self._get(worker, path, "", take, seen) is None:
            return
        if found:
            cell.finds(version, began=began, by=by)
        else:
            cell.lacks(version, began=began, ended=time.monotonic(), by=by)

    async def _get(
        self, worker: int, path: str, token: str, take: Callable[[Any], None], seen: Mapping[str, int]
    ) -> str | None:
        """Read, check, and return the token of the answer; None where there was none."""
        headers = {HEADER: token} if token else {}
        began = time.monotonic()
        try:
            async with self._session.get(f"{self._urls[worker]}{path}", headers=headers) as response:
                body = await response.read()
        except _UNREACHABLE as error:
            self.statuses[f"GET {type(error).__name__}"] += 1
            await asyncio.sleep(0.02)
            return None
        ended = time.monotonic()
        self.statuses[f"GET {response.status}"] += 1
        if response.status != 200:
            assert response.status == 503, f"{path}: {response.status} {body[:300]!r}"
            return None
        outcome = response.headers["Cache-Status"].removeprefix("user-profile; ")
        self.outcomes[outcome] += 1
        take(json.loads(body))
        by = f"worker {worker}, {outcome}, {time.strftime('%T')}, age {response.headers.get('Age')}: {path}"
        for name, version in seen.items():
            self.history.cell(name).shows(version, began=began, ended=ended, by=by)
        return response.headers.get(HEADER, token)


def _interrupt(writes: Sequence[Write]) -> None:
    for write in writes:
        write.interrupted = True


def email_of(user: str, version: int) -> str:
    return f"{user}.{version}@example.com"


def _entity(user: str, properties: Mapping[str, object], version: int) -> dict[str, object]:
    return {"reference": user, "type": "user", "properties": properties, "reference_date": date_of(version)}


def _edge(source: str, target: str, kind: str) -> dict[str, str]:
    return {
        "source_reference": source,
        "source_type": "user",
        "target_reference": target,
        "target_type": "user",
        "relationship_type": kind,
    }


def _versions(node: Any, levels: int, seen: dict[str, int]) -> None:
    """The version of each cell that the tree shows."""
    user = node["reference"]
    if node.get("repeated") or "-" in user:
        return
    properties, points = node["properties"], node["temporal_data"] or {}
    for name in ("number", "told"):
        seen[f"{user}.{name}"] = properties.get(name, {"value": 0})["value"]
    seen[f"{user}.point"] = points["point"][0]["value"] if "point" in points else 0
    if levels:
        seen[f"{user}.edges"] = sum(edge["type"] == "has" for edge in node["edges"])
        for edge in node["edges"]:
            _versions(edge["entity"], levels - 1, seen)

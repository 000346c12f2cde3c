"""Checks of Redis for `python -m app doctor`. They write nothing."""

from collections.abc import Sequence
from typing import Final, cast

from app.config.settings import Settings
from app.core.check_results import Finding, Level, failed, judged, unreachable
from app.core.errors import FatalError, TransientError
from storage.redis.cluster import RedisNodes
from storage.redis.security import RedisSecurity

_SLOTS: Final = 16_384


async def redis_findings(settings: Settings) -> list[Finding]:
    """The cluster and each node. Raises nothing; Redis is never required, so nothing of it is worse than a warning."""
    if not settings.redis_nodes:
        return [
            Finding(
                level=Level.OK, name="redis", what="there is none (PROFILE_REDIS_NODES): nothing is cached"
            )
        ]
    try:
        security = RedisSecurity.of(settings)
    except FatalError as error:
        return [failed("redis", error, mend="mend the file, or the setting (PROFILE_REDIS_…)")]
    nodes = RedisNodes(settings.redis_nodes, timeout_s=max(1.0, settings.redis_timeout_s), security=security)
    try:
        told = await nodes.ask_each(
            [("CLUSTER", "INFO"), ("CONFIG", "GET", "maxmemory*"), ("CONFIG", "GET", "appendonly")]
        )
    except TransientError as error:
        return [unreachable("redis", error, "PROFILE_REDIS_NODES", Level.WARN)]
    finally:
        await nodes.close()
    return [finding for name, replies in told.items() for finding in _node(f"redis.{name}", replies)]


def _node(name: str, replies: Sequence[object]) -> list[Finding]:
    info, memory, append_only = replies
    pairs = dict(line.split(":", 1) for line in cast("bytes", info).decode().split("\r\n") if ":" in line)
    covered = int(pairs.get("cluster_slots_ok", 0))
    known = _config(memory) | _config(append_only)
    policy = known.get("maxmemory-policy", "not told")
    return [
        judged(
            name,
            well=covered == _SLOTS,
            what=f"{covered} of {_SLOTS} slots are covered",
            mend="start the nodes that are away, or `redis-cli --cluster fix`: reads go past Redis meanwhile",
            level=Level.WARN,
        ),
        judged(
            f"{name}.memory",
            well=policy == "volatile-lfu" and known.get("maxmemory", "0") != "0",
            what=f"maxmemory {known.get('maxmemory', 'not told')}, {policy}",
            mend="CONFIG SET maxmemory-policy volatile-lfu and a maxmemory: marks have no TTL and must stay",
            level=Level.WARN,
        ),
        judged(
            f"{name}.persistence",
            well=known.get("appendonly") != "yes",
            what=f"appendonly {known.get('appendonly', 'not told')}",
            mend="turn it off, and snapshots: entries would come back whose invalidation came after them",
            level=Level.WARN,
        ),
    ]


def _config(reply: object) -> dict[str, str]:
    if not isinstance(reply, list):
        return {}
    texts = [part.decode() for part in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))

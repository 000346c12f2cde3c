"""What was promised, and whether an answer keeps it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.simulation.database import Database, leaf

Shown = Mapping[int, int]  # the number of each entity's version
DEPTH = 3


class BrokenPromise(AssertionError):
    """What went wrong, in a sentence."""


class Notified:
    """By key, what its holder had been notified of: at least these versions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_key: dict[bytes, dict[int, int]] = {}

    def copy(self) -> "Notified":
        made = Notified(self._database)
        made._by_key = {name: dict(shown) for name, shown in self._by_key.items()}
        return made

    def shown(self, position: int) -> Shown:
        """What a commit at this position tells of: what is visible, as far as it says (0: all)."""
        found = {}
        for entity in self._database.history:
            version = self._database.shown(
                entity, lambda commit: commit.visible and (not position or commit.position <= position)
            )
            if version is not None:
                found[entity] = version.number
        return found

    def add(self, notified: Mapping[bytes, Any]) -> None:
        for name, shown in notified.items():
            known = self._by_key.setdefault(name, {})
            for entity, number in shown.items():
                known[entity] = max(known.get(entity, -1), number)

    def all(self) -> Mapping[bytes, Shown]:
        return self._by_key

    def number(self, name: bytes, entity: int) -> int:
        return self._by_key.get(name, {}).get(entity, -1)


class Required:
    """What an answer has to show at least: what Redis and the worker had both been notified of when it was asked.

    What the worker owes Redis it knows by itself.
    """

    def __init__(self, redis: Notified, worker: Notified, owed: Notified) -> None:
        self._notified = redis.copy(), worker.copy()
        self._owed = owed.copy()

    def number(self, name: bytes, entity: int) -> int:
        both = min(notified.number(name, entity) for notified in self._notified)
        return max(both, self._owed.number(name, entity))


def versions_of(tree: Any) -> dict[int, int]:
    """The version of each entity that a tree shows in full. Raises where it shows two."""
    found: dict[int, int] = {}
    _walk(tree, found)
    return found


def _walk(node: Any, found: dict[int, int]) -> None:
    if node.get("repeated"):
        return
    if node["id"] in found:
        raise BrokenPromise(f"{node['id']} is shown in full twice")
    found[node["id"]] = node["properties"]["f"]["value"]
    for edge in node["edges"]:
        _walk(edge["entity"], found)


def check_tree(database: Database, tree: Any, *, late: frozenset[int], depth: int = DEPTH) -> None:
    """Each entity stands with the edges of its own version. Those of `late` may not be there yet."""
    level = [tree]
    for left in range(depth, -1, -1):
        following = []
        for node in level:
            if node.get("repeated"):
                continue
            number = node["properties"]["f"]["value"]
            targets = [edge["entity"]["id"] for edge in node["edges"]]
            version = database.versions(node["id"])[number]
            whole = sorted(version.edges) if left else []
            if targets != [t for t in whole if t in targets or t not in late]:
                raise BrokenPromise(
                    f"{node['id']} is shown as of version {number}, which leads to {whole}, and leads to {targets}"
                )
            following += [edge["entity"] for edge in node["edges"]]
        level = following


def check_list(
    database: Database, ids: Sequence[int], path: str, value: int, least: Mapping[int, int]
) -> None:
    """An entity that answers in each version since `least` is listed; one that does in none is not."""
    field, *inner = path.split(".")
    segments = [field, "value", *(inner[1:] if inner[:1] == ["value"] else inner)]
    for entity, history in database.history.items():
        since = max(0, least.get(entity, -1))
        answers = {leaf(version.properties(entity), segments) == value for _, version in history[since:]}
        is_new = least.get(entity, -1) < 0
        if answers == {True} and not is_new and entity not in ids:
            raise BrokenPromise(f"{path}={value} lacks {entity}, which answers it since version {since}")
        if answers == {False} and entity in ids:
            raise BrokenPromise(
                f"{path}={value} lists {entity}, which does not answer it since version {since}"
            )


def expected(database: Database, root: int, depth: int = DEPTH) -> Any:
    """The tree of what is visible, as (id, version, children), each entity expanded once; None without the root."""
    latest = {entity: database.latest(entity) for entity in database.history}
    seen = {root}
    nodes: dict[int, list[Any]] = {}
    level = [root]
    for left in range(depth, -1, -1):
        following = []
        for entity in level:
            version = latest.get(entity)
            if version is None:
                continue
            children: list[Any] = []
            nodes[entity] = [entity, version.number, children]
            for target in sorted(version.edges) if left else ():
                if latest.get(target) is None:
                    continue
                children.append((target, target not in seen))
                if target not in seen:
                    seen.add(target)
                    following.append(target)
        level = following

    def joined(entity: int) -> Any:
        _, number, children = nodes[entity]
        return [entity, number, [joined(t) if expands else t for t, expands in children]]

    return joined(root) if root in nodes else None


def as_told(tree: Any) -> Any:
    """An answer in the form of `expected`."""
    if tree.get("repeated"):
        return tree["id"]
    return [
        tree["id"],
        tree["properties"]["f"]["value"],
        [as_told(edge["entity"]) for edge in tree["edges"]],
    ]


def parsed(body: bytes | None) -> Any:
    return json.loads(body or b"null")

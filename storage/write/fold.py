"""The fold: of rows about the same thing in one batch, drop what is strictly older.

Ties stay, since they are decided in one place, in SQL. The results are sorted by key, so that writers of the same
rows wait for each other in one order.
"""

from collections.abc import Iterable
from operator import itemgetter
from typing import TypeVar

from app.core.models import EdgeRow, EntityRow, PropertyRow, TemporalRow

V = TypeVar("V", PropertyRow, TemporalRow)


def entities(rows: Iterable[EntityRow]) -> list[EntityRow]:
    """Each entity once."""
    named = {row[:2]: row for row in rows}
    return [named[key] for key in sorted(named)]


def properties(rows: Iterable[PropertyRow]) -> list[PropertyRow]:
    """Of one field of one entity, the rows of the latest date, one for each value."""
    newest: dict[tuple[str, str, str], list[PropertyRow]] = {}
    for row in rows:
        key = row[:3]
        kept = newest.get(key)
        if kept is None or row.reference_date > kept[0].reference_date:
            newest[key] = [row]
        elif row.reference_date == kept[0].reference_date:
            kept.append(row)
    return [row for _, kept in sorted(newest.items(), key=itemgetter(0)) for row in _each_value(kept)]


def edges(rows: Iterable[EdgeRow]) -> list[EdgeRow]:
    """Of one relationship, the rows of the newest metadata, and the latest one of those without any."""
    plain: dict[tuple[str, ...], EdgeRow] = {}
    told: dict[tuple[str, ...], list[EdgeRow]] = {}
    for row in rows:
        key: tuple[str, ...] = row[:5]
        if row.metadata is None:
            if key not in plain or row.told_at > plain[key].told_at:
                plain[key] = row
            continue
        kept = told.get(key)
        if kept is None or row.told_at > kept[0].told_at:
            told[key] = [row]
        elif row.told_at == kept[0].told_at:
            kept.append(row)
    for key, kept in told.items():
        if key in plain and plain[key].told_at > kept[0].told_at:
            kept.append(plain[key])
        else:
            plain.pop(key, None)
    keys = sorted(plain.keys() | told.keys())
    return [row for key in keys for row in _each_metadata(told.get(key) or [plain[key]])]


def temporal(rows: Iterable[TemporalRow]) -> list[TemporalRow]:
    """Of one point, the rows of the latest (reference date, version), one for each value."""
    newest: dict[tuple[object, ...], list[TemporalRow]] = {}
    for row in rows:
        key = row[:5]
        kept = newest.get(key)
        if kept is None:
            newest[key] = [row]
            continue
        ours, theirs = (row.reference_date, row.version), (kept[0].reference_date, kept[0].version)
        if ours > theirs:
            newest[key] = [row]
        elif ours == theirs:
            kept.append(row)
    return [row for _, kept in sorted(newest.items(), key=itemgetter(0)) for row in _each_value(kept)]


def _each_metadata(rows: list[EdgeRow]) -> list[EdgeRow]:
    # They may differ in their sources, which decide nothing here.
    return rows if len(rows) == 1 else list({row[:7]: row for row in reversed(rows)}.values())[::-1]


def _each_value(rows: list[V]) -> list[V]:
    # They differ in nothing else that decides anything: the first one stays, and with it its source.
    if len(rows) == 1:
        return rows
    first: dict[str | None, V] = {}
    for row in rows:
        first.setdefault(row.value, row)
    return list(first.values())

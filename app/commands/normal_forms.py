"""`python -m app sources repair`: stored properties in today's normal forms.

Of two statements of one date the larger text wins, whichever came first, so an event that is sent again in a new form
may lose to what it said before. This states the new form a microsecond later than what is stored: a newer event wins
over it as over what was there, and a second run finds nothing to do.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from app.commands.command_stores import open_stores
from app.config.settings import Settings
from app.core import dates
from app.core.errors import InvalidError, ProfileError
from app.core.models import Batch, PropertyRow, RecordSource
from app.core.text import printable
from app.ports.stated import StatedProperty
from app.ports.writing import ProfileWriter

if TYPE_CHECKING:
    from infra.settings import InfraSettings

_ROWS_AT_ONCE: Final = 1_000
_REPAIR: Final = """\
Brings properties that came through the topic entity-properties into the normal forms that the contracts of the
sources name (flink/contracts): run it after a release that changes a form. What HTTP clients wrote stays as they wrote
it, and references are never changed, since another reference is another entity. May be interrupted and repeated,
beside workers.
"""

Formats = Mapping[tuple[str, str], str]


def add_to(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `repair` to the actions of `sources`; it sets `run`."""
    repair = actions.add_parser(
        "repair",
        help="bring stored properties into today's normal forms",
        description=_REPAIR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    repair.add_argument("--dry-run", action="store_true", help="only count what would be written")
    repair.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from infra.errors import InfraError  # noqa: PLC0415 — only this command needs it
    from infra.flink.forms import formats_of_properties  # noqa: PLC0415
    from infra.settings import InfraSettings  # noqa: PLC0415

    try:
        formats = formats_of_properties()
        counts = asyncio.run(repair(Settings(), InfraSettings(), formats, dry_run=args.dry_run))
    except InfraError as error:
        raise ProfileError(str(error)) from error
    done = "would be corrected" if args.dry_run else "corrected"
    for (kind, field, outcome), count in sorted(counts.items()):
        what = {"corrected": done, "no-form": f"not of the format {formats[kind, field]}: left as it is"}
        print(f"{printable(kind)}\t{printable(field)}\t{count}\t{what.get(outcome, outcome)}")
    total = sum(count for (_, _, outcome), count in counts.items() if outcome == "corrected")
    print(f"{total} {done}.", file=sys.stderr)
    return 0


async def repair(
    settings: Settings, infra: "InfraSettings", formats: Formats, *, dry_run: bool
) -> Counter[tuple[str, str, str]]:
    """Read all properties that have a format and state those again that are in another form.

    Returns how many by type, field and outcome: `corrected`, `no-form` (it has no form, so it stays) or `refused`
    (PostgreSQL or a limit refuses the new value). Raises ProfileError or InfraError; what was written stays written.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    async with open_stores(settings) as stores:
        after: int | None = 0
        while after is not None:
            page = await stores.stated.page(after, about=formats.keys())
            after = page.next_after
            ours = [each for each in page.properties if _is_of(settings.topics.entity_properties, each)]
            changed = await asyncio.to_thread(_changed, infra, formats, ours, counts)
            for start in range(0, len(changed), _ROWS_AT_ONCE):
                rows = changed[start : start + _ROWS_AT_ONCE]
                refused = [] if dry_run else await _write(stores.writer, rows)
                counts.update((row.type, row.field, "refused") for row in refused)
                counts.update((row.type, row.field, "corrected") for row in rows if row not in refused)
    return counts


def _is_of(topic: str, stated: StatedProperty) -> bool:
    return isinstance(stated.source, RecordSource) and stated.source.topic == topic


def _changed(
    infra: "InfraSettings",
    formats: Formats,
    stated: Sequence[StatedProperty],
    counts: Counter[tuple[str, str, str]],
) -> list[PropertyRow]:
    from infra.flink.forms import normal_forms  # noqa: PLC0415 — only this command needs it

    if not stated:
        return []
    forms = normal_forms(infra, [(formats[each.type, each.field], each.value) for each in stated])
    rows = []
    for each, form in zip(stated, forms, strict=True):
        if form is None:
            counts[each.type, each.field, "no-form"] += 1
        elif json.loads(form) != json.loads(each.value):
            later = dates.parse(each.reference_date, field="reference_date") + timedelta(microseconds=1)
            # Stated when it was: an entity that is erased meanwhile does not come back.
            row = PropertyRow(
                each.type, each.reference, each.field, form, dates.to_text(later), later, source=each.source
            )
            rows.append(row)
    return rows


async def _write(writer: ProfileWriter, rows: Sequence[PropertyRow]) -> list[PropertyRow]:
    """Write these, and return those that are refused."""
    try:
        await writer.write(Batch(properties=list(rows)))
    except InvalidError:
        if len(rows) == 1:
            return list(rows)
        half = len(rows) // 2
        return [*await _write(writer, rows[:half]), *await _write(writer, rows[half:])]
    return []

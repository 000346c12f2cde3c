"""`python -m app sources repair` on real servers: stored forms become today's, and nothing else changes."""

import argparse
import json
from typing import Any

import pytest

from app.commands import normal_forms
from app.config.settings import Settings
from app.core.models import Batch, EntityKey, PropertyRow, RecordSource, RequestSource, Source
from infra.flink.forms import formats_of_properties
from infra.settings import InfraSettings
from storage.read import stated_properties
from storage.stores import Stores
from tests.rows import prop

pytestmark = pytest.mark.integration

FORMATS = formats_of_properties()
INFRA = InfraSettings(flink_phone_region="BR")


def stated(
    settings: Settings,
    reference: str,
    field: str,
    value: object,
    *,
    source: Source | None = None,
    seconds: int = 0,
) -> PropertyRow:
    """As a record of entity-properties stated it, unless another source is named."""
    source = source or RecordSource(settings.topics.entity_properties, 0, 7)
    return prop(reference, field, json.dumps(value), seconds)._replace(source=source)


async def values(db: Any) -> dict[tuple[str, str], Any]:
    rows = await db.fetch(
        "SELECT reference, key, value ->> 'value' AS value FROM entities, jsonb_each(properties) AS p (key, value)"
    )
    return {(row["reference"], row["key"]): row["value"] for row in rows}


async def row_versions(db: Any) -> dict[str, str]:
    return dict(await db.fetch("SELECT reference, xmin::text FROM entities"))


@pytest.mark.usefixtures("database")
async def test_stored_values_get_the_forms_of_today(
    stores: Stores, settings: Settings, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stated_properties, "ENTITIES_AT_ONCE", 2)  # several pages
    kafka_elsewhere = RecordSource("other-topic", 0, 1)
    rows = [
        stated(settings, "old", "email", " Joao@Email.com\t"),
        stated(settings, "old", "phone", "11 93491-0701"),
        stated(settings, "old", "document", {"type": "cpf", "number": "123.456.789-09"}),
        stated(settings, "old", "score", " Any Text "),  # no contract gives it a form
        stated(settings, "right", "email", "ana@email.com"),
        stated(settings, "right", "document", {"number": "12345678909", "type": "cpf"}),
        stated(settings, "wrong", "phone", "none"),
        stated(settings, "http", "email", "Ana@Email.com", source=RequestSource("r-1")),
        stated(settings, "elsewhere", "email", "Ana@Email.com", source=kafka_elsewhere),
        prop("unknown-source", "email", '"Ana@Email.com"'),
    ]
    await stores.writer.write(Batch(properties=rows))
    before, versions = await values(db), await row_versions(db)

    counts = await normal_forms.repair(settings, INFRA, FORMATS, dry_run=True)
    expected = {
        ("user", "email", "corrected"): 1,
        ("user", "phone", "corrected"): 1,
        ("user", "document", "corrected"): 1,
        ("user", "phone", "no-form"): 1,
    }
    assert counts == expected
    assert await row_versions(db) == versions

    assert await normal_forms.repair(settings, INFRA, FORMATS, dry_run=False) == expected
    corrected = {("old", "email"): "joao@email.com", ("old", "phone"): "+5511934910701"}
    found = await values(db)
    assert json.loads(found.pop(("old", "document"))) == {"type": "cpf", "number": "12345678909"}
    del before["old", "document"]
    assert found == before | corrected
    again = await row_versions(db)
    assert {reference for reference in again if again[reference] != versions[reference]} == {"old"}

    # A second run finds nothing; the old form told again loses; a newer statement wins.
    assert await normal_forms.repair(settings, INFRA, FORMATS, dry_run=False) == {
        ("user", "phone", "no-form"): 1
    }
    await stores.writer.write(Batch(properties=rows))
    assert (await values(db))["old", "email"] == "joao@email.com"
    await stores.writer.write(
        Batch(properties=[stated(settings, "old", "email", "new@email.com", seconds=1)])
    )
    assert (await values(db))["old", "email"] == "new@email.com"

    # Where it came from stays known.
    answer = await stores.provenance.by_reference(EntityKey("user", "old"))
    assert answer is not None
    assert answer.body is not None
    source = json.loads(answer.body)["properties"]["phone"]["source"]
    assert (source["topic"], source["offset"]) == (settings.topics.entity_properties, 7)


@pytest.mark.usefixtures("database")
async def test_what_is_erased_meanwhile_does_not_come_back(
    stores: Stores, settings: Settings, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stores.writer.write(Batch(properties=[stated(settings, "gone", "email", "Gone@Email.com")]))
    write = normal_forms._write

    async def write_after_erasure(writer: Any, rows: Any) -> list[PropertyRow]:
        assert await stores.eraser.erase(EntityKey("user", "gone"))
        return await write(writer, rows)

    monkeypatch.setattr(normal_forms, "_write", write_after_erasure)
    await normal_forms.repair(settings, INFRA, FORMATS, dry_run=False)
    assert not await db.fetchval(
        "SELECT count(*) FROM entities WHERE reference = 'gone' AND erased_as IS NULL"
    )


def test_the_command_takes_a_dry_run() -> None:
    parser = argparse.ArgumentParser()
    normal_forms.add_to(parser.add_subparsers())
    assert parser.parse_args(["repair", "--dry-run"]).dry_run

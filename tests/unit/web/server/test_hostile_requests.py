"""Whatever comes by HTTP, what reads it raises nothing but what it declares, and nothing is a 500."""

import base64
import json
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from app.core.api_keys import id_of
from app.core.consistency_token import Tokens
from app.core.errors import InvalidError
from app.core.signing import Signer
from tests.seed_bodies import SEED_INGEST, SEED_SYNC
from tests.unit.hostile import TEXTS, payloads
from tests.unit.web.fakes import SIGNER
from web.bodies import sync, temporal
from web.bodies.item_errors import Refusals
from web.http import cursors, parameters, tree_query
from web.problems import ProblemError

Client = TestClient[Any, Any]
Quick = settings(max_examples=100, deadline=None)

REMOVALS = {
    "removed_relationships": [
        {"source_reference": "a", "source_type": "user", "target_reference": "b", "relationship_type": "r"}
    ],
    "removed_properties": [
        {"reference": "a", "type": "user", "field": "f", "reference_date": "2025-01-15T10:30:00Z"}
    ],
}
SYNC = {**json.loads(SEED_SYNC), **REMOVALS}
INGEST = json.loads(SEED_INGEST)
NOW = datetime(2025, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize("dry", [True, False])
@Quick
@given(body=payloads(SYNC))
def test_a_sync_is_read_or_refused(body: bytes, *, dry: bool) -> None:
    with suppress(InvalidError, ProblemError):
        asked = sync.parse(body, max_items=50, max_value_bytes=500, refusals=Refusals() if dry else None)
        types = {reference: ["user"] for reference in asked.untyped}
        asked.rows(now=NOW, types=types, ahead=timedelta(days=1), refusals=Refusals() if dry else None)


@pytest.mark.parametrize("dry", [True, False])
@Quick
@given(body=payloads(INGEST))
def test_an_ingest_is_read_or_refused(body: bytes, *, dry: bool) -> None:
    with suppress(InvalidError, ProblemError):
        refusals = Refusals() if dry else None
        temporal.parse(body, max_items=50, max_value_bytes=500, refusals=refusals).rows(now=NOW)


@pytest.mark.parametrize(
    ("path", "sample"),
    [("/v1/graph/sync", SYNC), ("/v1/temporal/ingest", INGEST), ("/v1/graph/batch", {"entity_ids": [7]})],
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_body_is_a_500(client: Client, path: str, sample: Any, data: st.DataObject) -> None:
    response = await client.post(
        path, data=data.draw(payloads(sample)), headers={"Content-Type": "application/json"}
    )
    assert response.status in {200, 202, 400, 413, 422}


@Quick
@given(text=st.none() | TEXTS | st.text("ABCabc019-_=", max_size=40), path=TEXTS, value=TEXTS)
def test_a_cursor_is_read_or_refused(text: str | None, path: str, value: str) -> None:
    with suppress(ProblemError, UnicodeEncodeError if _lone(path + value) else ProblemError):
        assert cursors.decode(SIGNER, text, path, value) >= 0


def _lone(text: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" for sign in text)


@Quick
@given(after=st.integers(0, 2**63 - 1), path=st.text(max_size=20), value=st.text(max_size=20))
def test_a_cursor_leads_back_to_its_page_alone(after: int, path: str, value: str) -> None:
    made = cursors.encode(SIGNER, after, path, value)
    assert cursors.decode(SIGNER, made, path, value) == after
    with pytest.raises(ProblemError):
        cursors.decode(SIGNER, made, path + "x", value)
    with pytest.raises(ProblemError):
        cursors.decode(Signer(b"o" * 32), made, path, value)
    # As the version before made them, for anybody who could count.
    unsigned = struct.pack(
        ">Bq8s", 1, after, blake2b(f"{len(path)}:{path}{value}".encode(), digest_size=8).digest()
    )
    with pytest.raises(ProblemError, match="start without it"):
        cursors.decode(SIGNER, base64.urlsafe_b64encode(unsigned).decode().rstrip("="), path, value)
    changed = bytearray(base64.urlsafe_b64decode(made + "=" * (-len(made) % 4)))
    changed[8] ^= 1  # the entity after which the page begins
    with pytest.raises(ProblemError):
        cursors.decode(SIGNER, base64.urlsafe_b64encode(changed).decode().rstrip("="), path, value)


@Quick
@given(text=TEXTS | st.from_regex(r"[0-9]{1,21}\.[0-9]{1,11}\.[0-9]{1,11}-[0-9a-f]{1,17}", fullmatch=True))
def test_a_token_is_read_or_refused(text: str) -> None:
    with suppress(InvalidError):
        Tokens(lambda: "7.2.3", SIGNER).read(text)


@Quick
@given(text=TEXTS | st.from_regex(r"upk_[0-9a-f]{12}_[0-9a-f]{63,65}", fullmatch=True))
def test_a_key_has_an_id_or_none(text: str) -> None:
    found = id_of(text)
    assert found is None or text.startswith(f"upk_{found}_")


_NAMES = [
    "depth",
    "depthLimit",
    "period",
    "startTime",
    "as_of",
    "fields",
    "types",
    "limit",
    "cursor",
    "dry_run",
    "type",
]


@Quick
@given(pairs=st.lists(st.tuples(st.sampled_from(_NAMES), TEXTS | st.text("\\,.*", max_size=8)), max_size=4))
def test_a_query_is_read_or_refused(pairs: list[tuple[str, str]]) -> None:
    storable = [(name, text) for name, text in pairs if not _lone(text)]

    class Request:
        rel_url = URL.build(path="/v1/graph/7", query=storable)

    request: Any = Request()
    for read in (
        tree_query.of,
        parameters.limit,
        parameters.cursor,
        parameters.dry_run,
        parameters.listed_type,
    ):
        with suppress(ProblemError):
            read(request)


@Quick
@given(text=TEXTS)
def test_a_segment_is_read_or_refused(text: str) -> None:
    for read in (
        parameters.entity_id,
        parameters.property_path,
        parameters.property_value,
        parameters.entity_type,
        parameters.entity_reference,
    ):
        with suppress(ProblemError):
            read(text)

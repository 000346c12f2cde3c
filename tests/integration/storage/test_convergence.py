"""The same messages give the same database, in any order, any batching, over any workers, with any duplicates.

CONVERGENCE_EXAMPLES sets how many sets of messages are tried (60, if unset).
"""

import ast
import os
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from storage.stores import Stores
from tests.integration.storage import ingestion_model
from tests.integration.storage.delivery import DELIVERIES, Rounds, batch_of, messages_of, stored_after
from tests.integration.storage.ingestion_model import stored_of
from tests.integration.storage.scenarios import SCENARIOS, orders

pytestmark = pytest.mark.integration

EXAMPLES = int(os.environ.get("CONVERGENCE_EXAMPLES", "60"))


@pytest.mark.timeout(60 + 2 * EXAMPLES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(deliveries=DELIVERIES)
async def test_any_order_split_and_repetition_converge(
    stores: Stores, db: Any, deliveries: list[Rounds]
) -> None:
    messages = messages_of(deliveries[0])
    expected = stored_of(messages)
    for rounds in deliveries:
        assert await stored_after(stores.writer, db, rounds) == expected
    assert not await stores.writer.write(batch_of(messages)), "told again, it changes something"
    odd_dates = await db.fetch(
        r"SELECT value ->> 'reference_date' FROM entities, jsonb_each(properties) "
        r"WHERE value ->> 'reference_date' !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$'"
    )
    assert not odd_dates


@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario_converges(stores: Stores, db: Any, name: str) -> None:
    messages = SCENARIOS[name]
    expected = stored_of(messages)
    for rounds in orders(messages):
        assert await stored_after(stores.writer, db, rounds) == expected


def test_the_model_imports_nothing_of_the_project() -> None:
    with open(ingestion_model.__file__) as source:  # noqa: PTH123
        tree = ast.parse(source.read())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "."]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names

"""docs/asyncapi.yaml keeps to the meta-schema of AsyncAPI 3.

It is that of the npm package @asyncapi/specs, which `make docs-tools` installs; without it these tests are skipped.
"""

import copy
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from tests.unit.docs.published import DOCS

SPECS = DOCS / "node_modules/@asyncapi/specs/schemas"
DOCUMENT: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())

pytestmark = pytest.mark.skipif(
    not SPECS.is_dir(), reason="there is no AsyncAPI meta-schema: `make docs-tools` installs it (npm)"
)


@cache
def validator() -> Any:
    """Of the document's own version, draft 07, with all of its parts in it."""
    schema = json.loads((SPECS / f"{DOCUMENT['asyncapi']}.json").read_text())
    return jsonschema.Draft7Validator(schema)


def test_the_document_keeps_to_the_meta_schema() -> None:
    assert DOCUMENT["asyncapi"].startswith("3.")
    problems = [f"{error.json_path}: {error.message[:300]}" for error in validator().iter_errors(DOCUMENT)]
    assert problems == []


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.pop(name)


def _misspelled(document: dict[str, Any]) -> None:
    document["channels"]["domainEvents"]["adress"] = "x"


def _other_action(document: dict[str, Any]) -> None:
    next(iter(document["operations"].values()))["action"] = "publish"  # as version 2 has it


def _foreign_binding(document: dict[str, Any]) -> None:
    document["channels"]["domainEvents"]["bindings"]["kafka"]["partitions"] = "four"


@pytest.mark.parametrize(
    "spoil", [_without("info"), _without("asyncapi"), _misspelled, _other_action, _foreign_binding]
)
def test_the_meta_schema_sees_mistakes(spoil: Callable[[dict[str, Any]], None]) -> None:
    document = copy.deepcopy(DOCUMENT)
    spoil(document)
    assert not validator().is_valid(document)

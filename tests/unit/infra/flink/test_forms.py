"""Which property has which normal form, by the contracts alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.errors import InfraError
from infra.flink.forms import formats_of_properties


def _source(directory: Path, name: str, properties: dict[str, Any], write: list[dict[str, Any]]) -> None:
    (directory / name).mkdir()
    schema = {"properties": properties, "$defs": {"mail": {"format": "email"}}}
    (directory / name / "schema.json").write_text(json.dumps(schema))
    (directory / name / "mapping.json").write_text(json.dumps({"write": write}))


def test_those_of_the_contracts_as_they_are() -> None:
    found = formats_of_properties()
    assert found["user", "email"] == "email"
    assert found["user", "phone"] == "phone"
    assert found["user", "full_name"] == "name"  # of two members
    assert found["affiliation", "payment_methods"] == "lower-case"  # of a list's items, of a list's items
    assert found["organization", "document"] == "tax-id"
    assert ("user", "data_origin") not in found  # any JSON
    assert ("user", "segments") not in found  # references
    assert ("device", "last_seen_at") not in found  # a moment


def test_paths_lead_through_references_lists_and_items(tmp_path: Path) -> None:
    devices = {
        "items": {"properties": {"owner": {"$ref": "#/$defs/mail"}, "names": {"items": {"format": "name"}}}}
    }
    write = [
        {
            "each": "devices",
            "write": [
                {"property": "owner", "of": "device:.id", "value": ".owner"},
                {"property": "names", "of": "device:.id", "value": ".names"},
                {"property": "either", "of": "device:.id", "value": [".owner", ".names"]},
                {"property": "unknown", "of": "device:.id", "value": ".other"},
                {"property_from": ".name", "of": "device:.id", "value": ".owner"},
                {"edge": "of", "of": "device:.id", "to": "user:id"},
            ],
        },
        {"property": "owners", "of": "user:id", "list": "devices", "value": ".owner"},
    ]
    _source(tmp_path, "a", {"devices": devices}, write)
    assert formats_of_properties(tmp_path) == {
        ("device", "owner"): "email",
        ("device", "names"): "name",
        ("user", "owners"): "email",
    }


def test_two_formats_of_one_property_are_an_error(tmp_path: Path) -> None:
    write = [{"property": "contact", "of": "user:id", "value": "contact"}]
    _source(tmp_path, "a", {"contact": {"format": "email"}}, write)
    _source(tmp_path, "b", {"contact": {"format": "phone"}}, write)
    with pytest.raises(InfraError, match="contact of user has two formats: email and phone"):
        formats_of_properties(tmp_path)

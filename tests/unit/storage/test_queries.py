"""SQL lies in files, each query named, explained and used."""

import re
from pathlib import Path

import pytest

from storage.queries import DIRECTORY, load

SOURCES = "".join(path.read_text() for path in DIRECTORY.parent.glob("*.py"))


@pytest.mark.parametrize("name", sorted(load()))
def test_each_query_is_used(name: str) -> None:
    assert f'"{name}"' in SOURCES


@pytest.mark.parametrize("name", sorted(load()))
def test_each_query_says_what_it_is_for(name: str) -> None:
    assert load()[name].startswith("-- ")


def test_each_query_that_is_asked_for_exists() -> None:
    assert set(re.findall(r'query\("(\w+)"\)', SOURCES)) <= load().keys()


def test_a_name_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- name: x\n-- One.\nSELECT 1;\n-- name: x\n-- Two.\nSELECT 2;\n")
    with pytest.raises(ValueError, match="names the query x again"):
        load(tmp_path)

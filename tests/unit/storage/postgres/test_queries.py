import re
from pathlib import Path

import pytest

import storage
from storage.postgres.queries import DIRECTORY, load, query

SOURCES = "".join(path.read_text() for path in Path(storage.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("name", sorted(load()))
def test_every_query_is_used(name: str) -> None:
    assert f'"{name}"' in SOURCES


def test_every_query_that_is_asked_for_exists() -> None:
    for name in re.findall(r'query\("(\w+)"\)', SOURCES):
        assert query(name)


@pytest.mark.parametrize("path", sorted(DIRECTORY.glob("*.sql")), ids=lambda path: path.name)
def test_every_query_says_its_purpose(path: Path) -> None:
    parts = re.split(r"^-- name: \w+\n", path.read_text(), flags=re.MULTILINE)
    assert len(parts) > 1
    assert all(part.startswith("-- ") for part in parts)
    assert not re.search(r"^--\s*name\s*:(?! \w+$)", path.read_text(), re.MULTILINE)


def test_parameters_are_numbered_without_gaps() -> None:
    for name, text in load().items():
        code = re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)
        used = {int(n) for n in re.findall(r"\$(\d+)", code)}
        assert used == set(range(1, len(used) + 1)), name


def test_a_name_given_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- name: x\nSELECT 1;\n")
    (tmp_path / "b.sql").write_text("-- name: x\nSELECT 2;\n")
    with pytest.raises(ValueError, match="again"):
        load(tmp_path)

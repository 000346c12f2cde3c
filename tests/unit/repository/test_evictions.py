"""Nothing bounded looks for its oldest entry by walking over what has left before it.

A dict keeps the places of deleted entries until it grows; `next(iter(d))` walks over all of them, so that evictions
from the front take quadratic time in all. `OrderedDict.popitem(last=False)` and a deque take one step.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PRODUCT = ("agents", "app", "cdc", "storage", "web")


def _is_own(node: ast.AST) -> bool:
    """Whether this is `self.something`: what lives on, and is bounded by evictions."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def walks(source: str) -> list[int]:
    """The lines that take the first one of what an object keeps, by `next(iter(…))` or `list(…)[0]`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.Call(
                    func=ast.Name(id="next"), args=[ast.Call(func=ast.Name(id="iter"), args=[kept, *_]), *_]
                )
                | ast.Subscript(
                    value=ast.Call(func=ast.Name(id="list" | "tuple"), args=[kept]),
                    slice=ast.Constant(value=0),
                )
            ) if any(_is_own(part) for part in ast.walk(kept)):
                found.append(node.lineno)
            case ast.Call(func=ast.Attribute(attr="pop"), args=[ast.Constant(value=0)], keywords=[]):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize("package", PRODUCT)
def test_no_module_walks_to_its_oldest_entry(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in walks(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("self._kept.pop(next(iter(self._kept)))", True),
        ("del self._kept[next(iter(self._kept.keys()))]", True),
        ("first = list(self._kept)[0]", True),
        ("self._waiting.pop(0)", True),
        ("self._kept.popitem(last=False)", False),
        ("example = next(iter(letters), '')", False),
        ("first = next(iter(rows.values()))", False),
    ],
)
def test_the_search_knows_the_ways_to_walk(line: str, is_found: bool) -> None:
    assert bool(walks(line)) is is_found

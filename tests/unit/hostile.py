"""What strangers send: JSON that is nearly right, broken JSON, and bytes."""

import json
from typing import Any

from hypothesis import strategies as st

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *("", "\0", "\ud800", "user", "u-7", "null", "-0", "1e400", "NaN", "9" * 30, "day", "2025-01-15"),
            *(
                "2025-01-15T10:30:00Z",
                "0001-01-01T00:00:00+14:00",
                "9999-12-31T23:59:59.999999-14:00",
                "\u202e",
            ),
        ]
    ),
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True, allow_infinity=True), TEXTS
)


def values(names: list[str]) -> st.SearchStrategy[Any]:
    """JSON values whose objects have these members and others."""
    keys = st.one_of(st.sampled_from(names), TEXTS)
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=5)),
        max_leaves=12,
    )


def near(sample: Any, names: list[str]) -> st.SearchStrategy[Any]:
    """The sample with parts of it left out, doubled, or replaced by any value."""
    anything = values(names)
    if isinstance(sample, dict):
        members = {name: near(part, names) for name, part in sample.items()}
        kept = st.fixed_dictionaries({}, optional=members)
        return st.one_of(st.fixed_dictionaries(members), kept, anything)
    if isinstance(sample, list):
        return st.one_of(st.lists(st.one_of([near(part, names) for part in sample]), max_size=3), anything)
    return st.one_of(st.just(sample), st.just(sample), anything)


def payloads(sample: Any) -> st.SearchStrategy[bytes]:
    """Bodies: near JSON, JSON that is cut or has a byte changed, deep nesting, and any bytes."""
    written = near(sample, sorted(names_in(sample))).map(_written)
    return st.one_of(
        written,
        st.builds(_cut, written, st.integers(0, 200)),
        st.builds(_changed, written, st.integers(0, 200), st.integers(0, 255)),
        st.integers(1, 3000).map(lambda depth: b"[" * depth),
        st.integers(1, 3000).map(lambda depth: b'{"properties":' * depth),
        st.binary(max_size=60),
    )


def names_in(sample: Any) -> set[str]:
    if isinstance(sample, dict):
        return {*sample, *(name for part in sample.values() for name in names_in(part))}
    return {name for part in sample for name in names_in(part)} if isinstance(sample, list) else set()


def _written(value: Any) -> bytes:
    # NaN and lone surrogates, too: they are what a lenient writer sends.
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


def _cut(body: bytes, at: int) -> bytes:
    return body[:at]


def _changed(body: bytes, at: int, to: int) -> bytes:
    if not body:
        return body
    at %= len(body)
    return body[:at] + bytes([to]) + body[at + 1 :]

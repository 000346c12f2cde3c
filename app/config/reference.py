"""The page of all settings, made from their fields: `python -m app.config.reference > docs/settings.md`."""

import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from app.config.ingest_settings import IngestSettings
from app.config.kafka_settings import KafkaSettings
from app.config.settings import Role, Settings
from app.config.store_settings import StoreSettings
from app.config.web_settings import WebSettings

_HEAD: Final = """# Settings

They come from the environment, or from a file `.env`. Units stand in the names: `_S` seconds, `_MS` milliseconds, \
`_BYTES` bytes, `_MB` mebibytes. The defaults name the local stack of `python -m infra up` and are reachable from this \
machine alone. `python -m app doctor` says what is wrong with them. Limits are those of the whole worker, whatever \
processes it has. TLS and passwords: [security.md](security.md#to-the-servers). The local stack has its own settings, \
`INFRA_…`: [infra/settings.py](../infra/settings.py).

This page is made from the code (`python -m app.config.reference`).
"""
_GROUPS: Final[Sequence[tuple[str, type[BaseModel]]]] = (
    ("Kafka, topics, change data capture", KafkaSettings),
    ("PostgreSQL, Redis, caches, erasures", StoreSettings),
    ("Ingestion", IngestSettings),
    ("HTTP", WebSettings),
)
_BOUNDS: Final = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))


def page() -> str:
    """The page as Markdown: a table for each group."""
    grouped = {name for _, group in _GROUPS for name in group.model_fields}
    process = {name: field for name, field in Settings.model_fields.items() if name not in grouped}
    tables = [("The worker", process), *((title, group.model_fields) for title, group in _GROUPS)]
    return _HEAD + "".join(
        f"\n## {title}\n\n| variable | default | bounds | meaning |\n|---|---|---|---|\n"
        + "".join(_line(name, field) for name, field in fields.items())
        for title, fields in tables
    )


def _line(name: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("|", "\\|")
    meaning = meaning[:1].upper() + meaning[1:]
    return f"| `PROFILE_{name.upper()}` | {_default(field)} | {', '.join(_bounds(field))} | {meaning} |\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value == list(Role):
        return "`all`"
    if isinstance(value, list):
        return "<br>".join(filter(None, [_text(item) for item in value]))
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _bounds(field: FieldInfo) -> Iterator[str]:
    for constraint in field.metadata:
        for name, sign in _BOUNDS:
            bound = getattr(constraint, name, None)
            if bound is not None:
                yield f"{sign} {bound:g}" if isinstance(bound, float) else f"{sign} {bound}"


if __name__ == "__main__":
    sys.stdout.write(page())

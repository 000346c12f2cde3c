"""The normal forms of properties, by the contracts: which property has which, and a stored value in today's form.

The jar of the jobs brings values into their forms (`userprofile.sources.NormalForms`), in a JVM of its own: there is no
second normalisation that could differ.
"""

import base64
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from infra.errors import InfraError
from infra.flink import jobs
from infra.install.functions import functions_jar
from infra.settings import InfraSettings

# Those of texts that people write. A reference names an entity: another form would be another entity.
FORMATS: Final = frozenset({"email", "lower-case", "name", "phone", "tax-id"})
_CLASS: Final = "userprofile.sources.NormalForms"
_JVM: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")
_TIMEOUT_S: Final = 600


def formats_of_properties(contracts: Path | None = None) -> dict[tuple[str, str], str]:
    """The format of each property that has one of FORMATS, by the type of its entity and its name.

    Raises InfraError where two sources write one property in two formats.
    """
    found: dict[tuple[str, str], str] = {}
    for path in sorted((contracts or jobs.SQL_DIR / "contracts").glob("*/mapping.json")):
        schema = json.loads(path.with_name("schema.json").read_text())
        for about, value in _properties(json.loads(path.read_text()).get("write", []), ()):
            format_ = _format(schema, value)
            if format_ in FORMATS and found.setdefault(about, format_) != format_:
                raise InfraError(f"{about[1]} of {about[0]} has two formats: {found[about]} and {format_}.")
    return found


def normal_forms(settings: InfraSettings, values: Sequence[tuple[str, str]]) -> list[str | None]:
    """Each value, a format and JSON text, in its normal form; None where it is none of its format.

    Raises InfraError where there is no Java.
    """
    argv = ["java", *_JVM, "-cp", str(functions_jar(settings)), _CLASS, settings.flink_phone_region]
    lines = b"".join(
        b"%b\t%b\n" % (format_.encode(), base64.b64encode(value.encode())) for format_, value in values
    )
    try:
        done = subprocess.run(argv, input=lines, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except OSError as error:
        raise InfraError(f"java does not start ({error}): `python -m infra install` puts it here.") from error
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"java did not answer within {_TIMEOUT_S} s.") from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise InfraError(f"The values can't be read: {reason[0] if reason else 'no reason'}")
    return [line or None for line in done.stdout.decode().split("\n")[:-1]]


def _properties(
    rules: list[dict[str, Any]], each: tuple[str, ...]
) -> Iterator[tuple[tuple[str, str], list[tuple[str, ...]]]]:
    """(type, property) and the paths of its value, of all rules; `each`: the path of the items that they are for."""
    for rule in rules:
        within = each
        if "each" in rule:
            path = rule["each"]
            within = (*(each if path.startswith(".") else ()), *path.removeprefix(".").split("."), "[]")
        if "write" in rule:
            yield from _properties(rule["write"], within)
        elif "property" in rule:
            of = rule["of"].partition(":")[0]
            values = rule["value"] if isinstance(rule["value"], list) else [rule["value"]]
            if "list" in rule:
                listed = (*rule["list"].split("."), "[]")
                yield (
                    (of, rule["property"]),
                    [(*listed, *value.removeprefix(".").split(".")) for value in values],
                )
            else:
                yield (of, rule["property"]), [_absolute(value, within) for value in values]


def _absolute(path: str, within: tuple[str, ...]) -> tuple[str, ...]:
    return (*within, *path[1:].split(".")) if path.startswith(".") else tuple(path.split("."))


def _format(schema: dict[str, Any], paths: list[tuple[str, ...]]) -> str | None:
    """The one format of these; of a list that of its items."""
    formats = {_format_at(schema, schema, path) for path in paths}
    return formats.pop() if len(formats) == 1 else None


def _format_at(root: dict[str, Any], schema: dict[str, Any], path: tuple[str, ...]) -> str | None:
    at = _resolved(root, schema)
    if not path:
        return at.get("format") or (_format_at(root, at["items"], ()) if "items" in at else None)
    inner = at.get("items") if path[0] == "[]" else at.get("properties", {}).get(path[0])
    return None if inner is None else _format_at(root, inner, path[1:])


def _resolved(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    at = root
    for step in schema["$ref"].removeprefix("#/").split("/"):
        at = at[step]
    return at

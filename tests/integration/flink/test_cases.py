"""Input file → expected output file, for each source: `cases/<source>.in.tsv` → `cases/<source>.out.tsv`.

Nothing in a file depends on which source topic is read first.

A line is topic, key, timestamp and value, digit for digit. The key of a dead letter, which is its place, is left out
for that of its record, its error and its reason; its timestamp, which is the broker's, is `broker`. The inputs hold
what sources may change (see flink/README.md): unknown fields, optional ones that are missing, numbers that became
text, decimals or exponents. `FLINK_CASES=write` writes the output files anew, to be read before they are committed.
"""

import os
from pathlib import Path

import pytest

from tests.integration.flink.conftest import Output, Pipeline

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

CASES = Path(__file__).with_name("cases")
# What these users, accounts and so on are called in the inputs of each source.
MARKS = {
    "payments": "case-p",
    "accounts": "case-a",
    "crm": "case-c",
    "cdp": "case-d",
    "metrics": "case-m",
}
ENTITIES = {
    "payments": ":case-pay-",
    "accounts": ":case-account-",
    "crm": ":case-crm-",
    "cdp": ":case-cdp-",
    "metrics": ":case-metric-",
}


def _lines(output: Output, pipeline: Pipeline, source: str) -> list[str]:
    """The normalised records about the source's entities and the dead letters of its records, sorted."""
    found = []
    for name, records in output.records.items():
        topic = name.removeprefix(pipeline.prefix)
        for record in records:
            headers = {key: value.decode() for key, value in record.headers}
            stamp = str(record.timestamp)
            key = headers.get("dlq.key", (record.key or b"").decode())
            if topic.endswith(".dlq") and (key == MARKS[source] or key.startswith(f"{MARKS[source]}-")):
                key = f"{key} ({headers['dlq.error']}: {headers['dlq.reason']})"
                stamp = "broker"
            elif ENTITIES[source] not in key or (source == "payments" and topic != "temporal-data"):
                continue
            found.append(f"{topic}\t{key}\t{stamp}\t{(record.value or b'').decode()}")
    return sorted(found)


@pytest.mark.parametrize("source", MARKS)
async def test_a_source_makes_of_its_input_what_the_file_says(pipeline: Pipeline, source: str) -> None:
    lines = [line.split("\t") for line in (CASES / f"{source}.in.tsv").read_text().splitlines()]
    for name in dict.fromkeys(topic for topic, *_ in lines):
        records = [
            (key.encode(), value.encode(), int(at)) for topic, key, at, value in lines if topic == name
        ]
        await pipeline.send(f"{pipeline.prefix}{name}", records)
    expected = CASES / f"{source}.out.tsv"
    if os.environ.get("FLINK_CASES") == "write":
        output = await pipeline.settled()
        expected.write_text("".join(f"{line}\n" for line in _lines(output, pipeline, source)))
    wanted = expected.read_text().splitlines()
    assert wanted
    output = await pipeline.read(until=lambda o: len(_lines(o, pipeline, source)) >= len(wanted))
    assert _lines(output, pipeline, source) == wanted

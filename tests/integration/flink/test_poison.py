"""No record stops a job, however odd its numbers and texts are: what comes after it arrives."""

import pytest

from tests.integration.flink.conftest import Output, Pipeline
from tests.integration.flink.test_jobs import AT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ODD = (
    b"1e99999999999",
    b"-1e-99999999999",
    b"1" * 1200,
    b'"\\ud800"',
    b'"\\u0000"',
    b"[" * 1200 + b"]" * 1200,
)
CRM = (
    b'{"Id":"%b","Timestamp":"1997-01-01T10:00:00Z","Customer":{"ExternalRef":"%b","Status":"ACTIVE"},'
    b'"DataOrigin":%b}'
)
CDP = (
    b'{"message_id":"%b","timestamp":"1997-01-01T10:00:00Z","user_id":"%b","traits":[{"name":"odd","value":%b},'
    b'{"name":"even","value":2}]}'
)
METRIC = (
    b'{"uid":"%b","subject":"user/%b","metric":"engagement","grain":"YEARLY","period":"1997","revision":1,'
    b'"computed_at":852112800,"measures":%b}'
)


@pytest.mark.parametrize(("number", "body"), [(2, CRM), (3, CDP), (4, METRIC)])
async def test_no_value_stops_a_job(pipeline: Pipeline, number: int, body: bytes) -> None:
    source = pipeline.topics.sources[number]
    names = [b"poison-%d-%d" % (number, n) for n in range(len(ODD) + 1)]
    values = [body % (name, name, odd) for name, odd in zip(names, (*ODD, b"3"), strict=True)]
    await pipeline.send(source, [(b"poison", value, AT) for value in values])
    target = pipeline.topics.temporal_data if number == 4 else pipeline.topics.entity_properties

    def untold(output: Output) -> list[bytes]:
        letters = {letter.value for letter in output.letters(source, b"poison")}
        return [
            name
            for name, value in zip(names, values, strict=True)
            if value not in letters and not output.bodies(target, name.decode())
        ]

    output = await pipeline.read(until=lambda o: not untold(o))
    assert output.bodies(target, names[-1].decode())

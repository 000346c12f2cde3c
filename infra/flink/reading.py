"""What would become of source events, by the contracts that the jobs use and without a cluster.

The jar of the jobs reads them (`userprofile.sources.ReadEvents`), in a JVM of its own: there is no second reading of a
contract that could differ.
"""

import base64
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from infra.errors import InfraError
from infra.install.functions import functions_jar
from infra.settings import InfraSettings

_CLASS: Final = "userprofile.sources.ReadEvents"
_JVM: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")


class Event(msgspec.Struct, frozen=True):
    """A record of a source topic: the topic without a prefix, its bytes, when the broker took it (ms since 1970)."""

    source: str
    value: bytes
    arrival_ms: int


class Fault(msgspec.Struct, frozen=True):
    """What is wrong: a path, the reason with it, the part that is left out (None: the whole event), and the path in the
    contract, without numbers of items.
    """

    path: str
    reason: str
    part: str | None
    place: str


class Written(msgspec.Struct, frozen=True):
    """A normalised record; `body` is its JSON text, `timestamp` milliseconds since 1970."""

    topic: str
    key: str
    timestamp: int
    body: str


class Reading(msgspec.Struct, frozen=True):
    """What one event becomes. `id` is None where all of it is a dead letter; `columns` are what SQL reads of it."""

    id: str | None
    faults: list[Fault]
    records: list[Written]
    columns: dict[str, str | int | None]


_DECODER: Final = msgspec.json.Decoder(Reading)


def read_events(settings: InfraSettings, events: Iterable[Event]) -> Iterator[Reading]:
    """The reading of each event, in their order. Raises InfraError: no contract of that name, or no Java."""
    argv = ["java", *_JVM, "-cp", str(functions_jar(settings)), _CLASS, settings.flink_phone_region]
    with tempfile.TemporaryFile() as lines_in, tempfile.TemporaryFile() as complaints:
        for event in events:
            lines_in.write(
                b"%b\t%d\t%b\n" % (event.source.encode(), event.arrival_ms, base64.b64encode(event.value))
            )
        lines_in.seek(0)
        try:
            with subprocess.Popen(argv, stdin=lines_in, stdout=subprocess.PIPE, stderr=complaints) as process:
                for line in process.stdout or ():
                    yield _DECODER.decode(line)
        except OSError as error:
            raise InfraError(
                f"java does not start ({error}): `python -m infra install` puts it here."
            ) from error
        if process.returncode:
            complaints.seek(0)
            text = complaints.read().decode(errors="replace")
            raise InfraError(
                f"The events can't be read: {text.strip().splitlines()[0] if text.strip() else 'no reason'}"
            )

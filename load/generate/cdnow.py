"""Real purchases: the CDNOW data set (Fader and Hardie, 2001), January 1997 to June 1998.

The files are read from the PyPI wheel of `lifetimes`, pinned by version and hash, which lies in the download
cache; they are not part of this project. They have dates but no times, so each purchase gets a time of its
day, always the same one. Dollars are read as decimals and become integer cents.
"""

import io
import os
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, Literal

from infra.install.artifacts import installed
from infra.service import run
from infra.settings import InfraSettings
from load.errors import LoadError
from load.generate import people
from load.generate.purchases import Purchase

DataSet = Literal["cdnow", "cdnow-master"]

_VERSION: Final = "0.11.3"
_SHA256: Final = "261e3dc89977c2b60767ca6728aaa29d429de0c814635070a749c36555895da8"
_FILES: Final[dict[DataSet, str]] = {
    "cdnow": "lifetimes/datasets/CDNOW_sample.txt",
    "cdnow-master": "lifetimes/datasets/CDNOW_master.txt",
}
_OPENS_S: Final = 8 * 3600  # a shop's day, in seconds since midnight UTC
_CLOSES_S: Final = 22 * 3600


def purchases(data: DataSet) -> list[Purchase]:
    """All purchases of a file, in the file's order (by customer). Raises LoadError, or InfraError offline."""
    with zipfile.ZipFile(wheel(InfraSettings())) as archive:
        return list(parse(archive.read(_FILES[data]).decode("ascii"), data))


def wheel(settings: InfraSettings) -> Path:
    """The wheel in the download cache; downloaded on first use, its hash checked by pip."""

    def build(directory: Path) -> None:
        requirement = directory / "requirements.txt"
        requirement.write_text(f"lifetimes=={_VERSION} --hash=sha256:{_SHA256}\n")
        run(
            [
                *[sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"],
                *["--require-hashes", "--disable-pip-version-check"],
                *["--dest", str(directory), "-r", str(requirement)],
            ],
            purpose="Downloading the CDNOW data (the wheel of lifetimes) from PyPI",
            environment={**os.environ, "PIP_NO_INPUT": "1"},
        )

    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    directory = installed(settings, "cdnow", _SHA256[:12], build)
    return next(directory.glob("*.whl"))


def parse(text: str, data: DataSet) -> Iterator[Purchase]:
    """Read lines of `customer [sample customer] date CDs dollars`; the master file has a header line.

    Two purchases of one customer on one day are two purchases, also where they are alike. Raises LoadError.
    """
    header = data == "cdnow-master"
    width = 4 if header else 5
    seen: dict[str, int] = {}
    for number, line in enumerate(io.StringIO(text), start=1):
        if (header and number == 1) or not line.strip():
            continue
        try:
            # Columns too few or too many are a ValueError as well.
            customer, *_, day, quantity, dollars = _columns(line, width)
            date = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
            index = seen[customer] = seen.get(customer, 0) + 1
            yield Purchase(
                reference=f"user-cdnow-{customer}",
                index=index,
                occurred_at=date + _time_of_day(customer, index),
                quantity=int(quantity),
                amount_cents=_cents(dollars),
            )
        except (ValueError, InvalidOperation):
            raise LoadError(
                f"Line {number} of the CDNOW file is not `customer … date CDs dollars`: {line.strip()!r}. "
                "Remove the directory cdnow-… of the download cache and try again."
            ) from None


def _columns(line: str, width: int) -> list[str]:
    columns = line.split()
    if len(columns) != width:
        raise ValueError(width)
    return columns


def _cents(dollars: str) -> int:
    cents = Decimal(dollars) * 100
    if cents != cents.to_integral_value():
        raise ValueError(dollars)
    return int(cents)


def _time_of_day(customer: str, index: int) -> timedelta:
    second = people.stream("cdnow", customer, index).randrange(_OPENS_S, _CLOSES_S)
    return timedelta(seconds=second)

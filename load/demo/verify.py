"""Compares what HTTP answers with the sums straight from the file, to the cent."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp
import msgspec

from load.demo.console import DemoError

CONCURRENCY = 16


@dataclass(frozen=True, slots=True)
class Sums:
    """Integer cents, items and number of payments."""

    amount_cents: int = 0
    quantity: int = 0
    payments: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.amount_cents + other.amount_cents,
            self.quantity + other.quantity,
            self.payments + other.payments,
        )


MonthKey = tuple[str, str]  # reference of the user, month as 1997-01


async def monthly_sums(base_url: str, references: Iterable[str]) -> dict[MonthKey, Sums]:
    """The months of each user's `payments`, read over HTTP. Raises DemoError unless answered 200."""
    found: dict[MonthKey, Sums] = {}
    gate = asyncio.Semaphore(CONCURRENCY)

    async def read(http: aiohttp.ClientSession, reference: str) -> None:
        url = f"{base_url}/v1/graph/by-reference/user/{quote(reference, safe='')}?depth=1"
        async with gate, http.get(url) as response:
            body = await response.read()
            if response.status != 200:
                raise DemoError(
                    f"GET {url} answered {response.status}: {body[:300].decode(errors='replace')}"
                )
        for point in (msgspec.json.decode(body)["temporal_data"] or {}).get("payments", ()):
            if point["granularity"] == "month":
                value = point["value"]
                month = (reference, point["reference_date"][:7])
                found[month] = Sums(value["amount_cents"], value["quantity"], value["transaction_count"])

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(read(http, reference) for reference in references))
    return found


def compare(expected: Mapping[MonthKey, Sums], found: Mapping[MonthKey, Sums]) -> Sums:
    """Return the total where both agree on each user-month. Raises DemoError naming differences."""
    wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    if wrong:
        lines = [f"  {key}: file {expected.get(key)}, HTTP {found.get(key)}" for key in wrong[:5]]
        raise DemoError(
            f"{len(wrong)} of {len(expected)} user-months differ from the file:\n" + "\n".join(lines)
        )
    return sum(found.values(), Sums())

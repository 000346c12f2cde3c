"""Compares what HTTP answers with the sums straight from the file, to the cent."""

import asyncio
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import aiohttp
import msgspec

from load import own_key
from load.demo.console import DemoError
from load.generate.purchases import Totals, UserPeriod, overall

CONCURRENCY = 16


async def monthly_sums(base_url: str, references: Iterable[str]) -> dict[UserPeriod, Totals]:
    """The months of each user's `payments`, read over HTTP. Raises DemoError unless answered 200."""
    found: dict[UserPeriod, Totals] = {}
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
                found[month] = Totals(value["amount_cents"], value["quantity"], value["transaction_count"])

    async with aiohttp.ClientSession(headers=own_key.headers()) as http:
        await asyncio.gather(*(read(http, reference) for reference in references))
    return found


def compare(expected: Mapping[UserPeriod, Totals], found: Mapping[UserPeriod, Totals]) -> Totals:
    """Return the total where both agree on each user-month. Raises DemoError naming differences."""
    wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    if wrong:
        lines = [f"  {key}: file {expected.get(key)}, HTTP {found.get(key)}" for key in wrong[:5]]
        raise DemoError(
            f"{len(wrong)} of {len(expected)} user-months differ from the file:\n" + "\n".join(lines)
        )
    return overall(found.values())

"""Points of all years that a date can have, in any number of months: kept and read as any others."""

import json
from datetime import UTC, datetime
from typing import Final, get_args

import pytest

from app.core import dates
from app.core.models import Batch, Granularity
from storage.stores import Stores
from tests.rows import point, user

pytestmark = pytest.mark.integration

UNUSUAL: Final = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1677, 9, 21, 0, 12, 43, 145224, tzinfo=UTC),
    datetime(2262, 4, 11, 23, 47, 16, 854776, tzinfo=UTC),
    datetime(2999, 1, 1, tzinfo=UTC),
    datetime(9999, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]


async def test_they_are_kept_and_read(stores: Stores) -> None:
    sizes = get_args(Granularity)
    told = [
        point("a", f"{date.year}-{n}", "1", granularity=size, date=date)
        for n, date in enumerate(UNUSUAL)
        for size in sizes
    ]
    changes = await stores.writer.write(Batch(temporal=told))
    assert changes.temporal_changed == len(told)
    answer = await stores.reader.by_reference(user("a"), depth=1, since=None)
    assert answer is not None
    body = json.dumps(json.loads(answer.body))
    for date in UNUSUAL:
        assert body.count(dates.to_text(date)) == len(sizes), date
    assert not await stores.writer.write(Batch(temporal=told))


async def test_a_window_of_a_thousand_new_months_is_written_at_once(stores: Stores) -> None:
    now = datetime.now(UTC).replace(day=1)
    months = [now.replace(year=now.year - n // 12, month=n % 12 + 1) for n in range(1_000)]
    batch = Batch(temporal=[point("a", "k", f"{n}", date=month) for n, month in enumerate(months)])
    assert (await stores.writer.write(batch)).temporal_changed == 1_000
    assert not await stores.writer.write(batch)

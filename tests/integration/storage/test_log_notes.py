"""Where topics ended, as the primary keeps it."""

import pytest

from storage.stores import Stores

pytestmark = pytest.mark.integration


async def test_ends_are_noted_once_a_day_and_new_topics_are_added(stores: Stores) -> None:
    await stores.log_notes.note({"t": [1, 2]})
    await stores.log_notes.note({"t": [5, 6], "u": [7]})
    await stores.log_notes.note({"t": [8, 9]})
    ((days, ends),) = await stores.log_notes.notes()
    assert ends == {"t": [1, 2], "u": [7]}
    assert 0 <= days < 0.1

from storage.write.room import Room
from tests.unit.app.fakes import FakeClock


def test_it_lacks_room_until_a_write_succeeds() -> None:
    room = Room(FakeClock())
    assert room.lacking is None
    room.lacks("full")
    assert room.lacking == "full"
    room.found()
    assert room.lacking is None


def test_it_is_not_known_where_nothing_is_written_any_more() -> None:
    clock = FakeClock()
    room = Room(clock)
    room.lacks("full")
    clock.seconds += 59
    assert room.lacking == "full"
    clock.seconds += 2
    assert room.lacking is None
